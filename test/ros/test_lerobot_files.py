# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The parameter files for LeRobot's checkpoints drive an arm; small folders stand in for one."""

from joint_arm import JointArm
from lerobot_folders import robot_folder
import numpy as np
from paths import ROOT
import pytest
from ros_graph import Graph
from vla_cache_ros.control.inference import dummy_observation
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.ros.loading import load_policy
from vla_cache_ros.ros.loading import warm_up
from vla_cache_ros.ros.vla_node import VLANode
import yaml

# file, what it is laid over, the family, and how many numbers state and action have
FILES = [
    ('so101_smolvla', None, 'smolvla', 6, 6),
    ('ur5e_pi05', 'ur5e_joints', 'pi05', 7, 7),
    ('aloha_pi0', None, 'pi0', 14, 14),
]
# what a small checkpoint on a busy machine needs, and who plays the gripper's driver here
HERE = {
    'device': 'cpu',
    'dtype': 'float32',
    'dry_run': False,
    'image_timeout': 5.0,
    'state_timeout': 5.0,
    'degrade': False,
    'flow_steps': 2,
}


def parameters_of(*names):
    """Return the parameters of vla_node of files laid over one another."""
    merged = {}
    for name in filter(None, names):
        content = yaml.safe_load((ROOT / 'config' / f'{name}.yaml').read_text(encoding='utf-8'))
        merged |= content['/**/vla_node']['ros__parameters']
    return merged


@pytest.fixture
def stand_in(tmp_path):
    """Return a function that returns the parameters of a file, with a checkpoint for it."""

    def make(name, below, family, state, action, **changed):
        values = parameters_of(below, name)
        cameras = changed.pop('cameras', values['camera_names'])
        place = tmp_path / changed.pop('place', 'here')
        place.mkdir()
        folder = robot_folder(family, place, cameras, state, action)
        if values.get('gripper_output') == 'gripper_command':
            changed['gripper_output'] = 'commands'  # control_msgs need not be installed
        return values | HERE | {'model_path': str(folder)} | changed

    return make


def given(values):
    return VLAParameters(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def loaded(values):
    """Return the policy of these parameters: a busy machine takes its time for the first."""
    return load_policy(given(values))


@pytest.mark.parametrize('case', FILES, ids=[case[0] for case in FILES])
def test_file_leads_its_arm_by_commands_within_its_limits(stand_in, case):
    values = stand_in(*case)
    joints, policy = values['arm_joints'], loaded(values)
    with Graph(VLANode, lambda _: policy, parameters=values) as graph:
        graph.outside.film(*values['image_topics'])
        graph.outside.flickers = True
        arm = JointArm(graph.outside, joints)
        graph.outside.names = ['robotiq_85_left_knuckle_joint', 'another']
        assert graph.transition('configure')
        assert graph.transition('activate')
        graph.outside.instruct('pick it up')
        assert graph.wait(lambda: len(graph.outside.reports) >= 4, 60.0)
        commands, reports = np.array(arm.commands), list(graph.outside.reports)
        grippers = list(graph.outside.grippers)
    assert commands.shape[1] == len(joints)
    assert np.all(commands >= np.array(values['joint_lower']) - 1e-9)
    assert np.all(commands <= np.array(values['joint_upper']) + 1e-9)
    assert np.shape(reports[-1]['actions']) == (50, case[4])
    # real-time chunking: what is left of a chunk of 50 when the next is inferred
    told = [report for report in reports if 'rest' in report]
    assert told and all(0 < report['rest'] <= 50 and report['delay'] >= 1 for report in told)
    assert 'rest' not in reports[0]
    assert bool(grippers) == (case[0] == 'ur5e_pi05') and all(0 <= g <= 0.8 for g in grippers)


@pytest.mark.parametrize(
    ('cameras', 'complaint'),
    [
        (
            ['wrist', 'front'],
            'camera_names: expected wrist, front, as this checkpoint orders its cameras, got '
            'front, wrist; image_topics would be wrist/image_raw, front/image_raw',
        ),
        (
            ['front', 'side', 'wrist'],
            'got front, wrist; image_topics would be front/image_raw, (no camera for side), '
            'wrist/image_raw',
        ),
    ],
    ids=['order', 'lacking'],
)
def test_cameras_other_than_the_checkpoints_fail_configure(stand_in, cameras, complaint):
    values = stand_in(*FILES[0], cameras=cameras)
    policy = loaded(values)
    with Graph(VLANode, lambda _: policy, parameters=values) as graph:
        assert not graph.transition('configure')
        assert graph.wait(lambda: graph.logged(complaint))


def test_chunk_shorter_than_execute_steps_is_refused_in_one_line(stand_in):
    values = stand_in(*FILES[0], execute_steps=60)
    with pytest.raises(ValueError) as error:
        warm_up(loaded(values), given(values))
    assert str(error.value) == (
        'execute_steps: expected at most 50, the actions this checkpoint gives at a time, got 60'
    )


def test_flow_steps_are_as_many_as_asked_for_and_refused_where_nothing_denoises(stand_in):
    values = stand_in(*FILES[0], flow_steps=0)
    assert 'in 10 steps' in loaded(values).summary
    assert 'in 3 steps' in loaded(values | {'flow_steps': 3}).summary
    with pytest.raises(ValueError, match='flow_steps: expected a checkpoint of SmolVLA, pi0 or'):
        loaded(values | {'flow_steps': 3, 'model_path': 'tabletop'})


def test_settings_of_real_time_chunking_reach_the_policy(stand_in):
    changed = {'execution_horizon': 7, 'prefix_attention_schedule': 'EXP'}
    policy = loaded(stand_in(*FILES[0], **changed, max_guidance_weight=2.5))
    assert policy.takes_rest
    observation = dummy_observation(policy)
    chunk, _ = policy.act(observation)
    policy.reset()
    held, _ = policy.act(observation, np.zeros((20, 6)), 2)
    policy.reset()
    default = loaded(stand_in(*FILES[0], place='other'))
    default.act(observation)
    default.reset()
    other, _ = default.act(observation, np.zeros((20, 6)), 2)
    assert np.abs(held.actions - chunk.actions)[:7].max() > 1e-3
    assert np.abs(held.actions - other.actions)[:7].max() > 1e-3
