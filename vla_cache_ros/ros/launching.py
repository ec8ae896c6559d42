# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the launch files share: arguments, remapping, nodes, and the policy's way to active.

Needs launch and launch_ros, which come with a ROS install. Knows no default of a node's parameter:
an argument that is not given leaves its parameter, and the file it may stand in, alone.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import fields
import posixpath

from launch import LaunchContext
from launch import LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument
from launch.actions import EmitEvent
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
from vla_cache_ros.control.vla_parameters import VLAParameters
import yaml

PACKAGE = 'vla_cache_ros'
POLICY_PARAMETERS = (
    'model_path', 'policy_url', 'unnorm_key', 'gate', 'reuse', 'device', 'dry_run',
)  # fmt: skip
# Argument -> the name that it replaces. A remapped image takes its compressed form with it.
TOPICS = {
    'image_topic': 'image_raw',
    'wrist_image_topic': 'wrist/image_raw',
    'instruction_topic': 'instruction',
    'joint_states_topic': 'joint_states',
    'pose_topic': 'end_effector_pose',
    'twist_topic': 'delta_twist_cmds',
    'target_pose_topic': 'target_pose',
    'joint_positions_topic': 'joint_position_commands',
    'joint_trajectory_topic': 'joint_trajectory',
    'gripper_topic': 'gripper/commands',
    'estop_topic': 'estop',
    'teleop_topic': 'teleop_twist_cmds',
}
# An action has no name of its own to ROS 2 remapping, only these.
_OF_AN_ACTION = ('send_goal', 'cancel_goal', 'get_result', 'feedback', 'status')


def share(*parts: str) -> PathJoinSubstitution:
    """Return the path of an installed file of this package."""
    return PathJoinSubstitution([FindPackageShare(PACKAGE), *parts])


def argument(name: str, description: str, **options: object) -> DeclareLaunchArgument:
    """Declare an argument that is empty, which means not given, unless told otherwise."""
    return DeclareLaunchArgument(name, description=description, **{'default_value': '', **options})


def truth(name: str, default: str, description: str) -> DeclareLaunchArgument:
    """Declare an argument that is true or false."""
    return argument(name, description, default_value=default, choices=['true', 'false'])


def common_arguments(params_file: str, use_sim_time: str) -> list[DeclareLaunchArgument]:
    """Declare what every launch file takes; params_file names a file of config/."""
    return [
        argument(
            'params_file',
            'parameters of all nodes: the robot, or robot and model in one',
            default_value=share('config', params_file),
        ),
        argument(
            'model_params_file',
            'laid over params_file: a checkpoint and what its seven numbers mean',
        ),
        truth('use_sim_time', use_sim_time, 'take the time from /clock'),
        argument('namespace', 'namespace of all nodes'),
        argument('log_level', 'of all nodes', default_value='info'),
    ]


def topic_arguments() -> list[DeclareLaunchArgument]:
    """Declare one argument for each name that a robot may call otherwise."""
    found = [argument(name, f'what this robot calls {topic}') for name, topic in TOPICS.items()]
    return [*found, argument('gripper_action', 'what this robot calls the action gripper_cmd')]


def policy_arguments() -> list[DeclareLaunchArgument]:
    """Declare what concerns vla_node alone."""
    return [
        truth('autostart', 'true', 'configure vla_node and, once it is ready, activate it'),
        *parameter_arguments(POLICY_PARAMETERS, VLAParameters),
    ]


def parameter_arguments(names: Sequence[str], kind: type) -> list[DeclareLaunchArgument]:
    """Declare arguments that become parameters of the dataclass kind when they are given."""
    known = {one.name: one.metadata['description'] for one in fields(kind)}
    return [argument(name, f'parameter: {known[name]}') for name in names]


def text_of(context: LaunchContext, name: str) -> str:
    """Return the text of an argument, empty if it was not given or is not one of this launch."""
    return context.launch_configurations.get(name, '')


def given(context: LaunchContext, names: Sequence[str], kind: type) -> dict[str, object]:
    """Return the arguments among names that were given, of their types in the dataclass kind."""
    defaults = {one.name: one.default for one in fields(kind)}
    texts = {name: text_of(context, name) for name in names}
    return {
        name: text if isinstance(defaults[name], str) else yaml.safe_load(text)
        for name, text in texts.items()
        if text
    }


