# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say whether the gripper works on an object or moves through free space, from privileged state.

For figures only: no gate and no model sees it. A carried cube counts as contact.
"""

from vla_cache_ros.environments.tabletop.robot import Tabletop

CONTACT = 'contact'
QUIET = 'quiet'
NEAR = 0.03  # m between gripper and object; closer than this is contact
FAR = 0.5  # m, where measuring stops
_GRIPPER = ('hand', 'finger_left', 'finger_right')


def phase(env: Tabletop) -> str:
    """Return 'contact' if hand or fingers are within 3 cm of a cube or plate, else 'quiet'."""
    return CONTACT if clearance(env, NEAR) < NEAR else QUIET


def clearance(env: Tabletop, limit: float = FAR) -> float:
    """
    Return the smallest distance between gripper and any object, m; 0 or less where they touch.

    limit: largest distance that is told apart; beyond it, it is what is returned.
    """
    import mujoco  # not above: `tabletop` chooses the renderer before mujoco is first imported

    gripper = _geoms(env, _GRIPPER)
    return min(
        mujoco.mj_geomDistance(env.model, env.data, part, thing, limit, None)
        for part in gripper
        for thing in _geoms(env, (*env.cube_names(), *env.plate_names()))
    )


def height(env: Tabletop) -> float:
    """Return how far the point between the finger tips is above the table, m."""
    return float(env.tcp()[2])  # the base frame lies on the table


def _geoms(env: Tabletop, bodies: tuple[str, ...]) -> list[int]:
    first, count = env.model.body_geomadr, env.model.body_geomnum
    ids = [env.model.body(name).id for name in bodies]
    return [geom for body in ids for geom in range(first[body], first[body] + count[body])]
