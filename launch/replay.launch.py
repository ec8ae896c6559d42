# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Play images, state and instruction of a bag into the policy node; no command is sent.

The bag starts once the node is active, its time is everybody's, and its end ends the launch.
"""

from launch import LaunchContext
from launch import LaunchDescription
from launch import LaunchDescriptionEntity
from launch.actions import EmitEvent
from launch.actions import OpaqueFunction
from launch.actions import RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from vla_cache_ros.ros import launching
from vla_cache_ros.ros.bag_launching import playing


def make_nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the policy, with the bag waiting for it."""
    bag = playing(context)
    ended = OnProcessExit(
        target_action=bag, on_exit=[EmitEvent(event=Shutdown(reason='the bag has ended'))]
    )
    dry = {'dry_run': True}  # there is no arm at the other end of a recording
    return [
        RegisterEventHandler(ended),
        *launching.policy(context, fixed=dry, when_active=[bag]),
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; everything else is in params_file."""
    policy = [one for one in launching.policy_arguments() if one.name != 'dry_run']
    return LaunchDescription(
        [
            *launching.common_arguments('ur5e_servo.yaml', use_sim_time='true'),
            *policy,
            *launching.topic_arguments(),
            launching.argument('bag_path', 'folder of the bag to play', default_value=None),
            launching.argument(
                'rate', 'speed of the bag; below 1 for a slow machine', default_value='1.0'
            ),
            OpaqueFunction(function=make_nodes),
        ]
    )
