# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Write the reference of all parameters as Markdown, from their one declaration.

docs/parameters.md is what comes of it.
"""

from collections.abc import Iterator
from dataclasses import Field
from dataclasses import fields

from vla_cache_ros.control.parameters import GzArmParameters
from vla_cache_ros.control.parameters import PictureSourceParameters
from vla_cache_ros.control.parameters import RecorderParameters
from vla_cache_ros.control.parameters import SimRobotParameters
from vla_cache_ros.control.vla_parameters import VLAParameters

NODES = {
    'vla_node': VLAParameters,
    'sim_robot_node': SimRobotParameters,
    'gz_arm_node': GzArmParameters,
    'recorder': RecorderParameters,
    'picture_source': PictureSourceParameters,
}
INTRODUCTION = """# Parameters

Written by `python -m vla_cache_ros.control.parameter_table` from `control/vla_parameters.py`
and `parameters.py`. A parameter marked *live* may change while the node runs; the others take
effect at configure, and are refused in between. An unknown name, a value of another type or out of
range is refused in one line. On a running graph: `ros2 param describe /vla_node <name>`."""


def markdown() -> str:
    """Return the text of docs/parameters.md."""
    lines = [INTRODUCTION]
    for node, kind in NODES.items():
        lines += [
            '',
            f'## {node}',
            '',
            '| name | default | range | meaning |',
            '|---|---|---|---|',
        ]
        lines += [_row(one) for one in fields(kind)]
    return '\n'.join([*lines, ''])


def _row(one: Field) -> str:
    facts = one.metadata
    live = ' *Live.*' if facts['live'] else ''
    return f'| `{one.name}` | {_default(one)} | {_range(one)} | {facts["description"]}.{live} |'


def _default(one: Field) -> str:
    value = one.default
    if isinstance(value, tuple):
        return ', '.join(f'`{entry}`' for entry in value) or 'none'
    if isinstance(value, bool):
        return f'`{str(value).lower()}`'
    return f'`{value}`' if value != '' else 'empty'


def _range(one: Field) -> str:
    facts = one.metadata
    return ' '.join(_range_words(facts['low'], facts['high'], facts['unit']))


def _range_words(low: float | None, high: float | None, unit: str) -> Iterator[str]:
    if low is not None:
        yield f'{low:g} to {high:g}'
    if unit:
        yield unit
