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
from vla_cache_ros.environments.tabletop.arm import Arm
from vla_cache_ros.environments.tabletop.arm import HOMED
from vla_cache_ros.environments.tabletop.scene import ARM_JOINTS
from vla_cache_ros.environments.tabletop.scene import build_xml
from vla_cache_ros.environments.tabletop.scene import FINGER_JOINTS
from vla_cache_ros.environments.tabletop.scene import HOME
from vla_cache_ros.environments.tabletop.scene import IMAGE_SIZE
import yaml

from worlds.write_tabletop import build_sdf
from worlds.write_tabletop import CAMERAS

JOINTS = (*ARM_JOINTS, *FINGER_JOINTS)
TARGETS = 0.02  # s between two targets of the driver


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


def controllers(arm):
    """Return joint -> the numbers of its position controller, by name."""
    found = {}
    for plugin in arm.findall('plugin'):
        if plugin.find('joint_name') is not None:
            numbers = {part.tag: part.text for part in plugin if part.tag != 'joint_name'}
            found[plugin.find('joint_name').text] = {k: float(v) for k, v in numbers.items()}
    return found


def servo(world, gravity):
    """Return the MuJoCo arm with the joint controllers, the damping and the step of the world."""
    model = mujoco.MjModel.from_xml_string(build_xml())
    model.opt.timestep = float(world.find('physics/max_step_size').text)
    model.body_gravcomp[:] = not gravity
    arm = world.find("model[@name='arm']")
    for name, found in controllers(arm).items():
        if name in ARM_JOINTS:
            model.actuator(name).gainprm[0] = found['p_gain']
            model.actuator(name).biasprm[1:3] = -found['p_gain'], -found['d_gain']
            model.actuator(name).forcerange[:] = found['cmd_min'], found['cmd_max']
            damping = arm.find(f"joint[@name='{name}']/axis/dynamics/damping").text
            model.joint(name).damping[:] = float(damping)
    return model, mujoco.MjData(model)


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
    assert list(controllers(arm)) == list(JOINTS)


def test_arm_is_driven_by_force_and_damped_in_the_joint(world):
    model = mujoco.MjModel.from_xml_string(build_xml())
    arm = world.find("model[@name='arm']")
    for name in ARM_JOINTS:
        found, actuator = controllers(arm)[name], model.actuator(name)
        axis = arm.find(f"joint[@name='{name}']/axis")
        damping = float(axis.find('dynamics/damping').text)
        assert set(found) == {'p_gain', 'i_gain', 'd_gain', 'cmd_max', 'cmd_min'}
        assert found['i_gain'] == found['d_gain'] == 0
        assert found['p_gain'] / damping == pytest.approx(
            actuator.gainprm[0] / -actuator.biasprm[2]  # as quick as MuJoCo's
        )
        assert [found['cmd_min'], found['cmd_max']] == list(actuator.forcerange)
        assert float(axis.find('limit/effort').text) == found['cmd_max']


def test_contacts_are_solved_by_the_solver_in_which_a_grasp_holds(world):
    assert world.find('physics').get('type') == 'dart'
    assert world.find('physics/dart/solver/solver_type').text == 'pgs'


@pytest.mark.parametrize('gravity', [False, True], ids=['compensated', 'gravity'])
def test_arm_gets_home_whether_or_not_gravity_pulls_at_it(world, gravity):
    model, data = servo(world, gravity)
    arm = Arm()
    for _ in range(round(8 / TARGETS)):
        data.ctrl[:] = arm.go_home(data.qpos[:7].copy(), TARGETS)
        mujoco.mj_step(model, data, round(TARGETS / model.opt.timestep))
    assert arm.home
    sag = np.abs(data.qpos[:7] - HOME).max()
    assert sag < 0.75 * HOMED
    assert (sag > 0.005) == gravity


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
