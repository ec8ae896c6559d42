# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say how far actions are from those of the dense model: the one measure of what a cache costs.

Knows no model. The drift guard has a measure of its own, which forgives a gripper that is late.
"""

from typing import TypeVar

Array = TypeVar('Array')  # of numpy or of torch


def action_distance(found: Array, dense: Array) -> Array:
    """
    Return the mean absolute difference `[...]` of normalised actions `[..., E, A]`.

    To be given the executed actions alone: the others never move the arm.
    """
    return abs(found - dense).mean((-2, -1))
