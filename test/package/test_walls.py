# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Data walks forward through the rooms: what each of them may import, by dotted path."""

import ast
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

from paths import ROOT
import pytest

PACKAGE = ROOT / 'vla_cache_ros'
ROS = {
    'rclpy', 'launch', 'launch_ros', 'cv_bridge', 'rosbag2_py', 'builtin_interfaces',
    'control_msgs', 'diagnostic_msgs', 'geometry_msgs', 'lifecycle_msgs', 'nav_msgs',
    'rcl_interfaces', 'sensor_msgs', 'std_msgs', 'std_srvs', 'tf2_msgs', 'tf2_ros',
    'trajectory_msgs',
}  # fmt: skip
MODELS = {'torch', 'transformers', 'safetensors', 'huggingface_hub', 'accelerate'}
BAGS = {'rosbags', 'mcap', 'zstandard', 'lz4'}
SIMULATORS = {'mujoco', 'libero', 'robosuite'}
PAGES = {'matplotlib', 'imageio_ffmpeg', 'jinja2', 'tabulate', 'scipy'}
VIEWERS = {'rerun'}
TERMINAL = {'tyro', 'tqdm'}
WIRE = {'websockets', 'msgpack'}
SERVER = WIRE | {'prometheus_client'}
TABLES = {'pyarrow'}
FLEET = {'ray'}
HARNESS = {'vla_eval', 'anyio'}
# what an arm moves without
TOOLS = SIMULATORS | BAGS | PAGES | VIEWERS | TERMINAL | SERVER | TABLES | FLEET | HARNESS
ALL = ROS | MODELS | TOOLS
# Room, or file, by dotted path: the rooms it may import besides itself, the libraries it may not.
# The longest path that fits a file holds for it.
WALLS = {
    'types': ((), ALL),
    'action_distance': (('types',), ALL),
    'extras': ((), ALL),
    'overlay': ((), ALL),
    'settings': ((), ALL),
    'share': ((), ALL),
    'threads': ((), ROS | TOOLS),
    'vla': ((), ROS | TOOLS),
    'caching': (('types', 'vla'), ROS | TOOLS),
    'session': (('types', 'threads', 'vla', 'caching'), ROS | TOOLS),
    'policy': (('vla', 'caching', 'session'), ROS | TOOLS),
    'batching': (('types', 'caching', 'session'), ROS | TOOLS),
    'control': (('types', 'action_distance'), ALL),
    # cv_bridge where a ROS install has it, else OpenCV
    'control.sensing.images': (('control.sensing.compressed',), ALL - {'cv_bridge'}),
    'bags': (('types', 'control'), ROS | MODELS | SIMULATORS | PAGES | TERMINAL),
    'datasets': (
        ('types', 'control', 'bags'),
        (ALL - TABLES) - {'imageio_ffmpeg'},
    ),
    'fleet': (('types', 'settings'), ALL - FLEET),
    'fleet.jobs': ((), ALL),  # what is imported without a cluster does not bring Ray
    'fleet.local': (('fleet.jobs',), ALL),
    'serving': (
        ('types', 'settings', 'action_distance', 'vla.files.errors', 'vla.checkpoint',
         'caching.gates', 'policy', 'batching', 'control'),
        ROS | TOOLS - SERVER,
    ),
    'serving.wire': (('types', 'vla.files.errors'), ALL - WIRE),
    'serving.messages': (('types', 'serving.wire'), ALL),
    'serving.client': (
        ('types', 'vla.files.errors', 'serving.wire', 'serving.messages'),
        ALL - WIRE,
    ),
    'serving.vla_eval': (
        ('types', 'extras', 'vla.files.errors', 'session', 'policy', 'batching',
         'environments.libero'),
        ROS | TOOLS - HARNESS,
    ),
    'serving.vla_eval.conventions': (('types', 'vla.files.errors', 'environments.libero'), ALL),
    'environments': (('types', 'vla.image_path'), ALL - {'libero'}),
    'environments.libero_stepping': ((), ALL - {'mujoco'}),
    'environments.tabletop': (('types', 'environments'), ALL - {'mujoco'}),
    'reports': (('overlay',), ROS | BAGS | SIMULATORS | TERMINAL),
    'training': (
        ('types', 'settings', 'action_distance', 'vla', 'caching', 'policy', 'bags', 'reports',
         'datasets', 'fleet'),
        ROS | SIMULATORS,
    ),
    'evaluation': (
        ('types', 'settings', 'action_distance', 'vla', 'caching', 'policy', 'batching', 'control',
         'bags', 'environments', 'overlay', 'reports', 'datasets', 'fleet'),
        ROS | SIMULATORS,
    ),
    'ros': (('types', 'control', 'overlay'), MODELS | TOOLS),
    'ros.loading': (('types', 'control', 'policy', 'serving.client'), ALL),
    'ros.process': (('ros', 'extras'), MODELS | TOOLS),
    'ros.recorder': (('control', 'ros', 'bags.writer'), MODELS | TOOLS),
    'ros.drivers.sim_robot_node': (('control', 'ros', 'environments.tabletop'), MODELS | TOOLS),
    'ros.drivers.gz_arm_node': (('control', 'ros', 'environments.tabletop'), MODELS | TOOLS),
    'live': (
        ('types', 'share', 'vla.checkpoint', 'caching.gates', 'control', 'bags', 'ros',
         'evaluation', 'reports'),
        MODELS | SIMULATORS,
    ),
    'cli': (
        ('types', 'extras', 'settings', 'share', 'vla.checkpoint', 'policy', 'caching', 'control',
         'bags', 'environments', 'ros', 'live', 'training', 'evaluation', 'reports', 'datasets',
         'fleet', 'serving'),
        ROS | MODELS | TOOLS - TERMINAL,
    ),
}  # fmt: skip
NOWHERE = {'timm', 'torchvision', 'tensorflow'}
BY_NAME = {'mani_skill', 'sapien', 'gymnasium'}  # imported when an environment is made
UNSAFE = {'pickle.load', 'pickle.loads', 'pickle.Unpickler', 'eval', 'exec'}
MOST_FILES = 21  # in a folder
LONG = 350  # lines at which to look twice: a file holds one idea
FILES = sorted(PACKAGE.rglob('*.py'))


