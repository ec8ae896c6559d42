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

from recipes.domains import Domain
from recipes.patch_targets import MIN_PIXELS
from recipes.patch_targets import PATCH_PIXELS
from recipes.patch_targets import SCALE

_FIRST_OBJECT = 2  # class of it, after background and arm


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


def grounding_targets(
    table: dict[str, np.ndarray], rows: np.ndarray, domain: Domain
) -> GroundingTargets:
    """Return the targets of some frames, for what their tasks name."""
    tasks = table['task'][rows]
    counts = torch.from_numpy(table['shares'][rows]).flatten(1, 2).float()  # [B, V, classes]
    shares = counts / PATCH_PIXELS
    batch = torch.arange(len(rows))
    target, goal_index = torch.from_numpy(np.array(domain.named)[tasks]).unbind(1)
    named_goal = shares[batch, :, _FIRST_OBJECT + goal_index.clamp(min=0)]
    named = torch.stack(
        [shares[batch, :, _FIRST_OBJECT + target], named_goal * (goal_index >= 0)[:, None]], -1
    )
    gripper = torch.from_numpy(table['proprio'][rows, :3])
    objects = torch.from_numpy(table['objects'][rows])  # [B, objects, 3]
    objects = (objects - gripper[:, None]) / SCALE
    goal = objects[batch, goal_index.clamp(min=0)]
    goal[goal_index < 0] = torch.nan
    most, which = counts[..., _FIRST_OBJECT:].max(-1)
    nearby = objects[batch[:, None], which]
    nearby[most < MIN_PIXELS] = torch.nan
    return GroundingTargets(named, nearby, torch.cat([objects[batch, target], goal], 1))
