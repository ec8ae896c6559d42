# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Keep the newest state of the robot, from joint states and from a pose or /tf.

Pure Python: takes messages, whoever brings them. It knows no images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from vla_cache_ros.control.messages import stamp_of
from vla_cache_ros.control.safety import lateness
from vla_cache_ros.control.sensing.joints import JointStates
from vla_cache_ros.control.sensing.states import pose_vector
from vla_cache_ros.control.sensing.states import position_and_axis_angle
from vla_cache_ros.control.sensing.states import StateLayout
from vla_cache_ros.control.sensing.transforms import NoTransform
from vla_cache_ros.control.vla_parameters import VLAParameters

JOINTS, POSE, TF, TF_STATIC = 'joint_states', 'end_effector_pose', 'tf', 'tf_static'


@dataclass(frozen=True)
class PoseSource:
    """
    Say where the end effector's pose comes from.

    frame: in which it has to be; empty: whatever the messages say. tip: the frame that is looked
    up in it, in transforms (a TransformBuffer, or what behaves like one); empty: the pose comes
    as PoseStamped.
    """

    frame: str = ''
    tip: str = ''
    transforms: Any = None

    @property
    def topics(self) -> tuple[str, ...]:
        """Return what is listened to."""
        return (TF, TF_STATIC) if self.tip else (POSE,)


@dataclass(frozen=True)
class RobotState:
    """
    The state of one observation.

    vector: float32 [n], None where the policy takes none. pose_stamp and joint_stamps: ns, of
    what it was made from, the joints in the order of the vector; None and empty where they are
    not needed.
    """

    vector: np.ndarray | None = None
    pose_stamp: int | None = None
    joint_stamps: tuple[int, ...] = ()

    @property
    def stamps(self) -> list[int]:
        """Return the stamps of the pose and of the oldest joint, of what is needed."""
        joints = [min(self.joint_stamps)] if self.joint_stamps else []
        return joints if self.pose_stamp is None else [self.pose_stamp, *joints]


def state_layout(parameters: VLAParameters) -> StateLayout:
    """Return what the state vector is made of, by a node's parameters."""
    fingers = parameters.finger_joints, parameters.finger_scale, parameters.finger_offset
    if parameters.state_space != 'joints':
        return StateLayout(*fingers)
    joints = parameters.arm_joints, parameters.joint_scale, parameters.joint_offset
    if not parameters.gripper_apart:
        fingers = (), (), ()  # they are among the joints
    return StateLayout(*fingers, *joints)


class StateInput:
    """The newest state, and what is wrong with it."""

    def __init__(
        self,
        layout: StateLayout | None = None,
        pose: PoseSource | None = None,
        driven: Sequence[str] = (),
    ):
        """
        Start without any.

        layout: None where no vector is needed. pose: None: nor a pose. driven: joints whose
        positions are needed beside those of the vector.
        """
        self._layout, self.source = layout, pose
        self._used = (*(layout.joints if layout else ()), *driven)
        self._joints = JointStates(self._used)
        self.topics = (*((JOINTS,) if self._used else ()), *(pose.topics if pose else ()))
        self._pose: tuple[int, np.ndarray] | None = None  # ns, [6]
        self._pose_fault, self._no_pose = '', ''

    def take(self, topic: str, message: object) -> bool:
        """Keep a message of one of the topics; return whether it says anything of interest."""
        if topic == JOINTS:
            return self._joints.take(message)
        try:
            found = self._look_up(topic, message) if topic != POSE else self._read(message)
            self._no_pose = ''
        except NoTransform as error:
            self._no_pose = str(error)
            return False
        except ValueError as error:
            self._pose_fault = str(error)
            return True
        if found is None:
            return False
        self._pose, self._pose_fault = found, ''
        return True

    def forget(self) -> None:
        """Forget what came so far."""
        self._joints.forget()
        self._pose, self._pose_fault, self._no_pose = None, '', ''
        if self.source and self.source.tip:
            self.source.transforms.clear()

    def pose(self) -> np.ndarray | None:
        """Return the newest pose [6], xyz (m) and axis-angle (rad), or None before the first."""
        return None if self._pose is None else self._pose[1]

    def joint_positions(self, names: Sequence[str]) -> np.ndarray | None:
        """Return the newest positions [n] of joints that are needed, None before the first."""
        if not self._joints.complete:
            return None
        return np.array([self._joints.positions[name] for name in names])

    def problems(self, now: int, timeout: float) -> dict[tuple[str, str], str]:
        """Return (cause, source) -> message for what forbids its use at now (ns); timeout: s."""
        found = {}
        if self._used and (wrong := self._joints.problem(now, timeout)):
            found[f'{wrong[0]}_state', JOINTS] = wrong[1]
        if self.source and (wrong := self._pose_problem(now, timeout)):
            found[f'{wrong[0]}_state', self.source.topics[0]] = wrong[1]
        return found

    def newest(self, after: int) -> RobotState | None:
        """Return the newest state if nothing in it is older than after (ns), else None."""
        stamps = tuple(self._joints.stamps.get(name, -1) for name in self._names())
        pose = self._pose or (-1, None)
        if any(stamp < after for stamp in (*stamps, *(pose[:1] if self.source else ()))):
            return None
        if (stamps and min(stamps) < 0) or (self.source and self._pose is None):
            return None
        vector = self._layout and self._layout.vector(pose[1], self._joints.positions)
        return RobotState(vector, pose[0] if self.source else None, stamps)

    def _names(self) -> tuple[str, ...]:
        return self._layout.joints if self._layout else ()

    def _pose_problem(self, now: int, timeout: float) -> tuple[str, str] | None:
        source = self.source
        if self._pose_fault:
            return 'bad', self._pose_fault
        name = f'tf ({source.tip} in {source.frame})' if source.tip else POSE
        if self._pose is None:
            return 'no', self._no_pose or f'waiting for state {name}'
        return lateness(name, self._pose[0], now, timeout)

    def _read(self, message: object) -> tuple[int, np.ndarray]:
        pose = position_and_axis_angle(message)
        if self.source.frame and message.header.frame_id != self.source.frame:
            raise ValueError(
                f'{POSE}: expected frame {self.source.frame} (frame_id), '
                f'got {message.header.frame_id!r}; have the driver publish it there'
            )
        return stamp_of(message), pose

    def _look_up(self, topic: str, message: object) -> tuple[int, np.ndarray] | None:
        """Return what is new of the tip, if anything is."""
        source = self.source
        source.transforms.take(message, static=topic == TF_STATIC)
        stamp = source.transforms.newest(source.frame, source.tip)
        if self._pose and self._pose[0] == stamp and not self._pose_fault:
            return None
        return stamp, pose_vector(*source.transforms.at(source.frame, source.tip, stamp))


def state_input(
    parameters: VLAParameters,
    needs_vector: bool,
    transforms: Any,  # noqa: ANN401
) -> StateInput:
    """Return what a node listens to for the state, for its limits and for its output."""
    layout = state_layout(parameters) if needs_vector else None
    # Another frame would put the workspace elsewhere; a state may be in any.
    strict = parameters.output == 'pose' or bool(parameters.workspace)
    source = None
    if strict or (layout and layout.needs_pose):
        source = PoseSource(parameters.frame_id if strict else '')
        if parameters.ee_frame:
            source = PoseSource(parameters.frame_id, parameters.ee_frame, transforms)
    driven = parameters.arm_joints if parameters.joint_output else ()
    return StateInput(layout, source, driven)
