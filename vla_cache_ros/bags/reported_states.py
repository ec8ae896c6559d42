# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Find the robot states that step reports name by their stamps: one of the pose, one of each joint.

Keeps only what a report names until it comes. Knows no images and no files.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

import numpy as np
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.control.messages import stamp_of
from vla_cache_ros.control.sensing.joints import usable
from vla_cache_ros.control.sensing.joints import used_positions
from vla_cache_ros.control.sensing.robot import JOINTS
from vla_cache_ros.control.sensing.robot import POSE
from vla_cache_ros.control.sensing.robot import RobotState
from vla_cache_ros.control.sensing.robot import StateInput
from vla_cache_ros.control.sensing.states import pose_vector
from vla_cache_ros.control.sensing.states import position_and_axis_angle

Key = tuple[str, int]  # a joint, or empty for the pose; stamp, ns


class ReportedStates:
    """Take the messages of a bag; give the state that a report names."""

    def __init__(self, topics: BagTopics, state: StateInput, reports: Iterable[dict]):
        """Count what the reports name; state: that of the bag, without messages that move."""
        self._layout, self._state = topics.layout, state
        self._needed = Counter(key for report in reports for key in self.keys(report) or ())
        self._poses = sorted({stamp for name, stamp in self._needed if not name})  # not come yet
        self._held: dict[Key, float | np.ndarray] = {}

    def keys(self, report: dict) -> list[Key] | None:
        """Return what a report was made from; None if it names no state, or another kind."""
        stamps, joints = report.get('state_stamps', []), report.get('joint_stamps')
        if joints is None:  # of old, when all came in one message
            joints = stamps[1:] * len(self._layout.joints)
        poses = stamps[: len(stamps) - bool(joints)]
        if not self._state.topics or len(joints) != len(self._layout.joints):
            return None
        if self._layout.needs_pose and len(poses) != 1:
            return None
        found = list(zip(self._layout.joints, joints, strict=True))
        return [('', poses[0]), *found] if self._layout.needs_pose else found

    def take(self, source: str, message: object) -> None:
        """Keep of a message what reports name."""
        self._state.take(source, message)
        if source == JOINTS:
            stamp = stamp_of(message)
            for name, position in used_positions(message, self._layout.joints):
                if self._needed[name, stamp] and usable(position):
                    self._held[name, stamp] = position
        elif source == POSE:
            self._keep_pose(message)
        else:
            self._look_up()

    def newest(self) -> RobotState:
        """Return what the state is now, or an empty one."""
        return self._state.newest(0) or RobotState()

    def complete(self, keys: Iterable[Key]) -> bool:
        """Say whether all that a report names has come."""
        return all(key in self._held for key in keys)

    def find(self, keys: list[Key]) -> RobotState:
        """Return the state of keys that are complete."""
        pose = self._held.get(keys[0]) if self._layout.needs_pose else None
        joints = keys[1:] if self._layout.needs_pose else keys
        positions = {name: self._held[name, stamp] for name, stamp in joints}
        vector = self._layout.vector(pose, positions)
        stamps = tuple(stamp for _, stamp in joints)
        return RobotState(vector, keys[0][1] if self._layout.needs_pose else None, stamps)

    def release(self, keys: Iterable[Key]) -> None:
        """Drop what no later report names."""
        for key in keys:
            self._needed[key] -= 1
            if self._needed[key] <= 0:
                self._held.pop(key, None)

    def _keep_pose(self, message: object) -> None:
        stamp = stamp_of(message)
        if self._needed['', stamp]:
            with suppress(ValueError):  # the live node did not use it either
                self._held['', stamp] = position_and_axis_angle(message)

    def _look_up(self) -> None:
        """Keep the poses at the times that are within reach now."""
        source = self._state.source
        frames = source.frame, source.tip
        with suppress(ValueError):
            within = bisect_right(self._poses, source.transforms.newest(*frames))
            reached, self._poses = self._poses[:within], self._poses[within:]
            for stamp in reached:
                with suppress(ValueError):
                    self._held['', stamp] = pose_vector(*source.transforms.at(*frames, stamp))
