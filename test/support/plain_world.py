# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A world of a few steps with pictures that move by seed: `--env plain_world:make`."""

from types import SimpleNamespace

import numpy as np
from vla_cache_ros.types import Observation


class PlainWorld:
    """Show squares that move; succeed once the sum of actions' first numbers is above zero."""

    max_steps, execute_steps, control_frequency = 12, 4, 10.0

    def __init__(self, cameras):
        self.cameras = cameras
        self.task = SimpleNamespace(name='plain')

    def wrap(self, actor):
        return actor

    def facts(self):
        return {'plain': '1'}

    def reset(self, seed):
        self.seed, self.steps, self.sum = seed, 0, 0.0
        return self.observe()

    def observe(self):
        images = []
        for camera in range(self.cameras):
            image = np.full((224, 224, 3), 40 + 20 * camera, np.uint8)
            begin = (17 * self.seed + 9 * self.steps) % 180
            image[begin : begin + 40, 60:120] = 200
            images.append(image)
        return Observation(tuple(images), 'go', np.zeros(8))

    def step(self, action):
        self.steps += 1
        self.sum += action[0]

    def success(self):
        return self.steps == self.max_steps and self.sum > 0

    def close(self):
        """Have nothing to free."""


def make(name, setup):
    """Return the world for a policy's cameras."""
    return PlainWorld(setup.cameras)
