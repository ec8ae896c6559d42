# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn an action of BridgeData V2 into one of SIMPLER's WidowX.

As SIMPLER's adapters of OpenVLA and CogACT do. Knows no simulator.
"""

import math

import numpy as np

ACTION_SIZE = 7  # dx, dy, dz (m), roll, pitch, yaw (rad), gripper (1 open, 0 closed)


def bridge_action(action: np.ndarray) -> np.ndarray:
    """
    Return float64 `[7]`: translation (m), rotation as axis times angle (rad), gripper 1 or -1.

    action: `[7]` in the units of BridgeData V2, un-normalised. A gripper above 0.5 opens. Raises
    ValueError for another shape or values that are not finite.
    """
    values = np.asarray(action, dtype=np.float64)
    if values.shape != (ACTION_SIZE,) or not np.isfinite(values).all():
        raise ValueError(f'action: expected [{ACTION_SIZE}] finite numbers, found {action!r:.80}')
    return np.concatenate([values[:3], axis_angle(*values[3:6]), [2.0 * (values[6] > 0.5) - 1.0]])


def axis_angle(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """
    Return axis times angle (rad) `[3]` of turns about the fixed axes x, then y, then z (rad).

    No turn is zero. A quarter of a turn in each of several angles is well defined too.
    """
    (cr, cp, cy), (sr, sp, sy) = (
        [function(angle / 2) for angle in (roll, pitch, yaw)] for function in (math.cos, math.sin)
    )
    real = cr * cp * cy + sr * sp * sy
    imaginary = np.array(
        [
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
        ]
    )
    length = float(np.linalg.norm(imaginary))
    if length < 1e-15:
        return np.zeros(3)
    return imaginary / length * (2 * math.atan2(length, real))
