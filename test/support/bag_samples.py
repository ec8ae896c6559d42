# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small recordings, written message by message: what a test says of a bag is in the test."""

import json
from pathlib import Path
import struct

import cv2
import numpy as np
from rosbags.rosbag2 import CompressionFormat
from rosbags.rosbag2 import CompressionMode
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

STORE = get_typestore(Stores.ROS2_JAZZY)
START = 1_700_000_000 * 10**9  # ns
MS = 10**6  # ns


def of(kind, **fields):
    """Return a message of a type."""
    return STORE.types[kind](**fields)


def header(stamp):
    """Return a header with a stamp in ns."""
    sec, nanosec = divmod(stamp, 10**9)
    time = of('builtin_interfaces/msg/Time', sec=sec, nanosec=nanosec)
    return of('std_msgs/msg/Header', stamp=time, frame_id='')


def picture(value, size=48):
    """Return a picture [size, size, 3] that tells its value (0 to 255) by its mean colour."""
    rgb = np.full((size, size, 3), value, np.uint8)
    rgb[0, 0] = (255, 255, 200)  # neither all black nor gray, whatever the value
    return rgb


def image(stamp, value):
    """Return a raw image."""
    rgb = picture(value)
    return of(
        'sensor_msgs/msg/Image', header=header(stamp), height=len(rgb), width=len(rgb),
        encoding='rgb8', is_bigendian=0, step=3 * len(rgb), data=rgb.reshape(-1),
    )  # fmt: skip


def jpeg(stamp, value):
    """Return a compressed image."""
    data = cv2.imencode('.jpg', picture(value)[..., ::-1])[1].reshape(-1)
    return of('sensor_msgs/msg/CompressedImage', header=header(stamp), format='jpeg', data=data)


def string(text):
    """Return a String."""
    return of('std_msgs/msg/String', data=text)


def joints(stamp, opening):
    """Return joint states with two fingers."""
    return named_joints(stamp, finger_joint1=opening, finger_joint2=opening)


def named_joints(stamp, **positions):
    """Return joint states."""
    return of(
        'sensor_msgs/msg/JointState', header=header(stamp), name=list(positions),
        position=np.array(list(positions.values())), velocity=np.zeros(0), effort=np.zeros(0),
    )  # fmt: skip


def transform(stamp, parent, child, x, turn=(0.0, 0.0, 0.0, 1.0)):
    """Return a TFMessage with one transform, x (m) ahead."""
    rotation = dict(zip('xyzw', map(float, turn), strict=True))
    moved = of(
        'geometry_msgs/msg/Transform',
        translation=of('geometry_msgs/msg/Vector3', x=x, y=0.0, z=0.0),
        rotation=of('geometry_msgs/msg/Quaternion', **rotation),
    )
    above = header(stamp)
    above.frame_id = parent
    return of('tf2_msgs/msg/TFMessage', transforms=[
        of('geometry_msgs/msg/TransformStamped', header=above, child_frame_id=child,
           transform=moved),
    ])  # fmt: skip


def pose(stamp, x):
    """Return a pose at x (m), pointing ahead."""
    return of(
        'geometry_msgs/msg/PoseStamped',
        header=header(stamp),
        pose=of(
            'geometry_msgs/msg/Pose',
            position=of('geometry_msgs/msg/Point', x=x, y=0.0, z=0.0),
            orientation=of('geometry_msgs/msg/Quaternion', x=0.0, y=0.0, z=0.0, w=1.0),
        ),
    )


def report(episode, step, stamps, states, **other):
    """Return a step report as far as the reading of bags looks at it."""
    fields = {
        'episode': episode, 'step': step, 'gate': 'dense', 'instruction': 'as reported',
        'image_stamps': stamps, 'state_stamps': states, 'command_stamp': 1,
        'actions': [[0.0] * 7] * 8,
    }  # fmt: skip
    return string(json.dumps(fields | other))


def write_bag(folder, messages, storage='mcap', zstd=True):
    """Write (recording time in ns, topic, message) triples; return the folder."""
    plugin = StoragePlugin.MCAP if storage == 'mcap' else StoragePlugin.SQLITE3
    writer = Writer(folder, version=9, storage_plugin=plugin)
    if zstd and storage == 'mcap':
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    connections = {}
    with writer:
        for time, topic, message in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(
                    topic, message.__msgtype__, typestore=STORE
                )
            data = message
            if not isinstance(message, bytes):
                data = STORE.serialize_cdr(message, message.__msgtype__)
            writer.write(connections[topic], time, data)
    return Path(folder)


def shade(ms):
    """Return the value of the pictures that were taken at a time (ms, a multiple of 10)."""
    return 20 + ms // 10 % 230


def recording(seconds=2.0, wrist_period=50, instruction='put it there'):
    """Return a run's messages: two cameras (the fixed one at 20 Hz), state at 50 Hz."""
    messages = [(START, '/instruction', string(instruction))]
    for ms in range(0, round(1000 * seconds), 10):
        stamp = START + ms * MS
        if ms % 20 == 0:
            messages.append((stamp + MS, '/joint_states', joints(stamp, ms * 1e-5)))
            messages.append((stamp + MS, '/end_effector_pose', pose(stamp, ms * 1e-3)))
        if ms % 50 == 0:
            messages.append((stamp + 4 * MS, '/image_raw', image(stamp, shade(ms))))
        if ms % wrist_period == 0:
            messages.append((stamp + 5 * MS, '/wrist/image_raw', image(stamp, shade(ms))))
    return messages


def read(bag, topics=None):
    """Return (topic, time) of every message of topics."""
    return [(m.topic, m.time) for m in bag.messages(topics or set(bag.topics))]


def storage_file(folder):
    """Return a bag's only storage file."""
    return next(path for path in folder.iterdir() if path.suffix in ('.mcap', '.db3'))


def mcap_record(opcode, content):
    """Return a record of an MCAP file."""
    return bytes([opcode]) + struct.pack('<Q', len(content)) + content


def mcap_text(value):
    """Return a string as a record holds it."""
    return struct.pack('<I', len(value)) + value


def strange(stamp_of=lambda ms: START + ms * MS):
    """Return a stranger's messages: JPEG at other names, no state, no instruction."""
    messages = []
    for ms in range(0, 1500, 50):
        for camera in ('/cam/compressed', '/cam2/compressed'):
            messages.append((START + (ms + 3) * MS, camera, jpeg(stamp_of(ms), shade(ms))))
    return messages


def live(reports, messages=None):
    """Return a recording with step reports, given as (ms, message)."""
    messages = recording(2) if messages is None else messages
    messages += [(START + ms * MS, '/vla_node/step_report', text) for ms, text in reports]
    return sorted(messages, key=lambda triple: triple[0])