def renamed(context: LaunchContext, topic: str) -> str:
    """Return what this launch calls a topic, absolute."""
    for name, usual in TOPICS.items():
        if topic == usual and text_of(context, name):
            topic = text_of(context, name)
    return posixpath.join('/', text_of(context, 'namespace'), topic)


def remappings(context: LaunchContext) -> list[tuple[str, str]]:
    """Return the remapping rules that the topic arguments ask for."""
    rules = []
    for name, topic in TOPICS.items():
        other = text_of(context, name)
        if other:
            rules.append((topic, other))
        if other and topic.endswith('image_raw'):
            rules.append((f'{topic}/compressed', f'{other}/compressed'))
    action = text_of(context, 'gripper_action')
    if action:
        parts = [f'_action/{part}' for part in _OF_AN_ACTION]
        rules += [(f'gripper_cmd/{part}', f'{action}/{part}') for part in parts]
    return rules


def options(
    context: LaunchContext, package: str, parameters: Sequence[ParameterFile | dict]
) -> dict[str, object]:
    """Return what a node of any of the launch files is made with."""
    clock = {'use_sim_time': text_of(context, 'use_sim_time') == 'true'}
    return {
        'package': package,
        'namespace': LaunchConfiguration('namespace'),
        'output': 'screen',
        'parameters': [*parameters, clock],
        'remappings': remappings(context),
        'ros_arguments': ['--log-level', LaunchConfiguration('log_level')],
    }


def from_files(context: LaunchContext, parameters: Mapping) -> list[ParameterFile | dict]:
    """Return the parameter files and what is laid over them."""
    names = [name for name in ('params_file', 'model_params_file') if text_of(context, name)]
    files = [ParameterFile(LaunchConfiguration(name), allow_substs=True) for name in names]
    return [*files, *([dict(parameters)] if parameters else [])]


def foreign_node(
    context: LaunchContext, package: str, executable: str, parameters: Mapping
) -> Node:
    """Return a node of another package, which takes no parameters from params_file."""
    return Node(executable=executable, **options(context, package, [dict(parameters)]))


def node(
    context: LaunchContext, executable: str, parameters: Mapping[str, object] | None = None
) -> Node:
    """Return a node of this package, named after its executable."""
    found = from_files(context, parameters or {})
    return Node(name=executable, executable=executable, **options(context, PACKAGE, found))


def policy(
    context: LaunchContext,
    fixed: Mapping[str, object] | None = None,
    when_active: Sequence[LaunchDescriptionEntity] = (),
) -> list[LaunchDescriptionEntity]:
    """
    Return vla_node and, with autostart, what takes it to active.

    fixed: parameters that no argument can change. when_active: what starts once it is active.
    """
    parameters = {**given(context, POLICY_PARAMETERS, VLAParameters), **(fixed or {})}
    vla_node = LifecycleNode(
        name='vla_node',
        executable='vla_node',
        **options(context, PACKAGE, from_files(context, parameters)),
    )
    found: list[LaunchDescriptionEntity] = []
    if when_active:
        found.append(_once(vla_node, 'activating', 'active', when_active))
    if text_of(context, 'autostart') == 'true':
        activate = _change(vla_node, Transition.TRANSITION_ACTIVATE)
        # Once: whoever configures the node again by hand says by hand when the arm may move.
        found.append(_once(vla_node, 'configuring', 'inactive', [activate]))
        found.append(_change(vla_node, Transition.TRANSITION_CONFIGURE))
    return [vla_node, *found]


def _once(
    vla_node: LifecycleNode, start: str, goal: str, entities: Sequence[LaunchDescriptionEntity]
) -> RegisterEventHandler:
    return RegisterEventHandler(
        OnStateTransition(
            target_lifecycle_node=vla_node,
            start_state=start,
            goal_state=goal,
            entities=list(entities),
            handle_once=True,
        )
    )


def _change(vla_node: LifecycleNode, transition: int) -> EmitEvent:
    event = ChangeState(lifecycle_node_matcher=matches_action(vla_node), transition_id=transition)
    return EmitEvent(event=event)
