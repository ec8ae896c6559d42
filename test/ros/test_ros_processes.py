# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The programs as a user runs them: signals end them in order, mistakes end them in one line."""

import signal
import time

from freezing import freeze
import numpy as np
import pytest
from ros_processes import arguments
from ros_processes import LIVE
from ros_processes import NODE
from ros_processes import Outside
from rosbags.highlevel import AnyReader
from vla_cache_ros.live.isolation import isolated_domain


def test_signals_send_a_stop_and_close_the_bag(tmp_path, start):
    bag = tmp_path / 'bag'
    ros = arguments(**LIVE)
    with Outside() as graph:
        topics = ['image_raw', 'delta_twist_cmds', 'instruction', 'vla_node/step_report']
        recorder = start(
            '-m', 'vla_cache_ros.ros.recorder', *arguments(bag_path=bag, topics=topics)
        )
        node = start(NODE, *ros)
        count = graph.outside.count_subscribers
        assert graph.transition('configure')
        assert graph.wait(lambda: count('delta_twist_cmds') == 2, 60), 'no recorder'
        assert graph.transition('activate')
        assert not graph.transition('activate')  # refused, by this executor too
        graph.outside.instruct('push the cube')
        assert graph.wait(graph.outside.moving)
        assert graph.wait(lambda: len(graph.outside.reports) >= 2)
        assert graph.wait(graph.outside.moving)
        node.send_signal(signal.SIGINT)
        assert node.wait(15) == 0, node.stdout.read()
        assert graph.wait(lambda: not graph.outside.moving(), 2.0)
        time.sleep(0.2)  # what is under way to the recorder
        recorder.send_signal(signal.SIGTERM)
        assert recorder.wait(15) == 0, recorder.stdout.read()
        sent, images = list(graph.outside.twists), graph.outside.pictures['image_raw']
    with AnyReader([bag]) as reader:
        found = {}
        for connection, _, raw in reader.messages():
            found.setdefault(connection.topic, []).append(
                reader.deserialize(raw, connection.msgtype)
            )
    assert set(found) == {f'/{topic}' for topic in topics}
    assert found['/instruction'][0].data == 'push the cube'
    np.testing.assert_array_equal(found['/image_raw'][0].data, np.asarray(images.data))
    recorded = {
        message.header.stamp.sec + message.header.stamp.nanosec * 1e-9: message.twist.linear.y
        for message in found['/delta_twist_cmds']
    }
    assert recorded[max(recorded)] == 0.0
    # of depth 1, the test's own subscription may have lost some; the recorder may not
    assert {twist[0]: twist[1][1] for twist in sent}.items() <= recorded.items()


def test_process_that_was_frozen_or_killed_leaves_the_arm_to_its_drivers_timeout(start):
    with Outside() as graph:
        node = start(NODE, *arguments(**LIVE, execution='asynchronous'))
        graph.healthy_start()
        freeze(node)
        frozen = time.monotonic()
        time.sleep(1.0)
        assert not any(twist[2] > frozen + 0.1 for twist in graph.outside.twists)
        node.send_signal(signal.SIGCONT)
        awake = time.monotonic()
        assert graph.wait(lambda: graph.outside.twists[-1][2] > awake)
        first = next(twist for twist in graph.outside.twists if twist[2] > awake)
        assert not np.any(first[1])  # not the command that was held when it froze
        assert graph.wait(graph.outside.moving)
        received = time.time() - time.monotonic()
        ages = [came + received - stamp for stamp, _, came, _ in graph.outside.twists]
        assert max(ages) < 0.25  # command_timeout
        node.send_signal(signal.SIGKILL)
        killed = time.monotonic()
        node.wait(15)
        time.sleep(0.3)
        assert not any(twist[2] > killed + 0.1 for twist in graph.outside.twists)


@pytest.mark.parametrize(
    ('module', 'parameters', 'line'),
    [
        ('vla_node', {'gait': 'motion'}, 'error: gait: unknown parameter, expected one of image_'),
        ('recorder', {'bag_path': '/'}, 'error: bag_path: expected a folder that does not exist'),
    ],
)
def test_mistake_in_the_parameters_is_one_line(start, module, parameters, line):
    with isolated_domain() as environment:
        process = start(
            '-m', f'vla_cache_ros.ros.{module}', *arguments(**parameters), environment=environment
        )
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert [text for text in output.splitlines() if text.startswith(line)], output
    assert 'Traceback' not in output
