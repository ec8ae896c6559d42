# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A policy without a model: the outside of vla_cache_ros.policy.Policy in a few lines."""

import time
from types import SimpleNamespace

import cv2
import numpy as np
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import StepReport


class FakeGate:
    """Note what is asked; largest_reuse is None until a test sets it: nothing can be asked."""

    def __init__(self):
        self.reuse, self.largest_reuse, self.asked = 0.5, None, []

    def ask(self, reuse):
        """Take the share."""
        self.reuse = reuse
        self.asked.append(reuse)


def resized(images):
    """Return the images in the size that a model takes."""
    return np.stack([cv2.resize(image, (224, 224)) for image in images])


class FakePolicy:
    """Move by a fixed action, or ever further; tests make it slow, wrong or failing."""

    num_images, chunk, proprio_size = 2, 8, 8
    camera_names = ()
    takes_rest = False  # of a chunk that plays while it infers
    summary = 'fake, 2 cameras; images: as they come'
    description = {  # noqa: RUF012
        'checkpoint': 'none',
        'gate': 'fake',
        'gate_weights': '',
        'images': 'as they come',
    }

    def __init__(self):
        """Remember what it is asked."""
        self.action = np.array([0.01, 0.0, -0.02, 0.0, 0.0, 0.05, 1.0])
        self.delay, self.error, self.ramp = 0.0, None, False
        self.refusal = None
        self.images = SimpleNamespace(paths=(), see=resized)
        self.gate = FakeGate()
        self.observations, self.resets, self.invalidations = [], [], {}
        self.began = []  # monotonic, s
        self.drift, self.shadow_error, self.shadows = 0.0, None, []
        self.left = []  # what was told of the chunk before: rest and delay

    def check_instruction(self, instruction):
        """Raise the error that a test sets."""
        if self.refusal:
            raise self.refusal

    def prepare(self):
        """Do nothing: no step is slower than another."""

    def act(self, observation, rest=None, delay=0):
        """Return eight times the action, after the delay, unless there is an error to raise."""
        self.observations.append(observation)
        self.left.append((rest, delay))
        self.began.append(time.monotonic())
        time.sleep(self.delay)
        if self.error:
            raise self.error
        actions = np.tile(self.action, (self.chunk, 1))
        if self.ramp:
            actions *= 1 + 0.01 * np.arange(self.chunk)[:, None]
        active = np.arange(512) % 2 == 0
        ages = np.where(active, 0, 1)
        report = StepReport(
            len(self.observations), 'fake', self.gate.reuse, active, ages, '', {'total': 1.0}
        )
        return ActionChunk(actions, actions), report

    def shadow(self, observation, step, rest=None, delay=0):
        """Return the actions, moved by `drift` in the first number."""
        self.shadows.append((observation, step, rest, delay))
        if self.shadow_error:
            raise self.shadow_error
        actions = np.tile(self.action, (self.chunk, 1))
        actions[:, 0] += self.drift
        return ActionChunk(actions, actions)

    def reset(self, cause='episode_reset'):
        """Note the cause."""
        self.resets.append(cause)
        self.invalidations[cause] = self.invalidations.get(cause, 0) + 1

    def invalidate(self, cause):
        """Note the cause."""
        self.resets.append(cause)
