# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A chunk leads where its displacements add up to, from the measured pose on."""

import numpy as np
from vla_cache_ros.control.motion.prediction import predicted_poses
from vla_cache_ros.control.vla_parameters import VLAParameters


def test_displacements_add_up_in_the_base_frame_whatever_the_rate():
    quarter = [0.0, 0.0, np.pi / 2]
    actions = np.array([[0.1, 0.0, 0.2, *quarter, 1.0], [0.1, 0.0, 0.0, *quarter, 1.0]])
    measured = np.array([0.5, -0.1, 0.3, 0.0, 0.0, 0.0])
    for rate in (5.0, 50.0):
        parameters = VLAParameters(control_frequency=rate, translation_scale=0.5)
        positions, turns = zip(*predicted_poses(actions, parameters, measured), strict=True)
        np.testing.assert_allclose(
            positions, [[0.5, -0.1, 0.3], [0.55, -0.1, 0.4], [0.6, -0.1, 0.4]]
        )
        half = np.sqrt(0.5)
        expected = [[0, 0, 0, 1], [0, 0, half, half], [0, 0, 1, 0]]
        np.testing.assert_allclose(turns, expected, atol=1e-12)
