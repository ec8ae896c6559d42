# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Write the reference of all parameters as Markdown, from their one declaration.

docs/reference/parameters.md is what comes of it.
"""

from dataclasses import Field
from dataclasses import fields

from vla_cache_ros.control.parameters import GzArmParameters
from vla_cache_ros.control.parameters import PictureSourceParameters
from vla_cache_ros.control.parameters import RecorderParameters
from vla_cache_ros.control.parameters import SimRobotParameters
from vla_cache_ros.control.parameters import ViewParameters
from vla_cache_ros.control.vla_parameters import VLAParameters

NODES = {
    'vla_node': VLAParameters,
    'sim_robot_node': SimRobotParameters,
    'gz_arm_node': GzArmParameters,
    'recorder': RecorderParameters,
    'view': ViewParameters,
    'picture_source': PictureSourceParameters,
}
INTRODUCTION = """# Parameters

Written by `python -m vla_cache_ros.control.parameter_table` from `control/vla_parameters.py`,
what that is made of and `parameters.py`. A parameter marked *live* may change while the node runs;
the others take effect at configure, and are refused in between. An unknown name, a value of
another type or out of range is refused in one line. On a running graph: `ros2 param describe
/vla_node <name>`."""


def markdown() -> str:
    """Return the text of the reference of all parameters."""
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
    facts, value = one.metadata, one.default
    if isinstance(value, tuple):
        default = ', '.join(f'`{entry}`' for entry in value) or 'none'
    elif isinstance(value, bool):
        default = f'`{str(value).lower()}`'
    else:
        default = f'`{value}`' if value != '' else 'empty'
    bounds = '' if facts['low'] is None else f'{facts["low"]:g} to {facts["high"]:g}'
    live = ' *Live.*' if facts['live'] else ''
    limits = f'{bounds} {facts["unit"]}'.strip()
    return f'| `{one.name}` | {default} | {limits} | {facts["description"]}.{live} |'


if __name__ == '__main__':
    print(markdown(), end='')
