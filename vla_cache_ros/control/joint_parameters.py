# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Say what parameters of joint outputs have against each other; knows no other outputs."""

from operator import lt
from typing import Any


def joint_contradiction(parameters: Any) -> str:  # noqa: ANN401 - VLAParameters, which calls this
    """Return what two values have against each other, or an empty string."""
    joints = parameters.arm_joints
    low, high = parameters.joint_lower, parameters.joint_upper
    count = len(joints)
    each = f'{count} numbers, one for each of arm_joints'
    for holds, name, expected in (
        (joints, 'arm_joints', f'the joints of the arm for output {parameters.output}'),
        (len(set(joints)) == count, 'arm_joints', 'each joint once'),
        (len(parameters.joint_scale) in (0, count), 'joint_scale', f'none or {each}'),
        (len(parameters.joint_offset) in (0, count), 'joint_offset', f'none or {each}'),
        (len(low) == count, 'joint_lower', each),
        (len(high) == count, 'joint_upper', each),
        (all(map(lt, low, high)), 'joint_lower', f'less than joint_upper ({list(high)})'),
        (len(parameters.max_joint_velocity) in (1, count), 'max_joint_velocity', f'1 or {each}'),
        (
            len(parameters.max_joint_acceleration) in (1, count),
            'max_joint_acceleration',
            f'1 or {each}',
        ),
        (
            not parameters.workspace,
            'workspace',
            f'none with output {parameters.output}, whose limits are joint_lower and joint_upper',
        ),
    ):
        if not holds:
            return f'{name}: expected {expected}, got {list(getattr(parameters, name))}'
    return ''
