# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say what an exported data set holds: its cameras, state, action, and columns of our own.

LeRobot reads these columns like any other and gives them no meaning.
"""

from collections.abc import Sequence
import re

from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.control.sensing.states import StateLayout
from vla_cache_ros.datasets.commands import Found
from vla_cache_ros.datasets.layout import ACTION
from vla_cache_ros.datasets.layout import CAMERA
from vla_cache_ros.datasets.layout import COLUMNS
from vla_cache_ros.datasets.layout import CORRECTION
from vla_cache_ros.datasets.layout import Feature
from vla_cache_ros.datasets.layout import PICTURE_NAMES
from vla_cache_ros.datasets.layout import REUSE
from vla_cache_ros.datasets.layout import STATE
from vla_cache_ros.datasets.layout import STEP

HELD = 'vla_cache.held'  # whether the observation is the frame's before, as none was complete
STAMP = 'vla_cache.stamp'  # ns by the recorder's clock, of the oldest picture
FRONT = 'front'  # what a camera is called whose topic says nothing
_PLAIN = {'image', 'image_raw', 'image_rect', 'image_color', 'color', 'rgb', 'raw', 'compressed'}


def camera_names(topics: BagTopics, given: Sequence[str]) -> tuple[str, ...]:
    """
    Return the features of the cameras, named by their topics: /wrist/image_raw is wrist.

    given: names in place of those, one for each camera. Raises ValueError for another number, for
    a name twice, and for one that is no word.
    """
    names = list(given)
    if not given:
        for topic in topics.images:
            words = [word for word in topic.split('/') if word and word not in _PLAIN]
            names.append('_'.join(words) or FRONT)
    if len(names) != len(topics.images) or len(set(names)) != len(names):
        raise ValueError(
            f'--camera-name: expected {len(topics.images)} names that differ, one for each camera '
            f'({", ".join(topics.images)}), got {", ".join(names)}'
        )
    for name in names:
        if not re.fullmatch(r'[A-Za-z0-9_-]+', name):
            raise ValueError(f'--camera-name: expected letters, digits, _ and -, got {name!r}')
    return tuple(f'{CAMERA}{name}' for name in names)


def state_feature(layout: StateLayout) -> Feature:
    """Return what the state is: names, and units where nothing was scaled."""
    pose = layout.needs_pose
    first = ('x', 'y', 'z', 'rx', 'ry', 'rz') if pose else layout.arm_joints
    scaled = 'as scaled'
    units = ['m'] * 3 + ['rad'] * 3
    if not pose:
        changed = layout.joint_scale or layout.joint_offset
        units = [scaled if changed else 'rad'] * len(first)
    changed = layout.finger_scale or layout.finger_offset
    units += [scaled if changed else 'as in joint_states'] * len(layout.finger_joints)
    names = (*first, *layout.finger_joints)
    return Feature('float32', (len(names),), names, {'units': units})


def action_feature(found: Found) -> Feature:
    """Return what an action is: names and units of its numbers, and who was listened to."""
    info = {'units': list(found.units), 'topics': [found.arm, *filter(None, [found.gripper])]}
    return Feature('float32', (len(found.names),), found.names, info)


def features(
    pictures: dict[str, Feature], state: Feature | None, action: Feature, reported: bool
) -> dict[str, Feature]:
    """Return all features in their order; reported: whether there are step reports."""
    found = {**pictures, **({STATE: state} if state else {}), ACTION: action}
    found |= {
        CORRECTION: Feature('bool', (1,)),
        HELD: Feature('bool', (1,)),
        STAMP: Feature('int64', (1,), info={'units': ['ns']}),
    }
    if reported:
        found |= {STEP: Feature('int64', (1,)), REUSE: Feature('float32', (1,))}
    return found | dict(COLUMNS)


def picture_feature(dtype: str, height: int, width: int, video: dict | None = None) -> Feature:
    """Return what a camera's pictures are; video: how they are encoded, LeRobot's names."""
    return Feature(dtype, (height, width, 3), PICTURE_NAMES, video or {})
