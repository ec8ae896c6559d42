# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn actions into velocities that the arm may be given: in SI units, bounded, within a box.

Pure Python and numpy. Remembers the velocity it let through last and nothing else; knows neither
ROS nor why an action was chosen.
"""

from dataclasses import dataclass

import numpy as np
from vla_cache_ros.control.vla_parameters import VLAParameters


@dataclass(frozen=True)
class Command:
    """
    One bounded command.

    linear [3] m/s and angular [3] rad/s in the base frame; gripper 1 open to 0 closed, None to
    leave it as it is; limited: what bound it; stop: whether it ends the motion for good instead
    of waiting for the next action. positions [n] rad and rates [n] rad/s: of the arm's joints,
    where these are commanded; linear and angular are zero then.
    """

    linear: np.ndarray
    angular: np.ndarray
    gripper: float | None = None
    limited: tuple[str, ...] = ()
    stop: bool = False
    positions: np.ndarray | None = None
    rates: np.ndarray | None = None


WAIT = Command(np.zeros(3), np.zeros(3))
STOP = Command(np.zeros(3), np.zeros(3), stop=True)


def velocities(
    action: np.ndarray, parameters: VLAParameters
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return m/s [3], rad/s [3] and how far open (0 to 1) a checked action [7] asks for."""
    with np.errstate(over='ignore'):  # what overflows is cut down to its limit
        linear = action[:3] * (parameters.translation_scale * parameters.control_frequency)
        angular = action[3:6] * (parameters.rotation_scale * parameters.control_frequency)
    return linear, angular, opening(action, parameters)


def opening(action: np.ndarray, parameters: VLAParameters) -> float:
    """Return how far open (0 to 1) the last number of a checked action asks the gripper to be."""
    span = parameters.gripper_open - parameters.gripper_closed
    return float(np.clip((action[-1] - parameters.gripper_closed) / span, 0.0, 1.0))


class Limiter:
    """Bound velocity, acceleration and place; one for each run of the node."""

    def __init__(self) -> None:
        """Start from rest."""
        self._linear, self._angular = np.zeros(3), np.zeros(3)
        self._resting = True

    def rest(self) -> None:
        """Take it that the arm was stopped."""
        self.__init__()

    def __call__(
        self,
        action: np.ndarray,
        parameters: VLAParameters,
        elapsed: float,
        position: np.ndarray | None,
    ) -> Command:
        """
        Return the command that comes closest to a checked action [7].

        elapsed: s since the last command; position: of the end effector [3], m, where there is
        a workspace. Vectors are shortened, so their direction stays, but for the part that would
        lead out of the workspace: braking for its walls keeps to the acceleration limit, and
        nothing leads out of them.
        """
        return self.bound(*velocities(action, parameters), parameters, elapsed, position)

    def bound(
        self,
        linear: np.ndarray,
        angular: np.ndarray,
        gripper: float | None,
        parameters: VLAParameters,
        elapsed: float,
        position: np.ndarray | None,
    ) -> Command:
        """Return the command that comes closest to velocities [3], [3] and how far open."""
        linear = _deadband(linear, parameters.deadband_linear_velocity)
        angular = _deadband(angular, parameters.deadband_angular_velocity)
        linear, slower = limit_norm(linear, parameters.max_linear_velocity)
        angular, calmer = limit_norm(angular, parameters.max_angular_velocity)
        period = 1 / parameters.publish_rate
        if not self._resting:
            period = min(max(elapsed, 0.0), period)
        linear, lagging = _approach(
            self._linear, linear, parameters.max_linear_acceleration * period
        )
        angular, turning = _approach(
            self._angular, angular, parameters.max_angular_acceleration * period
        )
        walled = False
        if parameters.workspace:
            linear, walled = _within(linear, position, parameters)
        self._linear, self._angular, self._resting = linear, angular, False
        bounds = {
            'velocity': slower or calmer,
            'acceleration': lagging or turning,
            'workspace': walled,
        }
        limited = tuple(name for name, bound in bounds.items() if bound)
        return Command(linear, angular, gripper, limited)


def limit_norm(vector: np.ndarray, limit: float) -> tuple[np.ndarray, bool]:
    """Return a vector no longer than limit, of the same direction, and whether it was cut."""
    if np.isinf(vector).any():  # finite numbers whose product was not
        vector = np.where(np.isinf(vector), np.sign(vector) * np.finfo(float).max, 0.0)
    # hypot of three numbers by scaling first: the plain norm of huge numbers overflows
    largest = float(np.abs(vector).max())
    if largest == 0.0:
        return vector, False
    unit = vector / largest
    length = float(np.linalg.norm(unit))  # 1 to sqrt(3)
    if largest * length <= limit:
        return vector, False
    return unit * (limit / length), True


def brakeable(room: np.ndarray, acceleration: np.ndarray | float, period: float) -> np.ndarray:
    """
    Return the largest speeds that, kept for a period (s), leave room to brake.

    These are the v with v T + v^2 / (2 a) = room.
    """
    step = acceleration * period
    return np.sqrt(step**2 + 2 * acceleration * room) - step


def _deadband(vector: np.ndarray, band: float) -> np.ndarray:
    _, longer = limit_norm(vector, band)
    return vector if longer else np.zeros(3)


def _approach(
    before: np.ndarray, wanted: np.ndarray, largest_change: float
) -> tuple[np.ndarray, bool]:
    change, cut = limit_norm(wanted - before, largest_change)
    return before + change, cut


def _within(
    linear: np.ndarray, position: np.ndarray, parameters: VLAParameters
) -> tuple[np.ndarray, bool]:
    """Return a velocity that can still be braked, at the limit of acceleration, at the walls."""
    box = np.array(parameters.workspace).reshape(2, 3)
    room = np.maximum([position - box[0], box[1] - position], 0.0)  # [2, 3] m to the walls
    slowest, fastest = brakeable(
        room, parameters.max_linear_acceleration, 1 / parameters.publish_rate
    )
    bounded = np.clip(linear, -slowest, fastest)
    return bounded, bool(np.any(bounded != linear))
