# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Privileged targets per visual token, used as training losses only.

What each patch shows (share of every class) and where the object in it is. The trained policy
sees pixels, state and text; none of this.
"""

import numpy as np
import torch
from torch import nn
from torch import Tensor
from torch.nn import functional

from recipes.domains import Domain

PATCH_PIXELS = 196
SCALE = 0.2  # m, so that positions are of order one
MIN_PIXELS = 12  # pixels of an object in a patch that make its position a target


class PatchHead(nn.Module):
    """Predict class logits [.., classes] and an object position [.., 3] from token features."""

    def __init__(self, width: int, classes: int):
        """Read features of the given width."""
        super().__init__()
        self.output = nn.Linear(width, classes + 3)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and positions; features [..., width]."""
        output = self.output(features)
        return output[..., :-3], output[..., -3:]


def patch_positions(
    shares: Tensor, objects: Tensor, gripper: Tensor, origin: Tensor
) -> tuple[Tensor, Tensor]:
    """
    Return the position target [B, 2, 256, 3] and where it counts [B, 2, 256].

    shares: float [B, 2, 256, classes] pixels. objects: [B, objects, 3] m. gripper: [B, 3] m. The
    fixed camera's target is from the origin [3] m, the wrist camera's from the gripper; both
    scaled.
    """
    places = torch.cat([gripper[:, None], objects.nan_to_num()], 1)  # [B, 1 + objects, 3]
    dominant = shares[..., 1:].argmax(-1)  # [B, 2, 256]
    batch = torch.arange(len(shares))[:, None, None]
    target = places[batch, dominant]  # [B, 2, 256, 3]
    front = target[:, :1] - origin
    wrist = target[:, 1:] - gripper[:, None, None]
    counts = shares[..., 1:].amax(-1) >= MIN_PIXELS
    return torch.cat([front, wrist], 1) / SCALE, counts


def patch_loss(
    logits: Tensor, positions: Tensor, shares: Tensor, targets: Tensor, counts: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy to the class shares and the mean position error (scaled L1)."""
    entropy = -(shares / PATCH_PIXELS * functional.log_softmax(logits, -1)).sum(-1).mean()
    error = (positions - targets).abs().sum(-1)
    return entropy, (error * counts).sum() / counts.sum().clamp(min=1)


def batch_targets(
    table: dict[str, np.ndarray], rows: np.ndarray, domain: Domain
) -> tuple[Tensor, ...]:
    """Return shares [B, 2, 256, classes], position targets and their mask for some frames."""
    shares = torch.from_numpy(table['shares'][rows]).float()
    objects = torch.from_numpy(table['objects'][rows])
    gripper = torch.from_numpy(table['proprio'][rows, :3])
    return (shares, *patch_positions(shares, objects, gripper, torch.tensor(domain.origin)))
