# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the embedded robot can be told: pick, place-on and push, over several colours.

A task knows its instruction and the objects it speaks of; it does not know the physics.
"""

from dataclasses import dataclass

from vla_cache_ros.environments.tabletop.scene import CUBE_COLORS
from vla_cache_ros.environments.tabletop.scene import PLATE_COLORS


@dataclass(frozen=True)
class Task:
    """
    Describe one instruction.

    kind: 'pick', 'place' or 'push'. cube: colour of the cube to move.
    plate: colour of the destination (place). side: +1 left (+y), -1 right (push).
    """

    name: str
    kind: str
    instruction: str
    cube: str
    plate: str | None = None
    side: int = 0
    max_steps: int = 80


def _all_tasks() -> dict[str, Task]:
    tasks = []
    for cube in CUBE_COLORS:
        tasks.append(Task(f'pick_{cube}', 'pick', f'pick up the {cube} cube', cube, max_steps=72))
        tasks.extend(
            Task(
                f'put_{cube}_on_{plate}',
                'place',
                f'put the {cube} cube on the {plate} plate',
                cube,
                plate=plate,
                max_steps=112,
            )
            for plate in PLATE_COLORS
        )
        tasks.extend(
            Task(
                f'push_{cube}_{word}',
                'push',
                f'push the {cube} cube to the {word}',
                cube,
                side=side,
                max_steps=96,
            )
            for word, side in (('left', 1), ('right', -1))
        )
    return {task.name: task for task in tasks}


TASKS = _all_tasks()
