# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Name the columns that an exported data set has beside LeRobot's own.

LeRobot reads them like any other and gives them no meaning.
"""

from vla_cache_ros.datasets.layout import Feature

CORRECTION = 'vla_cache.correction'  # whether a person had taken the arm over
HELD = 'vla_cache.held'  # whether the observation is the one before, as none was complete
STAMP = 'vla_cache.stamp'  # ns, of the oldest picture
STEP = 'vla_cache.step'  # of the newest inference in its episode, -1 before the first
REUSE = 'vla_cache.reuse'  # share of visual tokens that it took from the cache

OWN = {
    CORRECTION: Feature('bool', (1,)),
    HELD: Feature('bool', (1,)),
    STAMP: Feature('int64', (1,), info={'units': ['ns']}),
}
REPORTED = {STEP: Feature('int64', (1,)), REUSE: Feature('float32', (1,))}
