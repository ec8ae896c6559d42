# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch files ask for and start, without starting it; needs launch_ros."""

from importlib.util import module_from_spec
from importlib.util import spec_from_file_location
from pathlib import Path

from paths import ROOT
import pytest

pytest.importorskip('launch_ros')

from launch import LaunchContext  # noqa: E402, I100
from launch.actions import DeclareLaunchArgument  # noqa: E402
from launch.actions import ExecuteProcess  # noqa: E402
import launch.logging  # noqa: E402
from launch.utilities import perform_substitutions  # noqa: E402
from launch_ros.actions import LifecycleNode  # noqa: E402
from launch_ros.actions import Node  # noqa: E402
from vla_cache_ros.ros import launching  # noqa: E402

FILES = {path.name.split('.')[0]: path for path in (ROOT / 'launch').glob('*.launch.py')}
COMMON = {'params_file', 'model_params_file', 'use_sim_time', 'namespace', 'log_level'}
COMMON |= {'bag_path', 'image_topic', 'instruction_topic', 'twist_topic'}
POLICY = {'autostart', 'model_path', 'device', 'gate', 'reuse'}
EXPECTED = {
    'robot': COMMON | POLICY | {'dry_run'},
    'sim': COMMON | POLICY | {'dry_run', 'seed', 'task'},
    'gazebo': COMMON | POLICY | {'dry_run', 'world', 'bridge_file', 'gui'},
    'record': COMMON,
    'replay': COMMON | POLICY | {'rate'},
}


def load(name):
    """Return a launch file as a module."""
    spec = spec_from_file_location(f'{name}_launch', FILES[name])
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arguments(name):
    """Return the declared arguments of a launch file by name."""
    entities = load(name).generate_launch_description().entities
    return {one.name: one for one in entities if isinstance(one, DeclareLaunchArgument)}


@pytest.fixture
def context(monkeypatch, tmp_path):
    """Return a function that makes a context in which a launch file was given arguments."""
    share = tmp_path / 'prefix' / 'share'
    index = share / 'ament_index' / 'resource_index' / 'packages'
    index.mkdir(parents=True)
    (index / 'vla_cache_ros').touch()
    (share / 'vla_cache_ros').symlink_to(ROOT)
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(share.parent))
    monkeypatch.setattr(launch.logging.launch_config, '_log_dir', str(tmp_path))

    def make(name, **given):
        found = LaunchContext()
        for one in arguments(name).values():
            default = one.default_value or []
            found.launch_configurations[one.name] = perform_substitutions(found, default)
        found.launch_configurations.update({key: str(value) for key, value in given.items()})
        return found

    return make


def text(context, parts):
    """Return the command line of a process."""
    return [perform_substitutions(context, part) for part in parts]


def test_every_launch_file_is_covered():
    assert set(FILES) == set(EXPECTED)


@pytest.mark.parametrize('name', EXPECTED)
def test_expected_arguments_are_declared_and_described(name):
    found = arguments(name)
    assert set(found) >= EXPECTED[name]
    assert all(one.description for one in found.values())


def test_replay_cannot_be_made_to_move_an_arm():
    assert 'dry_run' not in arguments('replay')


@pytest.mark.parametrize('name', ['robot', 'sim', 'gazebo', 'replay'])
def test_arguments_that_are_parameters_hold_no_default_of_their_own(name):
    for parameter in launching.POLICY_PARAMETERS:
        one = arguments(name).get(parameter)
        assert one is None or perform_substitutions(LaunchContext(), one.default_value) == ''


def test_argument_becomes_a_parameter_only_if_it_is_given(context):
    robot = context('robot', reuse='0.7', dry_run='false', model_path='123')
    kind = launching.VLAParameters
    given = launching.given(robot, launching.POLICY_PARAMETERS, kind)
    assert given == {'reuse': 0.7, 'dry_run': False, 'model_path': '123'}


def test_topics_are_remapped_only_where_the_robot_says_otherwise(context):
    assert launching.remappings(context('robot')) == []
    robot = context('robot', image_topic='/cam/image_raw', gripper_action='/hand/grip')
    rules = dict(launching.remappings(robot))
    assert rules['image_raw'] == '/cam/image_raw'
    assert rules['image_raw/compressed'] == '/cam/image_raw/compressed'
    assert rules['gripper_cmd/_action/send_goal'] == '/hand/grip/_action/send_goal'
    assert len(rules) == 7


@pytest.mark.parametrize(
    ('namespace', 'given', 'topic', 'expected'),
    [
        ('', {}, 'image_raw', '/image_raw'),
        ('left', {}, 'wrist/image_raw', '/left/wrist/image_raw'),
        ('/cell/left', {}, 'image_raw', '/cell/left/image_raw'),
        ('left', {}, '/diagnostics', '/diagnostics'),
        ('left', {'image_topic': 'cam'}, 'image_raw', '/left/cam'),
        ('left', {'image_topic': '/cam'}, 'image_raw', '/cam'),
    ],
)
def test_recorded_names_are_those_of_the_graph(context, namespace, given, topic, expected):
    robot = context('record', namespace=namespace, **given)
    assert launching.renamed(robot, topic) == expected


def test_recorder_is_told_topics_storage_and_qos(context, tmp_path):
    params = ROOT / 'config' / 'tabletop.yaml'
    bag = tmp_path / 'bag'
    robot = context('record', bag_path=bag, namespace='left', params_file=params)
    (process,) = load('record').record(robot)
    command = text(robot, process.cmd)
    assert command[:7] == ['ros2', 'bag', 'record', '-s', 'mcap', '-o', str(bag)]
    topics = command[command.index('--topics') + 1 :]
    assert {'/left/wrist/image_raw', '/left/vla_node/step_report', '/diagnostics'} <= set(topics)
    overrides = Path(command[command.index('--qos-profile-overrides-path') + 1])
    assert '/left/image_raw' in overrides.read_text(encoding='utf-8')


@pytest.mark.parametrize(('name', 'sort'), [('record', 'does not exist'), ('replay', 'recorded')])
def test_bag_that_cannot_be_is_refused_with_what_was_expected(context, tmp_path, name, sort):
    path = tmp_path if name == 'record' else tmp_path / 'nothing'
    module = load(name)
    function = module.record if name == 'record' else module.make_nodes
    with pytest.raises(ValueError, match=f'bag_path: expected a .*{sort}'):
        function(context(name, bag_path=path))


def test_robot_starts_the_policy_alone_and_the_recorder_before_it(context, tmp_path):
    found = load('robot').make_nodes(context('robot'))
    assert [type(one) for one in found if isinstance(one, ExecuteProcess)] == [LifecycleNode]
    found = load('robot').make_nodes(context('robot', bag_path=tmp_path / 'bag'))
    started = [type(one) for one in found if isinstance(one, ExecuteProcess)]
    assert started == [ExecuteProcess, LifecycleNode]


def test_node_is_left_unconfigured_without_autostart(context):
    assert len(launching.policy(context('robot', autostart='false'))) == 1
    assert len(launching.policy(context('robot'))) == 3


def test_simulations_start_a_driver_for_the_arm(context):
    for name, driver in (('sim', 'sim_robot_node'), ('gazebo', 'gz_arm_node')):
        nodes = [one for one in load(name).make_nodes(context(name)) if isinstance(one, Node)]
        assert driver in [one.node_executable for one in nodes]
        assert 'vla_node' in [one.node_executable for one in nodes]
