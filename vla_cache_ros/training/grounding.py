# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Privileged targets that tie words to what is seen, used as training losses only.

Which visual tokens show the object and the destination that the instruction names, and where
these are relative to the gripper.
"""

import numpy as np
import torch
from torch import nn
from torch import Tensor
from torch.nn import functional
from vla_cache_ros.simulation.tasks import TASKS

from .demonstrations import CLASSES
from .demonstrations import OBJECTS
from .demonstrations import TASK_NAMES
from .patch_targets import PATCH_PIXELS
from .patch_targets import SCALE

_CUBE = np.array([OBJECTS.index(f'cube_{TASKS[n].cube}') for n in TASK_NAMES])
_PLATE = np.array(
    [OBJECTS.index(f'plate_{TASKS[n].plate}') if TASKS[n].plate else -1 for n in TASK_NAMES]
)
_FIRST_OBJECT = len(CLASSES) - len(OBJECTS)


class GroundingHeads(nn.Module):
    """Read the two named objects off visual tokens, and their places off the action slots."""

    def __init__(self, width: int):
        """Read hidden states of the given width."""
        super().__init__()
        self.mask = nn.Linear(width, 2)
        self.places = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 128), nn.GELU(), nn.Linear(128, 6)
        )

    def loss(
        self,
        tokens: Tensor,
        slots: Tensor,
        named: Tensor,
        places: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """
        Return the cross-entropy of the named shares and the L1 of the places (scaled).

        tokens [B, K, D] with named [B, K, 2] shares; slots [B, S, D] with places [B, 6], NaN
        where there is no destination.
        """
        entropy = functional.binary_cross_entropy_with_logits(self.mask(tokens), named)
        error = self.places(slots.mean(1)) - places
        return entropy, error.nan_to_num().abs().mean()


def grounding_targets(table: dict[str, np.ndarray], rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """
    Return named shares [B, V, 2] and places [B, 6] (scaled, relative to the gripper).

    The two named things are the cube and the plate; a task without a plate has none.
    """
    tasks = table['task'][rows]
    shares = torch.from_numpy(table['shares'][rows]).flatten(1, 2).float() / PATCH_PIXELS
    batch = torch.arange(len(rows))
    cube, plate = torch.from_numpy(_CUBE[tasks]), torch.from_numpy(_PLATE[tasks])
    named_plate = shares[batch, :, _FIRST_OBJECT + plate.clamp(min=0)]
    named = torch.stack(
        [shares[batch, :, _FIRST_OBJECT + cube], named_plate * (plate >= 0)[:, None]], -1
    )
    objects = torch.from_numpy(table['objects'][rows])
    gripper = torch.from_numpy(table['proprio'][rows, :3])
    goal = objects[batch, plate.clamp(min=0)] - gripper
    goal[plate < 0] = torch.nan
    places = torch.cat([objects[batch, cube] - gripper, goal], 1) / SCALE
    return named, places
