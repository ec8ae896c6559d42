# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The drills run to their end, measure what they say and leave nothing behind."""

from contextlib import contextmanager
import json
import time

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores
from tiny_model import write_checkpoint
from vla_cache_ros.live import drill
from vla_cache_ros.live.drill import _images
from vla_cache_ros.live.drill import drill_recorder
from vla_cache_ros.live.drill import drill_stream

MINUTES = 0.05
SLOW_START = 1.0  # s in which nobody listens


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return str(write_checkpoint(tmp_path_factory.mktemp('checkpoint')))


def test_stream_counts_commands_their_gaps_and_ages(checkpoint, tmp_path, monkeypatch):
    start_at_once = drill.busy_processes

    @contextmanager
    def start_slowly(count):
        with start_at_once(count):
            time.sleep(SLOW_START)
            yield

    monkeypatch.setattr(drill, 'busy_processes', start_slowly)
    figures = drill_stream(tmp_path, MINUTES, checkpoint, 'motion')
    assert figures == json.loads((tmp_path / 'stream.json').read_text())
    # how many in how long depends on what else the machine does
    assert 10 < figures['commands'] < 1.2 * 60 * MINUTES * 50
    assert 0 < figures['gap_ms']['p50'] <= figures['gap_ms']['max']
    # what waited while the processes started is not of this time
    ages = figures['age_at_arrival_ms']
    assert 0 < ages['p50'] <= ages['max'] < 1e3 * SLOW_START
    assert figures['ok'] == (figures['gap_ms']['max'] <= 100)


@pytest.mark.slow
def test_recorder_counts_images_and_compares_inference_with_and_without(checkpoint, tmp_path):
    figures = drill_recorder(tmp_path, 4 * MINUTES, checkpoint, 'motion')
    assert figures == json.loads((tmp_path / 'recorder.json').read_text())
    expected = 2 * 30 * 60 * 4 * MINUTES
    assert figures['images'] + figures['lost'] == pytest.approx(expected, rel=0.5)
    assert figures['images'] > 0.3 * expected
    assert figures['bytes'] > 1e6
    assert min(figures['inferences'].values()) > 0
    assert figures['slowdown_p50'] > 0
    assert not (tmp_path / 'bag').exists()


def test_images_that_a_bag_lacks_are_counted(tmp_path):
    types = get_typestore(Stores.ROS2_JAZZY)
    image, header = types.types['sensor_msgs/msg/Image'], types.types['std_msgs/msg/Header']
    time = types.types['builtin_interfaces/msg/Time']
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic, lacking in (('/image_raw', {3, 4, 9}), ('/wrist/image_raw', set())):
            connection = writer.add_connection(topic, image.__msgtype__, typestore=types)
            for index in set(range(30)) - lacking:
                stamp = round(index * 1e9 / 30)
                data = types.types['sensor_msgs/msg/Image'](
                    header(time(5, stamp), ''), 1, 1, 'mono8', 0, 1, np.zeros(1, np.uint8)
                )
                raw = types.serialize_cdr(data, image.__msgtype__)
                writer.write(connection, stamp, raw)
    assert _images(tmp_path / 'bag') == (57, 3)
