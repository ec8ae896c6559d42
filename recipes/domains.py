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
    targets, destinations: kinds of objects, of which tasks move the first, mostly to the second.
    instructions: of the tasks, in the order of the column `task`. origin: m, middle of the work
    area. image_path: of the cameras' pictures, which shards have behind them.
    """

    name: str
    cameras: int
    targets: tuple[str, ...]
    destinations: tuple[str, ...]
    instructions: tuple[str, ...]
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
    return Domain(
        name='tabletop',
        cameras=2,
        targets=tuple(f'cube_{color}' for color in CUBE_COLORS),
        destinations=tuple(f'plate_{color}' for color in PLATE_COLORS),
        instructions=tuple(task.instruction for task in TASKS.values()),
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
        origin=(0.0, 0.0, 0.05),
        image_path=IMAGE_PATH,
    )


def _libero() -> Domain:
    return Domain(
        name='libero',
        cameras=1,
        targets=(
            'akita_black_bowl', 'alphabet_soup', 'black_book', 'butter', 'chocolate_pudding',
            'cream_cheese', 'moka_pot', 'porcelain_mug', 'tomato_sauce', 'white_yellow_mug',
            'wine_bottle',
        ),
        destinations=(
            'basket', 'desk_caddy', 'flat_stove', 'microwave', 'plate', 'white_cabinet',
            'wine_rack', 'wooden_cabinet',
            # in the way
            'chefmate_8_frypan', 'cookies', 'glazed_rim_porcelain_ramekin', 'ketchup', 'milk',
            'orange_juice', 'red_coffee_mug',
        ),
        instructions=(
            # LIBERO-Spatial
            'pick up the black bowl between the plate and the ramekin and place it on the plate',
            'pick up the black bowl next to the ramekin and place it on the plate',
            'pick up the black bowl from table center and place it on the plate',
            'pick up the black bowl on the cookie box and place it on the plate',
            'pick up the black bowl in the top drawer of the wooden cabinet '
            'and place it on the plate',
            'pick up the black bowl on the ramekin and place it on the plate',
            'pick up the black bowl next to the cookie box and place it on the plate',
            'pick up the black bowl on the stove and place it on the plate',
            'pick up the black bowl next to the plate and place it on the plate',
            'pick up the black bowl on the wooden cabinet and place it on the plate',
            # LIBERO-Goal
            'open the middle drawer of the cabinet',
            'put the bowl on the stove',
            'put the wine bottle on top of the cabinet',
            'open the top drawer and put the bowl inside',
            'put the bowl on top of the cabinet',
            'push the plate to the front of the stove',
            'put the cream cheese in the bowl',
            'turn on the stove',
            'put the bowl on the plate',
            'put the wine bottle on the rack',
            # LIBERO-10
            'put both the alphabet soup and the tomato sauce in the basket',
            'put both the cream cheese box and the butter in the basket',
            'turn on the stove and put the moka pot on it',
            'put the black bowl in the bottom drawer of the cabinet and close it',
            'put the white mug on the left plate '
            'and put the yellow and white mug on the right plate',
            'pick up the book and place it in the back compartment of the caddy',
            'put the white mug on the plate '
            'and put the chocolate pudding to the right of the plate',
            'put both the alphabet soup and the cream cheese box in the basket',
            'put both moka pots on the stove',
            'put the yellow and white mug in the microwave and close it',
        ),
        origin=(0.0, 0.0, 0.05),
        image_path=IMAGE_PATH,
    )  # fmt: skip


TABLETOP = _tabletop()
LIBERO_OBJECT = _libero_object()
LIBERO = _libero()  # the other three suites
DOMAINS: Mapping[str, Domain] = {d.name: d for d in (TABLETOP, LIBERO_OBJECT, LIBERO)}


def named_domain(name: str) -> Domain:
    """Return the domain of that name; raises ValueError listing the known ones."""
    if name not in DOMAINS:
        raise ValueError(f'env: expected one of {", ".join(DOMAINS)}, got {name!r}')
    return DOMAINS[name]
