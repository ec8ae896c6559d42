# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Privileged targets that tie words to what is seen, used as training losses only.

Which visual tokens show the object and the destination that the instruction names, and where
these are relative to the gripper.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch import Tensor
from torch.nn import functional

from recipes.patch_targets import PATCH_PIXELS
from recipes.patch_targets import SCALE


@dataclass(frozen=True)
class GroundingTargets:
    """
    Hold what the heads shall say.

    named [B, V, 2]: share of each token's patch that shows the named target and destination.
    nearby [B, V, 3]: where the object in the patch is, relative to the gripper (scaled), NaN
    without one. places [B, 6]: the same for the named target and destination.
    """

    named: Tensor
    nearby: Tensor
    places: Tensor

    def gather(self, tokens: Tensor) -> 'GroundingTargets':
        """Return the targets of some tokens [B, K] only."""
        index = tokens[..., None]
        return GroundingTargets(
            self.named.gather(1, index.expand(-1, -1, 2)),
            self.nearby.gather(1, index.expand(-1, -1, 3)),
            self.places,
        )


class GroundingHeads(nn.Module):
    """Read what is named and where things are off visual tokens and off the action slots."""

    def __init__(self, width: int):
        """Read hidden states of the given width."""
        super().__init__()
        self.mask = nn.Linear(width, 2)
        # The norm matters: attention reads normed states, so places must be large in those.
        self.nearby = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 3))
        self.places = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 128), nn.GELU(), nn.Linear(128, 6)
        )

    def loss(
        self, tokens: Tensor, slots: Tensor, targets: GroundingTargets
    ) -> tuple[Tensor, Tensor, Tensor]:
        """
        Return the cross-entropy of the named shares, and the L1 of nearby and of places.

        tokens [B, K, D]: hidden states of visual tokens. slots [B, S, D]: of action slots.
        """
        naming = functional.binary_cross_entropy_with_logits(self.mask(tokens), targets.named)
        nearby = _mean_error(self.nearby(tokens), targets.nearby)
        return naming, nearby, _mean_error(self.places(slots.mean(1)), targets.places)


def _mean_error(predicted: Tensor, wanted: Tensor) -> Tensor:
    known = wanted.isfinite()
    error = (predicted - wanted.nan_to_num()).abs() * known
    return error.sum() / known.sum().clamp(min=1)


def grounding_targets(table: dict[str, np.ndarray], rows: np.ndarray) -> GroundingTargets:
    """Return the targets of some frames, from the columns of `frame_targets`."""
    gripper = torch.from_numpy(table['proprio'][rows, :3])[:, None]
    named = torch.from_numpy(table['named'][rows]).flatten(1, 2).float() / PATCH_PIXELS
    nearby = torch.from_numpy(table['nearby'][rows]).flatten(1, 2)
    places = torch.from_numpy(table['places'][rows])
    return GroundingTargets(
        named, (nearby - gripper) / SCALE, ((places - gripper) / SCALE).flatten(1)
    )
