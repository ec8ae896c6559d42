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


def frame_targets(
    shares: np.ndarray, positions: np.ndarray, aims: tuple[int, int], points: np.ndarray
) -> dict[str, np.ndarray]:
    """
    Return the columns of one frame that losses are made of.

    shares: uint8 [cams, 256, 2 + things] pixels of the background, the arm and each thing.
    positions: of the things [things, 3], m. aims: which thing is to be taken and which one is its
    destination, -1 without one. points: where on them [2, 3], m, NaN without one. Returns named
    uint8 [cams, 256, 2], pixels of the two; nearby float32 [cams, 256, 3], where the thing is that
    a patch shows, NaN without one; places float32 [2, 3], the points.
    """
    things = shares[..., 2:]  # [cams, 256, things]
    none = np.zeros(things.shape[:-1], np.uint8)
    nearby = positions[things.argmax(-1)].astype(np.float32)
    nearby[things.max(-1) < MIN_PIXELS] = np.nan
    return {
        'named': np.stack([things[..., aim] if aim >= 0 else none for aim in aims], -1),
        'nearby': nearby,
        'places': points.astype(np.float32),
    }


def patch_positions(
    shares: Tensor, nearby: Tensor, gripper: Tensor, origin: Tensor
) -> tuple[Tensor, Tensor]:
    """
    Return the position target [B, cams, 256, 3] and where it counts [B, cams, 256].

    shares: float [B, cams, 256, classes] pixels. nearby: see `frame_targets`. gripper: [B, 3] m,
    where patches are that show the arm. The fixed camera's target is from the origin [3] m, the
    wrist camera's from the gripper; both scaled.
    """
    arm = shares[..., 1, None] > shares[..., 2:].amax(-1, keepdim=True)
    target = torch.where(arm, gripper[:, None, None], nearby)  # [B, cams, 256, 3]
    front = target[:, :1] - origin
    wrist = target[:, 1:] - gripper[:, None, None]
    known = target.isfinite().all(-1) & (shares[..., 1:].amax(-1) >= MIN_PIXELS)
    return torch.cat([front, wrist], 1).nan_to_num() / SCALE, known


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
    """Return shares [B, cams, 256, classes], position targets and their mask for some frames."""
    shares = torch.from_numpy(table['shares'][rows]).float()
    nearby = torch.from_numpy(table['nearby'][rows])
    gripper = torch.from_numpy(table['proprio'][rows, :3])
    return (shares, *patch_positions(shares, nearby, gripper, torch.tensor(domain.origin)))
