# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Record and play bags from launch files, by the command `ros2 bag`.

Knows which topics, under which names, and how the command is told; what is in them it does not.
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

from launch import LaunchContext
from launch.actions import ExecuteProcess
import launch.logging
from vla_cache_ros.control.image_parameters import image_names
from vla_cache_ros.control.parameters import RecorderParameters
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.ros.launching import renamed
from vla_cache_ros.ros.launching import share
from vla_cache_ros.ros.launching import text_of
import yaml

# What other nodes say about the robot: absolute, since no namespace changes them.
TRANSFORMS = ('/tf', '/tf_static')
SURROUNDINGS = (*TRANSFORMS, '/rosout', '/parameter_events')
INPUTS = ('instruction', 'joint_states', 'end_effector_pose')  # of the policy, beside images
CLOSING = '30'  # s for MCAP to write its index before a stronger signal follows


def recording(context: LaunchContext) -> ExecuteProcess:
    """Return the command that records what params_file lists for `recorder` into bag_path."""
    path = Path(text_of(context, 'bag_path'))
    if path.exists():
        raise ValueError(f'bag_path: expected a folder that does not exist, got {path}')
    topics = [renamed(context, topic) for topic in in_file(context, RecorderParameters, 'topics')]
    command = ['ros2', 'bag', 'record', '-s', 'mcap', '-o', str(path)]
    command += ['--storage-preset-profile', 'zstd_fast']
    command += ['--qos-profile-overrides-path', str(_overrides(context))]
    if text_of(context, 'use_sim_time') == 'true':
        command.append('--use-sim-time')
    command += ['--topics', *topics, *SURROUNDINGS]
    return ExecuteProcess(
        name='bag_record',
        cmd=command,
        output='screen',
        sigterm_timeout=CLOSING,
        sigkill_timeout=CLOSING,
    )


def playing(context: LaunchContext) -> ExecuteProcess:
    """Return the command that plays the policy's inputs out of bag_path, with the bag's time."""
    path = Path(text_of(context, 'bag_path'))
    if not path.exists():
        raise ValueError(f'bag_path: expected a recorded bag, got {path}, which is not there')
    given = (in_file(context, VLAParameters, name) for name in ('image_topics', 'image_transport'))
    images = image_names(*given)
    topics = [renamed(context, topic) for topic in (*images, *INPUTS)]
    if in_file(context, VLAParameters, 'ee_frame'):
        topics += TRANSFORMS
    command = ['ros2', 'bag', 'play', str(path), '--clock', '--rate', text_of(context, 'rate')]
    return ExecuteProcess(name='bag_play', cmd=[*command, '--topics', *topics], output='screen')


def in_file(context: LaunchContext, kind: type, name: str) -> Any:  # noqa: ANN401
    """Return a parameter's value as the parameter files give it, or its default."""
    node = {RecorderParameters: 'recorder', VLAParameters: 'vla_node'}[kind]
    value = next(one.default for one in fields(kind) if one.name == name)
    for argument in ('params_file', 'model_params_file'):
        path = text_of(context, argument)
        entries = yaml.safe_load(Path(path).read_text(encoding='utf-8')) if path else {}
        for target, entry in entries.items():
            if target.rsplit('/', 1)[-1] in (node, '**'):
                value = entry['ros__parameters'].get(name, value)
    return value


def _overrides(context: LaunchContext) -> Path:
    """Write the QoS overrides under the names of this launch, beside its log."""
    path = Path(share('config', 'bag_qos.yaml').perform(context))
    profiles = yaml.safe_load(path.read_text(encoding='utf-8'))
    names = {renamed(context, topic.removeprefix('/')): p for topic, p in profiles.items()}
    target = Path(launch.logging.launch_config.log_dir) / path.name
    target.write_text(yaml.safe_dump(names), encoding='utf-8')
    return target
