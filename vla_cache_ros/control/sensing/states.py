# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say what the state vector of an Observation is made of, and make it.

Works on any object with the fields of the message. It does not know when a message is too old.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

POSE_SIZE = 6
LARGEST = 1e6  # of a scale or an offset


@dataclass(frozen=True)
class StateLayout:
    """
    Name what the state vector holds, in order.

    First the end effector's pose, xyz (m) and axis-angle (rad), or in its place, if any are named,
    of each of arm_joints (position - joint_offset) / joint_scale; then of each finger joint
    finger_scale * position + finger_offset. Scales and offsets are 1 and 0 where they are empty.
    """

    finger_joints: tuple[str, ...]
    finger_scale: tuple[float, ...] = ()
    finger_offset: tuple[float, ...] = ()
    arm_joints: tuple[str, ...] = ()
    joint_scale: tuple[float, ...] = ()
    joint_offset: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for scales or offsets of another number than there are joints."""
        for part, joints in (('finger', self.finger_joints), ('joint', self.arm_joints)):
            for name in (f'{part}_scale', f'{part}_offset'):
                numbers = getattr(self, name)
                fits = len(numbers) in (0, len(joints)) and all(abs(n) <= LARGEST for n in numbers)
                if not fits or (name == 'joint_scale' and 0 in numbers):
                    raise ValueError(
                        f'{name}: expected {len(joints)} numbers, one for each '
                        f'{"finger" if part == "finger" else "arm"} joint ({", ".join(joints)}), '
                        f'or none, got {list(numbers)}'
                    )

    @property
    def needs_pose(self) -> bool:
        """Say whether the end effector's pose is part of it."""
        return not self.arm_joints

    @property
    def joints(self) -> tuple[str, ...]:
        """Return the joints whose positions are part of it, in its order."""
        return self.arm_joints + self.finger_joints

    def check(self, size: int) -> None:
        """Raise ValueError unless the vector has the size (numbers) that a model takes."""
        first, fingers = len(self.arm_joints), len(self.finger_joints)
        if (first or POSE_SIZE) + fingers == size:
            return
        if first:
            raise ValueError(
                f'arm_joints, finger_joints: expected {size} together, the numbers of this '
                f"checkpoint's state, got {first} and {fingers} ({', '.join(self.joints)})"
            )
        raise ValueError(
            f"finger_joints: expected {size - POSE_SIZE}, as this checkpoint's state has {size} "
            f'numbers and a pose {POSE_SIZE} of them, got {fingers} '
            f'({", ".join(self.finger_joints)})'
        )

    def vector(self, pose: np.ndarray | None, positions: Mapping[str, float]) -> np.ndarray:
        """Return the state float32 [n] of a pose [6], which may be None where none is needed."""
        fingers = np.array([positions[name] for name in self.finger_joints])
        if self.finger_scale:
            fingers = fingers * self.finger_scale
        if self.finger_offset:
            fingers = fingers + self.finger_offset
        first = pose
        if not self.needs_pose:
            first = np.array([positions[name] for name in self.arm_joints])
            first = (first - (self.joint_offset or 0.0)) / (self.joint_scale or 1.0)
        return np.concatenate([first, fingers]).astype(np.float32)


def position_and_axis_angle(message: object) -> np.ndarray:
    """Return a geometry_msgs/PoseStamped as pose_vector does."""
    position, orientation = message.pose.position, message.pose.orientation
    return pose_vector(
        [position.x, position.y, position.z],
        [orientation.x, orientation.y, orientation.z, orientation.w],
    )


def pose_vector(xyz: Sequence[float], quaternion: Sequence[float]) -> np.ndarray:
    """
    Return a position (m) and a quaternion, xyzw, as [6]: xyz (m), axis-angle (rad).

    Of the two axis-angle vectors of a rotation the one with x >= 0 is taken (norm up to 2 pi):
    a gripper that points down is half a turn about x, and must not jump from one to the other.
    Raises ValueError for values that are not finite or a quaternion that is not of unit norm.
    """
    xyz, quaternion = np.array(xyz, float), np.array(quaternion, float)
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


def _finite(values: np.ndarray) -> bool:
    """Say whether numbers are finite as float32 too, which the state vector is made of."""
    with np.errstate(over='ignore'):
        return bool(np.isfinite(np.asarray(values, dtype=np.float32)).all())
