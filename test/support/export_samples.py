# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small recordings with commands, and what is exported of them."""

from dataclasses import replace
import json
from pathlib import Path

from bag_samples import header
from bag_samples import image
from bag_samples import joints
from bag_samples import MS
from bag_samples import of
from bag_samples import pose
from bag_samples import recording
from bag_samples import START
from bag_samples import string
import numpy as np
import pyarrow.parquet as pq
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.datasets.commands import Commands
from vla_cache_ros.datasets.export import Export
from vla_cache_ros.datasets.export import export_bags

TWISTS, GRIPPER, CONTROL = '/delta_twist_cmds', '/gripper/commands', '/vla_node/control_mode'
PNG = Export(video=False)


def twist(ms, x):
    """Return a twist along x (m/s) of a time (ms), as a message of a bag."""
    stamp = START + ms * MS
    zero = {'x': 0.0, 'y': 0.0, 'z': 0.0}
    moved = of(
        'geometry_msgs/msg/Twist',
        linear=of('geometry_msgs/msg/Vector3', **{**zero, 'x': x}),
        angular=of('geometry_msgs/msg/Vector3', **zero),
    )
    stamped = of('geometry_msgs/msg/TwistStamped', header=header(stamp), twist=moved)
    return (stamp + MS, TWISTS, stamped)


def numbers(ms, topic, *values):
    """Return a Float64MultiArray of a time (ms), as a message of a bag."""
    layout = of('std_msgs/msg/MultiArrayLayout', dim=[], data_offset=0)
    message = of('std_msgs/msg/Float64MultiArray', layout=layout, data=np.array(values, float))
    return (START + ms * MS, topic, message)


def commanded(seconds=2.0, messages=None):
    """Return a run's messages: a twist every 20 ms, x is the time in s, and an open gripper."""
    messages = recording(seconds) if messages is None else list(messages)
    messages += [twist(ms, ms * 1e-3) for ms in range(0, round(1000 * seconds), 20)]
    messages.append(numbers(0, GRIPPER, 1.0))
    return in_time(messages)


def in_time(messages):
    """Return messages in the order of recording."""
    return sorted(messages, key=lambda triple: triple[0])


def without(messages, topics, begin, end):
    """Return messages but those of topics that were recorded between two times (ms)."""
    gone = range(START + begin * MS, START + end * MS)
    return [one for one in messages if not (one[1] in topics and one[0] in gone)]


def mode(ms, who):
    """Return a message of the node about who has the arm from a time (ms) on."""
    text = json.dumps({'control': who, 'by': 'teleop_twist_cmds', 'stamp': START + ms * MS})
    return (START + ms * MS, CONTROL, string(text))


def plain(rate=10, seconds=2.0, size=48, seed=0):
    """
    Return a run whose pictures, states and commands share their stamps, at a rate (Hz).

    Pictures are smooth patterns that move.
    """
    messages = [(START, '/instruction', string('pick up the red cube'))]
    phases = np.random.default_rng(seed).uniform(0, 6, (2, 3))
    y, x = np.mgrid[:size, :size] * (6 / size)
    for index in range(round(rate * seconds)):
        ms = round(1000 * index / rate)
        stamp = START + ms * MS
        messages += [twist(ms, 0.01 * index), numbers(ms, GRIPPER, float(index % 7 < 4))]
        messages.append((stamp + 2 * MS, '/joint_states', joints(stamp, 0.001 * index)))
        messages.append((stamp + 2 * MS, '/end_effector_pose', pose(stamp, 0.3 + 0.01 * index)))
        for camera, topic in enumerate(('/image_raw', '/wrist/image_raw')):
            bands = [
                np.sin(x + phase + 0.2 * index) * np.cos(y + phase) for phase in phases[camera]
            ]
            message = image(stamp, 0)
            rgb = np.uint8(127 + 100 * np.stack(bands, axis=-1))
            message.height = message.width = size
            message.step, message.data = 3 * size, rgb.reshape(-1)
            messages.append((stamp + 5 * MS, topic, message))
    return in_time(messages)


def exported(bags, out, export=PNG, **topics):
    """Export one bag or several; return what is told of it."""
    bags = [bags] if isinstance(bags, Path) else bags
    return export_bags(bags, out, replace(export, topics=BagTopics(**topics)))


def rows(out):
    """Return the rows of a data set, one a frame."""
    return pq.read_table(out / 'data/chunk-000/file-000.parquet').to_pylist()


def listed(out):
    """Return what is listed of its episodes."""
    return pq.read_table(out / 'meta/episodes/chunk-000/file-000.parquet').to_pylist()


def info(out):
    """Return what it states."""
    return json.loads((out / 'meta/info.json').read_text())


def told(out):
    """Return where it comes from."""
    return json.loads((out / 'meta/vla_cache_export.json').read_text())


def joint_export(fps=10):
    """Return how a bag of joint commands is exported."""
    return Export(commands=Commands(joints=('shoulder', 'elbow')), fps=fps, video=False)
