# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Launch the table-top in Gazebo, the bridge, a driver for the arm, and the policy node.

Needs ros_gz_sim and ros_gz_bridge. The driver brings the arm to its home posture first; tell it
then what to do, as in sim.launch.py.
"""

from launch import LaunchContext
from launch import LaunchDescription
from launch import LaunchDescriptionEntity
from launch.actions import IncludeLaunchDescription
from launch.actions import OpaqueFunction
from launch.substitutions import PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare
from vla_cache_ros.ros import launching
from vla_cache_ros.ros.bag_launching import recording


def make_nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return Gazebo, bridge, recorder, driver and policy."""
    server = '' if launching.text_of(context, 'gui') == 'true' else '-s --headless-rendering '
    gazebo = IncludeLaunchDescription(
        PathJoinSubstitution([FindPackageShare('ros_gz_sim'), 'launch', 'gz_sim.launch.py']),
        launch_arguments={
            'gz_args': f'-r {server}{launching.text_of(context, "world")}',
            'on_exit_shutdown': 'true',
        }.items(),
    )
    bridge = launching.foreign_node(
        context,
        'ros_gz_bridge',
        'parameter_bridge',
        {'config_file': launching.text_of(context, 'bridge_file')},
    )
    record = [recording(context)] if launching.text_of(context, 'bag_path') else []
    driver = launching.node(context, 'gz_arm_node')
    return [gazebo, bridge, *record, driver, *launching.policy(context)]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; everything else is in params_file."""
    return LaunchDescription(
        [
            *launching.common_arguments('tabletop.yaml', use_sim_time='true'),
            *launching.policy_arguments(),
            *launching.topic_arguments(),
            launching.argument(
                'world',
                'SDF file that Gazebo loads',
                default_value=launching.share('worlds', 'tabletop.sdf'),
            ),
            launching.argument(
                'bridge_file',
                'topics between Gazebo and ROS',
                default_value=launching.share('config', 'gz_bridge.yaml'),
            ),
            launching.truth('gui', 'true', "show Gazebo's window"),
            launching.argument('bag_path', 'folder of a bag to record, which must not exist yet'),
            OpaqueFunction(function=make_nodes),
        ]
    )
