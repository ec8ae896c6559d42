# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Move a target pose on from the measured one by the velocities of the commands.

Pure Python and numpy: knows neither ROS nor why a velocity was chosen.
"""

import numpy as np


class PoseTarget:
    """
    Hold the target: position [3], m, and quaternion [4], xyzw.

    It never leads the measured pose by more than a leash, so that an arm that is blocked is not
    pulled ever harder, nor jumps once it is free.
    """

    def __init__(self, leash: float, angular_leash: float):
        """Start without a target; leashes in m and rad."""
        self._leash, self._angular_leash = leash, angular_leash
        self.position: np.ndarray | None = None
        self.quaternion = np.array([0.0, 0.0, 0.0, 1.0])

    def hold(self, measured: np.ndarray) -> None:
        """Let the arm stay at the measured pose [6]: xyz (m), axis-angle (rad)."""
        self.position, self.quaternion = measured[:3].copy(), exponential(measured[3:])

    def advance(
        self, linear: np.ndarray, angular: np.ndarray, elapsed: float, measured: np.ndarray
    ) -> None:
        """Move on by m/s [3] and rad/s [3], in the base frame, for elapsed s."""
        if self.position is None:
            self.hold(measured)
        lead = self.position + linear * elapsed - measured[:3]
        self.position = measured[:3] + _shorten(lead, self._leash)
        turned = multiply(exponential(angular * elapsed), self.quaternion)
        here = exponential(measured[3:])
        turn = logarithm(multiply(turned, here * [-1, -1, -1, 1]))
        self.quaternion = multiply(exponential(_shorten(turn, self._angular_leash)), here)


def exponential(rotation: np.ndarray) -> np.ndarray:
    """Return the unit quaternion [4], xyzw, of a rotation vector [3], rad."""
    half = float(np.linalg.norm(rotation)) / 2
    # sin(half) / (2 half), which tends to 1/2
    return np.append(rotation * (np.sinc(half / np.pi) / 2), np.cos(half))


def logarithm(quaternion: np.ndarray) -> np.ndarray:
    """Return the rotation vector [3], of norm up to pi rad, of a unit quaternion [4], xyzw."""
    vector, scalar = quaternion[:3], quaternion[3]
    sine = float(np.linalg.norm(vector))
    if sine < 1e-12:
        return np.zeros(3)
    return vector * (np.sign(scalar or 1.0) * 2 * np.arctan2(sine, abs(scalar)) / sine)


def multiply(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return the unit quaternion [4], xyzw, of first one rotation and then a second."""
    a, b = second[:3], first[:3]
    vector = second[3] * b + first[3] * a + np.cross(a, b)
    product = np.append(vector, second[3] * first[3] - a @ b)
    return product / np.linalg.norm(product)


def _shorten(vector: np.ndarray, limit: float) -> np.ndarray:
    norm = float(np.linalg.norm(vector))
    return vector if norm <= limit else vector * (limit / norm)
