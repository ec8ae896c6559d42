# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Record a running robot and policy to a bag (MCAP), by `ros2 bag record`.

Start it before the first command; with use_sim_time nothing is written until /clock comes.
"""

from launch import LaunchContext
from launch import LaunchDescription
from launch import LaunchDescriptionEntity
from launch.actions import OpaqueFunction
from vla_cache_ros.ros import launching
from vla_cache_ros.ros.bag_launching import recording


def record(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the recorder."""
    return [recording(context)]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; the topics are in params_file, under `recorder`."""
    return LaunchDescription(
        [
            *launching.common_arguments('ur5e_servo.yaml', use_sim_time='false'),
            *launching.topic_arguments(),
            launching.argument(
                'bag_path', 'folder of the bag, which must not exist yet', default_value=None
            ),
            OpaqueFunction(function=record),
        ]
    )
