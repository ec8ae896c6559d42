# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Show the same observations to several actors, in turns that favour none. Knows no actor."""

from __future__ import annotations

from dataclasses import replace

from vla_cache_ros.types import Observation


def turn_order(count: int, seed: int) -> list[int]:
    """
    Return the order in which `count` entries take their turns at a seed.

    Over `count` seeds in a row (twice as many where it is odd) each entry has every place, and
    comes right after each other one, equally often. Source: Williams 1949.
    """
    first = [(place + 1) // 2 if place % 2 else -(place // 2) for place in range(count)]
    order = [(entry + seed) % count for entry in first]
    # an odd design is balanced only together with its mirror image
    return order[::-1] if count % 2 and (seed // count) % 2 else order


def fit_cameras(observation: Observation, cameras: int) -> Observation:
    """Return the observation for a model of so many cameras: the first ones, over and over."""
    images = observation.images
    return replace(observation, images=tuple(images[i % len(images)] for i in range(cameras)))
