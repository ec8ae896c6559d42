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
from rosbags.typesys import get_types_from_idl
from rosbags.typesys import get_types_from_msg
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores
from rosbags.typesys.store import Typestore

NO_DEFINITION = MessageDefinition(MessageDefinitionFormat.NONE, '')
_IDL_SEPARATOR = '=' * 80 + '\n'


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
            raise ValueError(
                f'{record.topic}: expected a {record.kind}, came {len(record.data)} bytes '
                f'that are none ({type(error).__name__}: {error})'
            ) from error

    def _store(self, kind: str, definition: MessageDefinition) -> Typestore:
        types = _parse(kind, definition)
        if not types:
            return self._known
        # Own definitions come first: an older distribution may have other fields under the name.
        store = get_typestore(Stores.EMPTY)
        store.register({**self._known.fielddefs, **types})
        return store


def _parse(kind: str, definition: MessageDefinition) -> dict:
    if definition.format == MessageDefinitionFormat.MSG:
        return get_types_from_msg(definition.data, kind)
    types: dict = {}
    if definition.format == MessageDefinitionFormat.IDL:
        parts = [definition.data]
        if definition.data.startswith(f'{_IDL_SEPARATOR}IDL: '):
            blocks = definition.data.split(_IDL_SEPARATOR)[1:]
            parts = [block.split('\n', 1)[1] for block in blocks]
        for part in parts:
            types.update(get_types_from_idl(part))
    return types
