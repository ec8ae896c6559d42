# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Declare a dataclass of parameters on a node, read it back and check changes to it.

One loop over the fields does each; it does not know what the parameters are.
"""

from collections.abc import Sequence
from dataclasses import Field
from dataclasses import fields
from dataclasses import replace
import math
import re
from typing import Any

from rcl_interfaces.msg import FloatingPointRange
from rcl_interfaces.msg import IntegerRange
from rcl_interfaces.msg import ParameterDescriptor
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node

_WORDS = {bool: 'true or false', int: 'an integer', float: 'a float', str: 'a string'}
# Declared by rclpy itself, so never unknown.
_FOREIGN = re.compile(r'use_sim_time|start_type_description_service|qos_overrides\..*')


def declare(node: Node, kind: type) -> Any:  # noqa: ANN401
    """
    Declare every field of the dataclass kind on node and return an instance read back.

    Raises ValueError, naming what was expected and what came, for an override that is unknown,
    of another type or out of range.
    """
    known = {one.name: one for one in fields(kind)}
    # rclpy offers no public view of the overrides that no declaration has claimed.
    for name, override in node._parameter_overrides.items():
        if name in known:
            reason = check(known[name], override.value)
            if reason:
                raise ValueError(reason)
        elif not _FOREIGN.fullmatch(name) and not node.has_parameter(name):
            raise ValueError(f'{name}: unknown parameter, expected one of {", ".join(known)}')
    for one in known.values():
        default = list(one.default) if isinstance(one.default, tuple) else one.default
        node.declare_parameter(one.name, default, _descriptor(one))
    values = read(node, kind)
    if values.contradiction():
        raise ValueError(values.contradiction())
    return values


def read(node: Node, kind: type) -> Any:  # noqa: ANN401
    """Return an instance of kind with the values that node's parameters have now."""
    values = {}
    for one in fields(kind):
        value = node.get_parameter(one.name).value
        values[one.name] = type(one.default)(value)  # a list becomes a tuple, 1 becomes 1.0
    return kind(**values)


def examine(current: Any, changes: list, running: bool) -> SetParametersResult:  # noqa: ANN401
    """
    Say whether changes (rclpy Parameters) may be made to the dataclass instance current.

    running: whether the node is past configure, where only live parameters may change.
    """
    known = {one.name: one for one in fields(current)}
    wanted = {}
    for change in changes:
        one = known.get(change.name)
        if one is None:
            continue
        reason = check(one, change.value)
        if not reason and running and not one.metadata['live']:
            reason = (
                f'{one.name}: takes effect at configure, expected the node to be unconfigured; '
                'call the cleanup transition first'
            )
        if reason:
            return SetParametersResult(successful=False, reason=reason)
        wanted[one.name] = type(one.default)(change.value)
    reason = replace(current, **wanted).contradiction()
    return SetParametersResult(successful=not reason, reason=reason)


def check(one: Field, value: object) -> str:
    """Return why value does not suit the parameter, in one line, or an empty string."""
    facts, listed = one.metadata, isinstance(one.default, tuple)
    expected = _expected(one)
    complaint = f'{one.name}: expected {expected}, got {value!r}'
    if listed and (not isinstance(value, Sequence) or isinstance(value, str)):
        return complaint
    if listed and one.default and not value:
        return complaint
    kind = _entry_kind(one)
    for entry in value if listed else [value]:
        whole_for_float = kind is float and type(entry) is int
        if type(entry) is not kind and not whole_for_float:
            return complaint
        if isinstance(entry, float) and not math.isfinite(entry):
            return complaint
        if facts['low'] is not None and not facts['low'] <= entry <= facts['high']:
            return complaint
        if facts['pattern'] and not re.fullmatch(facts['pattern'], entry):
            return complaint
    return ''


def _entry_kind(one: Field) -> type:
    """Return the type of a value, or of the entries of a list."""
    if isinstance(one.default, tuple):
        return float if one.metadata['low'] is not None else str
    return type(one.default)


def _expected(one: Field) -> str:
    facts = one.metadata
    if isinstance(one.default, tuple):
        entries = {str: 'strings', float: 'numbers'}[_entry_kind(one)]
        return f'a list of {entries}' + (', not empty' if one.default else '')
    if facts['pattern']:
        return f'{_WORDS[type(one.default)]} ({facts["description"]})'
    if facts['low'] is None:
        return _WORDS[type(one.default)]
    unit = f' {facts["unit"]}' if facts['unit'] else ''
    return f'{_WORDS[type(one.default)]} from {facts["low"]:g} to {facts["high"]:g}{unit}'


def _descriptor(one: Field) -> ParameterDescriptor:
    facts = one.metadata
    unit = f' [{facts["unit"]}]' if facts['unit'] else ''
    descriptor = ParameterDescriptor(
        name=one.name,
        description=facts['description'] + unit,
        dynamic_typing=True,  # check() does it: rclpy's own refusal does not name the parameter
        additional_constraints='' if facts['live'] else 'takes effect at configure',
    )
    if facts['low'] is not None and _entry_kind(one) is float:
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=float(facts['low']), to_value=float(facts['high']))
        ]
    elif facts['low'] is not None:
        descriptor.integer_range = [
            IntegerRange(from_value=int(facts['low']), to_value=int(facts['high']), step=1)
        ]
    return descriptor
