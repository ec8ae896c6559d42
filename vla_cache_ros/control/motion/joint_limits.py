# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn actions into joint positions that the arm may be sent: gradual, within limits, near the arm.

Pure Python and numpy. Remembers the positions and rates it let through last and the target in
hand; knows neither ROS nor why an action was chosen.
"""

import numpy as np
from vla_cache_ros.control.motion.limits import brakeable
from vla_cache_ros.control.motion.limits import Command
from vla_cache_ros.control.motion.limits import opening
from vla_cache_ros.control.vla_parameters import VLAParameters

_FASTEST = 1e9  # rad/s; what overflows is cut down to its limit all the same


class JointLimiter:
    """Bound place, rate and acceleration of each joint; a new one begins at where the arm is."""

    def __init__(self) -> None:
        """Start from rest."""
        self._positions: np.ndarray | None = None  # rad, as commanded last
        self._rates = np.zeros(0)  # rad/s
        self._resting = True
        self._target = np.zeros(0)  # rad
        self._left = 0.0  # s in which it is to be reached

    def rest(self) -> None:
        """Take it that the arm holds what was commanded last."""
        self._rates = np.zeros_like(self._rates)
        self._resting = True

    def __call__(
        self,
        action: np.ndarray,
        parameters: VLAParameters,
        elapsed: float,
        measured: np.ndarray,
        lasts: float,
    ) -> Command:
        """
        Return the command that comes closest to a checked action [n, and the gripper's number].

        elapsed: s since the last command; measured: positions [n], rad; lasts: s in which an
        action is made now. An absolute target is approached so that it is reached by the end of
        that time or as soon as the limits allow, and not passed. The command stays so near the
        measured positions that an arm which is held up is not pulled ever harder.
        """
        if self._positions is None:
            self._positions, self._rates = measured.copy(), np.zeros_like(measured)
        period = 1 / parameters.publish_rate
        if not self._resting:
            period = min(max(elapsed, 0.0), period)
        low, high = np.array(parameters.joint_lower), np.array(parameters.joint_upper)
        fastest = np.array(parameters.max_joint_velocity)  # [1] or [n]
        acceleration = np.array(parameters.max_joint_acceleration)
        with np.errstate(over='ignore'):
            numbers = action[: len(low)] * np.array(parameters.joint_scale or (1.0,))  # rad
            if parameters.joint_actions == 'delta':
                wanted = np.clip(numbers / lasts, -_FASTEST, _FASTEST)
            else:
                target = np.clip(numbers + (parameters.joint_offset or 0.0), low, high)
                wanted = self._towards(target, acceleration, period, lasts)
        # all joints are slowed alike, so that the way stays the same
        share = np.min(fastest / np.maximum(np.abs(wanted), fastest))
        asked = wanted * share
        lead = fastest * parameters.command_timeout + fastest**2 / (2 * acceleration)
        here = self._positions
        near = _between(asked, here, measured - lead, measured + lead, acceleration, period)
        change = acceleration * period
        gradual = np.clip(near, self._rates - change, self._rates + change)
        rates = _between(gradual, here, low, high, acceleration, period)
        self._positions, self._rates, self._resting = here + rates * period, rates, False
        bounds = {
            'velocity': share < 1,
            'lead': np.any(near != asked),
            'acceleration': np.any(gradual != near),
            'position': np.any(rates != gradual),
        }
        limited = tuple(name for name, bound in bounds.items() if bound)
        return Command(
            np.zeros(3),
            np.zeros(3),
            opening(action, parameters) if parameters.gripper_apart else None,
            limited,
            positions=self._positions.copy(),
            rates=rates,
        )

    def _towards(
        self, target: np.ndarray, acceleration: np.ndarray, period: float, lasts: float
    ) -> np.ndarray:
        """Return the rates [n], rad/s, that reach the target in time, and can be braked there."""
        if not np.array_equal(target, self._target):
            self._target, self._left = target, lasts
        way = target - self._positions
        # Beside what is left of the action, the time that braking from this rate takes longer
        # than going on: so a target that keeps moving on is followed evenly.
        time = self._left + period + np.abs(self._rates) / (2 * acceleration)
        self._left = max(self._left - period, 0.0)
        stoppable = brakeable(np.abs(way), acceleration, period)
        return np.clip(way / np.maximum(time, 1e-9), -stoppable, stoppable)


def _between(
    rates: np.ndarray,
    here: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    acceleration: np.ndarray,
    period: float,
) -> np.ndarray:
    """Return rates [n] that can be braked before low and high; beyond them only those back."""
    slowest = brakeable(np.maximum(here - low, 0.0), acceleration, period)
    fastest = brakeable(np.maximum(high - here, 0.0), acceleration, period)
    return np.clip(rates, -slowest, fastest)
