# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The Gazebo world is the MuJoCo scene: the same frames, cameras and topics."""

import shutil
import subprocess
import xml.etree.ElementTree as ET

import mujoco
import numpy as np
from paths import ROOT
import pytest
from vla_cache_ros.environments.tabletop.scene import ARM_JOINTS
from vla_cache_ros.environments.tabletop.scene import build_xml
from vla_cache_ros.environments.tabletop.scene import FINGER_JOINTS
from vla_cache_ros.environments.tabletop.scene import IMAGE_SIZE
import yaml

from worlds.write_tabletop import build_sdf
from worlds.write_tabletop import CAMERAS

JOINTS = (*ARM_JOINTS, *FINGER_JOINTS)


@pytest.fixture(scope='module')
def world():
    return ET.parse(ROOT / 'worlds' / 'tabletop.sdf').getroot().find('world')


def transform(element):
    """Return the 4x4 pose of an element within whatever it is relative to."""
    *xyz, x, y, z, w = (float(word) for word in element.find('pose').text.split())
    turn = np.empty(9)
    mujoco.mju_quat2Mat(turn, np.array([w, x, y, z]))
    found = np.eye(4)
    found[:3, :3], found[:3, 3] = turn.reshape(3, 3), xyz
    return found


def moved(joint, value):
    """Return the 4x4 motion of a joint, in its child's frame."""
    axis = np.array([float(word) for word in joint.find('axis/xyz').text.split()])
    found = np.eye(4)
    if joint.get('type') == 'prismatic':
        found[:3, 3] = axis * value
        return found
    quaternion, turn = np.empty(4), np.empty(9)
    mujoco.mju_axisAngle2Quat(quaternion, axis, value)
    mujoco.mju_quat2Mat(turn, quaternion)
    found[:3, :3] = turn.reshape(3, 3)
    return found


def link_poses(model, positions):
    """Walk down the joints; return link name -> 4x4 pose in the world."""
    links = {link.get('name'): link for link in model.findall('link')}
    poses = {'world': np.eye(4)}
    for joint in model.findall('joint'):
        parent, child = joint.find('parent').text, joint.find('child').text
        if parent != 'world':
            assert links[child].find('pose').get('relative_to') == parent
        turn = np.eye(4)
        if joint.get('type') != 'fixed':
            turn = moved(joint, positions[joint.get('name')])
        poses[child] = poses[parent] @ transform(links[child]) @ turn
    assert set(poses) == {'world', *links}  # no link hangs in the air
    return poses


def test_committed_world_is_what_the_tool_writes():
    assert (ROOT / 'worlds' / 'tabletop.sdf').read_text(encoding='utf-8') == build_sdf()


@pytest.mark.parametrize('command', ['gz', 'ign'])
def test_libsdformat_reads_the_world(command):
    if shutil.which(command) is None:
        pytest.skip(f'no {command} here')
    arguments = [command, 'sdf', '-k', str(ROOT / 'worlds' / 'tabletop.sdf')]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'Valid.' in result.stdout


def test_links_and_cameras_are_where_mujoco_has_them(world):
    model = mujoco.MjModel.from_xml_string(build_xml())
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    positions = {joint: rng.uniform(*model.joint(joint).range) for joint in JOINTS}
    for joint, value in positions.items():
        data.joint(joint).qpos[:] = value
    mujoco.mj_forward(model, data)
    arm = world.find("model[@name='arm']")
    poses = link_poses(arm, positions)
    for link in arm.findall('link'):
        body = data.body(link.get('name'))
        np.testing.assert_allclose(poses[link.get('name')][:3, 3], body.xpos, atol=1e-5)
        turn = poses[link.get('name')][:3, :3]
        np.testing.assert_allclose(turn, body.xmat.reshape(3, 3), atol=1e-5)
    front = transform(world.find("model[@name='front_camera']/link/sensor"))
    wrist = poses['hand'] @ transform(arm.find("link[@name='hand']/sensor"))
    for name, pose in (('front', front), ('wrist', wrist)):
        np.testing.assert_allclose(pose[:3, 3], data.cam(name).xpos, atol=1e-5)
        right, up, back = data.cam(name).xmat.reshape(3, 3).T
        np.testing.assert_allclose(pose[:3, :3].T, [-back, -right, up], atol=1e-5)


def test_cameras_see_as_wide_and_as_fine_as_mujocos(world):
    model = mujoco.MjModel.from_xml_string(build_xml())
    sensors = {sensor.get('name'): sensor for sensor in world.iter('sensor')}
    assert set(sensors) == set(CAMERAS)
    for name, sensor in sensors.items():
        fov = float(sensor.find('camera/horizontal_fov').text)
        assert np.degrees(fov) == pytest.approx(model.camera(name).fovy[0], abs=1e-4)
        assert int(sensor.find('camera/image/width').text) == IMAGE_SIZE
        assert int(sensor.find('camera/image/height').text) == IMAGE_SIZE


def test_joints_have_the_limits_and_a_controller(world):
    model = mujoco.MjModel.from_xml_string(build_xml())
    arm = world.find("model[@name='arm']")
    for name in JOINTS:
        limit = arm.find(f"joint[@name='{name}']/axis/limit")
        found = [float(limit.find(end).text) for end in ('lower', 'upper')]
        np.testing.assert_allclose(found, model.joint(name).range)
    controlled = [element.text for element in arm.iter('joint_name')]
    assert controlled == list(JOINTS)


def test_bridge_speaks_of_topics_that_the_world_and_the_driver_have(world):
    arm = world.find("model[@name='arm']")
    assert any('JointStatePublisher' in plugin.get('name') for plugin in arm.findall('plugin'))
    images = {f'/{sensor.find("topic").text}' for sensor in world.iter('sensor')}
    entries = yaml.safe_load((ROOT / 'config' / 'gz_bridge.yaml').read_text(encoding='utf-8'))
    by_direction = {'GZ_TO_ROS': {}, 'ROS_TO_GZ': {}}
    for entry in entries:
        by_direction[entry['direction']][entry['gz_topic_name']] = entry['ros_topic_name']
    state = f'/world/{world.get("name")}/model/arm/joint_state'
    assert by_direction['GZ_TO_ROS'] == {
        '/clock': '/clock',
        state: 'joint_states',
        **{topic: topic[1:] for topic in images},
    }
    assert by_direction['ROS_TO_GZ'] == {
        f'/model/arm/joint/{joint}/0/cmd_pos': f'{joint}/cmd_pos' for joint in JOINTS
    }
