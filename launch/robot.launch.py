# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Launch the policy node beside a robot's own drivers, and record if a bag is named.

Sends no command until dry_run is false:
    ros2 launch vla_cache_ros robot.launch.py
        model_params_file:=SHARE/config/openvla_7b.yaml image_topic:=/camera/camera/color/image_raw
        twist_topic:=/servo_node/delta_twist_cmds dry_run:=false
"""

from launch import LaunchContext
from launch import LaunchDescription
from launch import LaunchDescriptionEntity
from launch.actions import OpaqueFunction
from vla_cache_ros.ros import launching
from vla_cache_ros.ros.bag_launching import recording


def make_nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the recorder, which has to be there before the first command, and the policy."""
    record = [recording(context)] if launching.text_of(context, 'bag_path') else []
    return [*record, *launching.policy(context)]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; everything else is in params_file."""
    return LaunchDescription(
        [
            *launching.common_arguments('ur5e_servo.yaml', use_sim_time='false'),
            *launching.policy_arguments(),
            *launching.topic_arguments(),
            launching.argument('bag_path', 'folder of a bag to record, which must not exist yet'),
            OpaqueFunction(function=make_nodes),
        ]
    )
