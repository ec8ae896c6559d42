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
from launch.actions import DeclareLaunchArgument
from launch.actions import EmitEvent
from launch.actions import OpaqueFunction
from launch.actions import RegisterEventHandler
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.actions import Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterFile
from launch_ros.substitutions import FindPackageShare
from lifecycle_msgs.msg import Transition
import yaml

PACKAGE = 'vla_cache_ros'
# Launch arguments that become parameters when given; their defaults are the parameters' own.
POLICY = {
    'model_path': 'checkpoint folder, Hugging Face hub id or shipped name',
    'gate': 'dense, random, motion, vla-cache, learned or learned-fixed',
    'reuse': 'share of visual tokens to reuse, 0 to 1',
    'device': 'torch device',
    'dry_run': 'true: run the policy but send no command',
}
ROBOT = {'seed': 'seed of the first scene', 'task': 'name of the first task'}
RECORDER = {'bag_path': 'folder of a bag to record, which must not exist yet'}


def given(context: LaunchContext, names: dict[str, str]) -> dict[str, object]:
    """Return the arguments among names that were given, as parameters of their YAML type."""
    texts = {name: LaunchConfiguration(name).perform(context) for name in names}
    return {name: yaml.safe_load(text) for name, text in texts.items() if text}


def make_nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the nodes, and what takes the policy node to active."""
    common = {
        'package': PACKAGE,
        'namespace': LaunchConfiguration('namespace'),
        'output': 'screen',
        'ros_arguments': ['--log-level', LaunchConfiguration('log_level')],
    }
    parameters = ParameterFile(LaunchConfiguration('params_file'), allow_substs=True)
    robot = Node(
        name='sim_robot_node',
        executable='sim_robot_node',
        parameters=[parameters, given(context, ROBOT)],
        **common,
    )
    policy = LifecycleNode(
        name='vla_node',
        executable='vla_node',
        parameters=[parameters, given(context, POLICY)],
        **common,
    )
    found: list[LaunchDescriptionEntity] = [robot, policy]
    if LaunchConfiguration('autostart').perform(context) == 'true':
        found.append(
            RegisterEventHandler(
                OnStateTransition(
                    target_lifecycle_node=policy,
                    start_state='configuring',
                    goal_state='inactive',
                    entities=[change(policy, Transition.TRANSITION_ACTIVATE)],
                )
            )
        )
        found.append(change(policy, Transition.TRANSITION_CONFIGURE))
    if given(context, RECORDER):
        recorder = Node(
            name='recorder',
            executable='recorder',
            parameters=[parameters, given(context, RECORDER)],
            **common,
        )
        found.insert(0, recorder)
    return found


def change(node: LifecycleNode, transition: int) -> EmitEvent:
    """Return the action that asks a lifecycle node for a transition."""
    event = ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition)
    return EmitEvent(event=event)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; everything else is in params_file."""
    arguments = [
        DeclareLaunchArgument(
            'params_file',
            default_value=PathJoinSubstitution(
                [FindPackageShare(PACKAGE), 'config', 'tabletop.yaml']
            ),
            description='parameters of all nodes',
        ),
        DeclareLaunchArgument('namespace', default_value='', description='namespace of all nodes'),
        DeclareLaunchArgument('log_level', default_value='info', description='of all nodes'),
        DeclareLaunchArgument(
            'autostart',
            default_value='true',
            choices=['true', 'false'],
            description='configure and activate the policy node',
        ),
    ]
    for name, description in (POLICY | ROBOT | RECORDER).items():
        arguments.append(DeclareLaunchArgument(name, default_value='', description=description))
    return LaunchDescription([*arguments, OpaqueFunction(function=make_nodes)])
