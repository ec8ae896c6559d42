# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A person at the arm of a controller world: their twists, and the service."""

from controller_world import MS
from controller_world import World
import numpy as np
from vla_cache_ros.control.takeover import SERVICE

PERSONS = np.array([0.0, 0.07, 0.0, 0.0, 0.0, 0.3])  # m/s, rad/s; the policy never moves along y
ZERO = np.zeros(6)


def say(world, twist=PERSONS, age=0, frame='base_link'):
    """Have a person send a twist that is so old (ms)."""
    world.controller.takeover.hear(np.asarray(twist, float), world.time - age * MS, frame)


def give(world, person):
    """Call the service."""
    world.controller.takeover.give(person, SERVICE)


def moving(**parameters):
    """Return a world in which the policy moves the arm."""
    world = World(**parameters)
    world.image()
    world.think()
    world.advance(40)
    assert np.any(world.sent[-1][1].linear)
    world.last = world.sent[-1][1].linear
    world.sent.clear()
    world.time += 5 * MS
    return world


def vectors(world):
    """Return the twists [6] sent, in order."""
    return [np.concatenate([c.linear, c.angular]) for _, c in world.sent]


def drive(world, milliseconds, twist=PERSONS, tick=20):
    """Have a person send twists for so long, while images come and the policy infers."""
    for _ in range(0, milliseconds, tick):
        say(world, twist)
        world.advance(tick, tick)
        world.image()
        world.think()
