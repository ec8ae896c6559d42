# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn joint states and poses into the state vector of an Observation.

Works on any object with the fields of the message. It does not know when a message is too old.
"""

from collections.abc import Sequence

import numpy as np


def finger_positions(
    message: object, joints: Sequence[str], parameter: str = 'finger_joints'
) -> np.ndarray:
    """
    Return the positions [n] (m, rad) of the named joints of a sensor_msgs/JointState.

    Raises ValueError when one is missing or any position in the message is not finite.
    """
    positions = dict(zip(message.name, message.position, strict=False))
    missing = [joint for joint in joints if joint not in positions]
    if missing:
        found = ', '.join(n if n.isprintable() else repr(n) for n in positions) or 'none'
        raise ValueError(
            f'joint_states: expected the joints {", ".join(joints)}, '
            f'got {found}; set the parameter {parameter}'
        )
    for joint, position in positions.items():
        if not _finite(position):
            raise ValueError(
                f'joint_states: expected finite positions, got {position} for {joint!r}'
            )
    return np.array([positions[joint] for joint in joints])


def position_and_axis_angle(message: object) -> np.ndarray:
    """
    Return a geometry_msgs/PoseStamped as [6]: xyz (m), axis-angle (rad).

    Of the two axis-angle vectors of a rotation the one with x >= 0 is taken (norm up to 2 pi):
    a gripper that points down is half a turn about x, and must not jump from one to the other.
    Raises ValueError for values that are not finite or a quaternion that is not of unit norm.
    """
    position, orientation = message.pose.position, message.pose.orientation
    xyz = np.array([position.x, position.y, position.z])
    quaternion = np.array([orientation.x, orientation.y, orientation.z, orientation.w])
    norm = float(np.linalg.norm(quaternion))
    if not (_finite(xyz) and abs(norm - 1) < 1e-2):
        raise ValueError(
            'end_effector_pose: expected a finite position and a unit quaternion, '
            f'got {xyz.tolist()} and {quaternion.tolist()}'
        )
    quaternion = quaternion / (-norm if quaternion[0] < 0 else norm)
    sine = float(np.linalg.norm(quaternion[:3]))
    angle = 2 * np.arctan2(sine, quaternion[3])
    axis = quaternion[:3] / sine if sine > 1e-12 else np.zeros(3)
    return np.concatenate([xyz, axis * angle])


def to_proprio(pose: object, joints: object, finger_joints: Sequence[str]) -> np.ndarray:
    """Return the state vector float32 [6 + n]: xyz (m), axis-angle (rad), fingers (m)."""
    fingers = finger_positions(joints, finger_joints)
    return np.concatenate([position_and_axis_angle(pose), fingers]).astype(np.float32)


def _finite(values: np.ndarray | float) -> bool:
    """Say whether numbers are finite as float32 too, which the state vector is made of."""
    with np.errstate(over='ignore'):
        return bool(np.isfinite(np.asarray(values, dtype=np.float32)).all())
