# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Deserialise messages by the definitions that came with them, else by those of ROS 2 Jazzy.

Knows no file: a record is bytes with the name and the definition of their type.
"""

from dataclasses import dataclass
from typing import Any

from rosbags.interfaces import MessageDefinition
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.interfaces import Nodetype
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores
from rosbags.typesys.store import Typestore
from vla_cache_ros.bags.definitions import types_of

NO_DEFINITION = MessageDefinition(MessageDefinitionFormat.NONE, '')
# What is made of messages of these types needs their fields.
READ = {
    'sensor_msgs/msg/Image',
    'sensor_msgs/msg/CompressedImage',
    'std_msgs/msg/String',
    'sensor_msgs/msg/JointState',
    'geometry_msgs/msg/PoseStamped',
    'tf2_msgs/msg/TFMessage',
    # commands
    'geometry_msgs/msg/TwistStamped',
    'std_msgs/msg/Float64MultiArray',
    'trajectory_msgs/msg/JointTrajectory',
}


@dataclass(frozen=True)
class Record:
    """A message as it lies in a file; time: when it was recorded, ns."""

    topic: str
    kind: str
    definition: MessageDefinition
    time: int
    data: bytes


class Deserializer:
    """Turn records into messages; a type is learned when its first record comes."""

    def __init__(self):
        """Start with the types of ROS 2 Jazzy."""
        self._known = get_typestore(Stores.ROS2_JAZZY)
        self._stores: dict[tuple[str, str], Typestore] = {}

    def __call__(self, record: Record) -> Any:  # noqa: ANN401
        """Return the message; raises ValueError, in one line, if its bytes do not fit its type."""
        key = record.kind, record.definition.data
        try:
            if key not in self._stores:
                self._stores[key] = self._store(record.kind, record.definition)
            return self._stores[key].deserialize_cdr(record.data, record.kind)
        except Exception as error:  # noqa: BLE001 - what garbage raises depends on where it is
            reason = ' '.join(
                f'{record.topic:.200}: expected a {record.kind:.200}, got {len(record.data)} '
                f'bytes that are none ({type(error).__name__}: {error!s:.200})'.split()
            )
            raise ValueError(reason) from error

    def _store(self, kind: str, definition: MessageDefinition) -> Typestore:
        types = types_of(kind, definition, self._known.fielddefs)
        if not types:
            return self._known
        if kind in READ:
            _check_fields(kind, types, self._known.fielddefs)
            return self._known
        # Own definitions come first: an older distribution may have other fields under the name.
        store = get_typestore(Stores.EMPTY)
        store.register({**self._known.fielddefs, **types})
        return store


def _check_fields(kind: str, types: dict[str, Any], known: dict[str, Any]) -> None:
    """Raise ValueError where a type, or one within it, has other fields than in ROS 2."""
    fields = known[kind][1]
    if kind in types and list(types[kind][1]) != list(fields):
        raise ValueError(f'{kind}: expected the fields that ROS 2 gives it')
    for _, (node, what) in fields:
        if node == Nodetype.NAME:
            _check_fields(what, types, known)
