# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The shipped parameter files suit their nodes, alone and laid over one another."""

from dataclasses import fields
from itertools import product

from paths import ROOT
import pytest
from vla_cache_ros.control.parameters import GzArmParameters
from vla_cache_ros.control.parameters import RecorderParameters
from vla_cache_ros.control.parameters import SimRobotParameters
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.ros.declaration import check
import yaml

KINDS = {
    'vla_node': VLAParameters,
    'sim_robot_node': SimRobotParameters,
    'gz_arm_node': GzArmParameters,
    'recorder': RecorderParameters,
}
ROBOTS = ('ur5e_servo', 'franka_pose')
JOINTS = ('ur5e_joints',)  # robots for checkpoints whose actions are joints
MODELS = ('openvla_7b', 'openvla_oft_libero')
JOINT_MODELS = ('ur5e_pi05',)  # whose actions are those of joints, to be laid over such a robot
COMPLETE = ('tabletop', 'tabletop-openvla')
BY_JOINTS = ('so101_smolvla', 'aloha_pi0')  # robot and checkpoint in one
ALL = (*ROBOTS, *JOINTS, *MODELS, *JOINT_MODELS, *COMPLETE, *BY_JOINTS)
OTHERS = (
    'gz_bridge',
    'bag_qos',
    'foxglove_layout',
    'vla',
)  # not parameters of this package's nodes


def entries(name):
    """Return the parameters of a file by node."""
    content = yaml.safe_load((ROOT / 'config' / f'{name}.yaml').read_text(encoding='utf-8'))
    return {t.rsplit('/', 1)[-1]: entry['ros__parameters'] for t, entry in content.items()}


def test_every_config_file_is_of_a_known_sort():
    found = {path.stem for path in (ROOT / 'config').iterdir()}
    assert found == {*ALL, *OTHERS}


@pytest.mark.parametrize('name', ALL)
def test_parameter_file_names_known_parameters_and_repeats_no_default(name):
    for node, values in entries(name).items():
        known = {one.name: one for one in fields(KINDS[node])}
        for parameter, value in values.items():
            assert check(known[parameter], value) == ''
            assert type(known[parameter].default)(value) != known[parameter].default, parameter


@pytest.mark.parametrize(
    'names',
    [(name,) for name in ALL if name not in JOINT_MODELS]
    + [*product(ROBOTS, MODELS), *product(JOINTS, JOINT_MODELS)],
    ids='+'.join,
)
def test_parameters_of_a_robot_and_a_model_do_not_contradict_one_another(names):
    merged = {}
    for name in names:
        merged |= entries(name)['vla_node']
    lists = {key: tuple(v) if isinstance(v, list) else v for key, v in merged.items()}
    assert VLAParameters(**lists).contradiction() == ''


@pytest.mark.parametrize(
    ('robot', 'model'), [*product(ROBOTS, MODELS), *product(JOINTS, JOINT_MODELS)]
)
def test_model_file_leaves_the_robots_parameters_alone(robot, model):
    assert not set(entries(robot)['vla_node']) & set(entries(model)['vla_node'])


@pytest.mark.parametrize('robot', ROBOTS)
def test_file_of_a_real_robot_bounds_the_arm_and_leaves_it_in_a_dry_run(robot):
    values = entries(robot)['vla_node']
    assert {'workspace', 'max_linear_velocity', 'max_angular_velocity'} <= set(values)
    assert 'dry_run' not in values
    assert VLAParameters().dry_run


@pytest.mark.parametrize(
    ('robot', 'joints'), [('ur5e_joints', 6), ('so101_smolvla', 6), ('aloha_pi0', 14)]
)
def test_file_of_a_robot_by_its_joints_bounds_each_and_leaves_it_in_a_dry_run(robot, joints):
    values = entries(robot)['vla_node']
    count = len(values['arm_joints'])
    assert count == len(values['joint_lower']) == len(values['joint_upper']) == joints
    assert {'max_joint_velocity', 'max_joint_acceleration'} <= set(values)
    assert 'dry_run' not in values


@pytest.mark.parametrize('name', [*MODELS, *JOINT_MODELS, *COMPLETE, *BY_JOINTS])
def test_cameras_of_a_file_are_recorded(name):
    values = entries(name)
    recorded = values.get('recorder', {}).get('topics', RecorderParameters().topics)
    images = values['vla_node'].get('image_topics', VLAParameters().image_topics)
    assert set(images) <= set(recorded)
