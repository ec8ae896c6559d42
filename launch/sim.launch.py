# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Launch the embedded simulated robot and the policy node, and record them if a bag is named.

Then tell the arm what to do:
    ros2 topic pub --once --qos-durability transient_local --qos-reliability reliable
        /instruction std_msgs/msg/String "{data: put the red cube on the green plate}"
"""

from launch import LaunchContext
from launch import LaunchDescription
from launch import LaunchDescriptionEntity
from launch.actions import OpaqueFunction
from vla_cache_ros.control.parameters import SimRobotParameters
from vla_cache_ros.ros import launching
from vla_cache_ros.ros.bag_launching import recording

ROBOT = ('seed', 'task')


def make_nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return recorder, robot and policy."""
    record = [recording(context)] if launching.text_of(context, 'bag_path') else []
    scene = launching.given(context, ROBOT, SimRobotParameters)
    robot = launching.node(context, 'sim_robot_node', scene)
    return [*record, robot, *launching.policy(context)]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; everything else is in params_file."""
    return LaunchDescription(
        [
            *launching.common_arguments('tabletop.yaml', use_sim_time='false'),
            *launching.policy_arguments(),
            *launching.topic_arguments(),
            *launching.parameter_arguments(ROBOT, SimRobotParameters),
            launching.argument('bag_path', 'folder of a bag to record, which must not exist yet'),
            OpaqueFunction(function=make_nodes),
        ]
    )
