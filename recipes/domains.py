# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What there is to see and to do where a small model is trained from scratch.

One `Domain` for each simulator that demonstrations come from. Knows names and numbers, neither a
simulator nor a model.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from vla_cache_ros.environments.libero import IMAGE_PATH
from vla_cache_ros.environments.tabletop.scene import CUBE_COLORS
from vla_cache_ros.environments.tabletop.scene import PLATE_COLORS
from vla_cache_ros.environments.tabletop.tasks import TASKS
from vla_cache_ros.vla.image_path import ImagePath


@dataclass(frozen=True)
class Domain:
    """
    Name a domain's things and tasks.

    name: also of its data set's statistics. cameras: of its small model, the primary one first.
    targets, destinations: kinds of objects, one of the first and perhaps one of the second is
    named by a task. instructions: of the tasks, in the order of the column `task`. named: for
    each task the indices of its target and destination in `objects`, -1 without one. origin: m,
    middle of the work area. image_path: of the cameras' pictures, which shards have behind them.
    """

    name: str
    cameras: int
    targets: tuple[str, ...]
    destinations: tuple[str, ...]
    instructions: tuple[str, ...]
    named: tuple[tuple[int, int], ...]
    origin: tuple[float, float, float]
    image_path: ImagePath = ImagePath()

    @property
    def objects(self) -> tuple[str, ...]:
        """Return every kind of object, targets first."""
        return self.targets + self.destinations

    @property
    def classes(self) -> tuple[str, ...]:
        """Return what a patch can show."""
        return ('background', 'arm', *self.objects)


def _tabletop() -> Domain:
    targets = tuple(f'cube_{color}' for color in CUBE_COLORS)
    destinations = tuple(f'plate_{color}' for color in PLATE_COLORS)
    objects = targets + destinations
    return Domain(
        name='tabletop',
        cameras=2,
        targets=targets,
        destinations=destinations,
        instructions=tuple(task.instruction for task in TASKS.values()),
        named=tuple(
            (
                objects.index(f'cube_{task.cube}'),
                objects.index(f'plate_{task.plate}') if task.plate else -1,
            )
            for task in TASKS.values()
        ),
        origin=(0.5, 0.0, 0.05),
    )


def _libero_object() -> Domain:
    # in the suite's order of tasks
    targets = (
        'alphabet_soup', 'cream_cheese', 'salad_dressing', 'bbq_sauce', 'ketchup',
        'tomato_sauce', 'butter', 'milk', 'chocolate_pudding', 'orange_juice',
    )  # fmt: skip
    return Domain(
        name='libero_object',
        cameras=1,  # in 0.4 s, from one look to the next, a wrist camera's view changes as a whole
        targets=targets,
        destinations=('basket',),
        instructions=tuple(
            f'pick up the {name.replace("_", " ")} and place it in the basket' for name in targets
        ),
        named=tuple((index, len(targets)) for index in range(len(targets))),
        origin=(0.0, 0.0, 0.05),
        image_path=IMAGE_PATH,
    )


TABLETOP = _tabletop()
LIBERO_OBJECT = _libero_object()
DOMAINS: Mapping[str, Domain] = {domain.name: domain for domain in (TABLETOP, LIBERO_OBJECT)}


def named_domain(name: str) -> Domain:
    """Return the domain of that name; raises ValueError listing the known ones."""
    if name not in DOMAINS:
        raise ValueError(f'env: expected one of {", ".join(DOMAINS)}, got {name!r}')
    return DOMAINS[name]
