# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The drills run to their end, measure what they say and leave nothing behind."""

from contextlib import ExitStack
import json

from geometry_msgs.msg import TwistStamped
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores
from std_msgs.msg import Header
from tiny_model import write_checkpoint
from vla_cache_ros.live.drill import _images
from vla_cache_ros.live.drill import drill_recorder
from vla_cache_ros.live.drill import drill_stream
from vla_cache_ros.live.drill import DrillGraph
from vla_cache_ros.live.graph import COMMANDS
from vla_cache_ros.live.graph import Graph

MINUTES = 0.05


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return str(write_checkpoint(tmp_path_factory.mktemp('checkpoint')))


def test_stream_counts_commands_their_gaps_and_ages(checkpoint, tmp_path):
    figures = drill_stream(tmp_path, MINUTES, checkpoint, 'motion')
    assert figures == json.loads((tmp_path / 'stream.json').read_text())
    # how many in how long depends on what else the machine does
    assert 10 < figures['commands'] < 1.2 * 60 * MINUTES * 50
    assert 0 < figures['gap_ms']['p50'] <= figures['gap_ms']['max']
    assert 0 < figures['age_at_arrival_ms']['p50'] <= figures['age_at_arrival_ms']['max']
    assert figures['ok'] == (figures['gap_ms']['max'] <= 100)


def test_commands_that_waited_before_it_ran_are_not_counted():
    with Graph(lambda: None) as sender, ExitStack() as stack:
        graph = DrillGraph(lambda: None)
        stack.callback(Graph.__exit__, graph)
        commands = sender.node.create_publisher(TwistStamped, COMMANDS, 100)
        sender.wait_for_subscribers(COMMANDS, 1)
        for _ in range(30):
            stamp = sender.node.get_clock().now().to_msg()
            commands.publish(TwistStamped(header=Header(stamp=stamp)))
        sender.settle(0.2)
        graph.run(0.1)
        assert graph.twists == []


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
