# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LIBERO-Spatial: "pick up the black bowl [somewhere] and place it on the plate"."""

import numpy as np

from recipes.libero.pick_place import on
from recipes.libero.pick_place import PickPlace
from recipes.libero.pick_place import RimGrasp
from recipes.libero.world import Stage
from recipes.libero.world import World

BOWL, PLATE = 'akita_black_bowl_1', 'plate_1'
SIDE = np.pi / 2  # where the rim is taken: needs no turn of the hand from where it starts
IN_DRAWER = np.radians(120)  # its walls leave room along its diagonal alone
ABOVE, OUT = 0.1, 0.26  # m over the plate that the bowl is carried, and out of the cabinet
PLATE_RIM = 0.012  # m, of the plate over where the bowl comes to stand


def stages(task_name: str, world: World) -> list[Stage]:
    """Return the one stage of every task."""
    side = IN_DRAWER if 'drawer' in task_name else SIDE
    above = OUT if 'cabinet' in task_name else ABOVE
    grasp = RimGrasp(world, BOWL, side)
    return [PickPlace(world, grasp, PLATE, on(world, PLATE, above, PLATE_RIM))]
