# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Parse the definitions of message types that came with a recording, once they are found harmless.

rosbags makes Python code of them. Names cannot get anything else into it (its grammar takes
letters, digits and underscores), but a few characters can make its parser or its code take
hours and gigabytes. Knows no messages.
"""

from functools import cache
import re
from typing import Any

from rosbags.interfaces import MessageDefinition
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.interfaces import Nodetype
from rosbags.typesys import get_types_from_idl
from rosbags.typesys import get_types_from_msg

LONGEST = 2**18  # characters; a long one, of MoveIt's, has 2^17
MOST_LINES = 2**11  # that are no comment
MOST_FIELDS = 2**14  # of a type, those of its fields and of arrays of fixed size counted
_IDL_SEPARATOR = '=' * 80 + '\n'
_IDL_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
# Arithmetic: nested brackets take the parser forever, a shift takes any amount of memory. What
# ROS generates has numbers only, and brackets around an annotation's arguments.
_IDL_SUMS = re.compile(r'<<|[*/%~^|&]|=\s*[-+\s]*\(|\([^()]*\(|\d\s*[-+]')
_REMARKS = re.compile(r'^[ \t]*(?:#[^\n]*)?\n', re.MULTILINE)
_NAME = re.compile(r'[A-Za-z]\w*(/[A-Za-z]\w*){1,3}')


def types_of(kind: str, definition: MessageDefinition, known: dict[str, Any]) -> dict[str, Any]:
    """
    Return the types that a definition has, by name, none if it is empty.

    known: types that it may refer to. Raises ValueError for what would take forever.
    """
    if definition.format == MessageDefinitionFormat.NONE:
        return {}
    text = definition.data
    if len(text) > LONGEST or not _NAME.fullmatch(kind):
        raise ValueError(f'expected a definition of at most {LONGEST} characters and its name')
    if definition.format == MessageDefinitionFormat.MSG:
        text = _REMARKS.sub('', text)  # over which the parser takes its time
    if text.count('\n') > MOST_LINES:
        raise ValueError(f'expected a definition of at most {MOST_LINES} lines')
    types: dict[str, Any] = {}
    if definition.format == MessageDefinitionFormat.MSG:
        types = get_types_from_msg(text, kind)
    else:
        if _IDL_SUMS.search(_IDL_TEXT.sub('', text)):
            raise ValueError('expected a definition whose constants are numbers')
        parts = [text]
        if text.startswith(f'{_IDL_SEPARATOR}IDL: '):
            parts = [block.split('\n', 1)[1] for block in text.split(_IDL_SEPARATOR)[1:]]
        for part in parts:
            types.update(get_types_from_idl(part))
    _count_fields(types, known)
    return types


def _count_fields(types: dict[str, Any], known: dict[str, Any]) -> None:
    """Raise ValueError where a type unfolds to very many fields, or holds itself."""

    @cache
    def count(name: str) -> int:
        fields = (types.get(name) or known[name])[1]
        return bounded(name, 1 + sum(of(description) for _, description in fields))

    def of(description: tuple) -> int:
        kind, what = description
        if kind == Nodetype.BASE:
            return 1
        if kind == Nodetype.NAME:
            return count(what)
        inner, size = what
        plain = inner[0] == Nodetype.BASE and 'string' not in inner[1][0]
        return of(inner) * (size if kind == Nodetype.ARRAY and not plain else 1)

    def bounded(name: str, fields: int) -> int:
        if fields > MOST_FIELDS:
            raise ValueError(f'{name}: expected at most {MOST_FIELDS} fields, found {fields:.3g}')
        return fields

    for name in types:
        count(name)