def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding='utf-8'))


def imports(path: Path) -> set[str]:
    """Return the dotted names that a file imports, in functions too."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}:{node.lineno}: expected an absolute import'
            found |= {f'{node.module}.{alias.name}' for alias in node.names}
    return found


def dotted(path: Path) -> str:
    """Return the path of a file of the package, dotted: caching.gates.learned."""
    return '.'.join(path.relative_to(PACKAGE).with_suffix('').parts).removesuffix('.__init__')


def within(name: str, rooms) -> bool:
    """Say whether a dotted name is one of the rooms or stands in one."""
    return any(f'{name}.'.startswith(f'{room}.') for room in rooms)


def room_of(path: Path) -> str:
    """Return the room whose walls hold for a file; raises LookupError where there is none."""
    rooms = [room for room in WALLS if within(dotted(path), [room])]
    if not rooms:
        raise LookupError(f'{path}: expected a file of a room that has walls')
    return max(rooms, key=len)


@pytest.mark.parametrize('room', WALLS)
def test_room_imports_nothing_from_behind_its_wall(room):
    allowed, forbidden = WALLS[room]
    known = (room, *allowed, '__version__')
    found = {}
    for path in FILES:
        if path == PACKAGE / '__init__.py' or room_of(path) != room:
            continue
        for name in imports(path):
            library, _, rest = name.partition('.')
            if library == PACKAGE.name:
                against = rest and not within(rest, known)
            else:
                against = library in forbidden | NOWHERE | BY_NAME
            if against:
                found.setdefault(dotted(path), []).append(name)
    assert found == {}


def test_no_two_rooms_import_each_other():
    order = TopologicalSorter()
    for room, (allowed, _) in WALLS.items():
        one = room.partition('.')[0]
        order.add(one, *({other.partition('.')[0] for other in allowed} - {one}))
    assert list(order.static_order())[-1] == 'cli'  # raises CycleError


def test_package_imports_neither_recipes_nor_tests():
    outside = {'recipes', 'test'} | {path.stem for path in (ROOT / 'test').rglob('*.py')}
    found = {
        dotted(path): {n.partition('.')[0] for n in imports(path)} & outside for path in FILES
    }
    assert {name: names for name, names in found.items() if names} == {}


def test_no_remote_code_and_no_unsafe_load():
    for path in FILES:
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Call):
                continue
            keywords = {k.arg: getattr(k.value, 'value', None) for k in node.keywords}
            assert keywords.get('trust_remote_code') is not True, path
            assert ast.unparse(node.func) not in UNSAFE, f'{path}:{node.lineno}'
            if ast.unparse(node.func) == 'torch.load':
                assert keywords.get('weights_only') is True, f'{path}:{node.lineno}'


def test_folders_stay_small():
    counts = Counter(str(path.parent.relative_to(ROOT)) for path in FILES)
    assert {name: count for name, count in counts.items() if count > MOST_FILES} == {}


def test_a_long_file_was_looked_at_twice():
    lengths = {dotted(path): len(path.read_text(encoding='utf-8').splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > LONG} == {}
