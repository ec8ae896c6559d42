# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""vla_node on a live ROS graph, with a fake policy in place of the model."""

import json
import time

from fake_policy import FakePolicy
import numpy as np
import pytest
from rclpy.time import Time
from ros_graph import CAMERAS
from ros_graph import Graph
from ros_graph import VLA_PARAMETERS
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage
from std_srvs.srv import SetBool
from std_srvs.srv import Trigger
from vla_cache_ros.control.step_report import active_tokens
from vla_cache_ros.ros.vla_node import VLANode


def test_command_is_renewed_between_inferences_and_during_one(graph, policy):
    policy.delay = 0.5
    graph.healthy_start()
    assert graph.wait(lambda: len(graph.outside.reports) >= 3)
    stamps = np.array([twist[0] for twist in graph.outside.twists])
    assert 0.01 < np.median(np.diff(stamps)) < 0.1  # 0.02 where the machine is not busy
    moving = [twist for twist in graph.outside.twists if np.any(twist[1])]
    np.testing.assert_allclose(moving[0][1], [0.1, 0, -0.2, 0, 0, 0.5])  # per 0.1 s -> per s
    assert moving[0][3] == 'base_link'
    assert set(graph.outside.grippers) == {1.0}


def test_observation_holds_what_was_published(graph, policy):
    graph.healthy_start('  pick it up ')
    seen = policy.observations[-1]
    assert [image.shape for image in seen.images] == [(48, 64, 3)] * 2
    assert seen.instruction == 'pick it up'
    np.testing.assert_allclose(
        seen.proprio, [0.5, 0, 0, np.pi, 0, 0, 0.04, 0.03], rtol=0, atol=1e-6
    )


def test_step_report_tells_tokens_stamps_and_times(graph):
    graph.healthy_start()
    assert graph.wait(lambda: graph.outside.reports)
    report = graph.outside.reports[0]
    np.testing.assert_array_equal(active_tokens(json.dumps(report)), np.arange(512) % 2 == 0)
    assert report['instruction'] == 'push the cube'
    assert report['image_stamps'][0] <= report['command_stamp']
    assert report['act_ms'] <= report['image_to_command_ms']
    assert np.shape(report['actions']) == (8, 7)


@pytest.mark.parametrize(
    ('transport', 'compressed'), [(['compressed'], CAMERAS), (['compressed', 'raw'], CAMERAS[:1])]
)
def test_compressed_images_are_as_good_from_all_cameras_or_from_one(policy, transport, compressed):
    parameters = VLA_PARAMETERS | {'image_transport': transport}
    with Graph(VLANode, lambda _: policy, parameters=parameters) as graph:
        graph.outside.compress(*compressed)
        graph.healthy_start()
        for image in policy.observations[-1].images:
            np.testing.assert_array_equal(image, np.full((48, 64, 3), 120, np.uint8))
        graph.outside.pictures['image_raw'] = CompressedImage(format='jpeg', data=b'no picture')
        assert graph.wait(lambda: graph.logged('image_raw: expected JPEG or PNG data'))
        assert graph.wait(graph.outside.still)


def test_nothing_moves_before_activate(graph, policy):
    assert graph.transition('configure')
    graph.outside.instruct('go')
    time.sleep(0.5)
    assert not graph.outside.twists
    assert len(policy.observations) == 2  # the warm-up


def test_deactivate_sends_a_stop_before_the_publisher_closes(graph, policy):
    graph.healthy_start()
    assert graph.transition('deactivate')
    assert graph.wait(lambda: not graph.outside.moving(), 1.0)
    count = len(graph.outside.twists)
    time.sleep(0.3)
    assert len(graph.outside.twists) == count  # and silence
    assert not np.any(graph.outside.twists[-1][1])
    assert graph.wait(lambda: 'deactivated' in policy.resets)


def test_pause_holds_commands_and_keeps_the_cache(graph, policy):
    graph.healthy_start()
    resets = len(policy.resets)
    assert graph.call(SetBool, 'vla_node/pause', SetBool.Request(data=True)).success
    assert graph.wait(graph.outside.still)
    calls = len(policy.observations)
    time.sleep(0.3)
    assert len(policy.observations) <= calls + 1
    assert graph.outside.still()
    assert graph.call(SetBool, 'vla_node/pause', SetBool.Request(data=False)).success
    assert graph.wait(graph.outside.moving)
    assert len(policy.resets) == resets


def test_reset_begins_an_episode_and_keeps_the_instruction(graph, policy):
    refused = graph.call(Trigger, 'vla_node/reset')
    assert not refused.success
    assert 'expected a configured node' in refused.message
    graph.healthy_start()
    before = graph.outside.reports[-1]['episode'] if graph.outside.reports else 1
    assert graph.call(Trigger, 'vla_node/reset').success
    assert graph.wait(lambda: policy.resets.count('episode_reset') >= 2)
    assert graph.wait(
        lambda: graph.outside.reports and graph.outside.reports[-1]['episode'] == before + 1
    )
    assert policy.observations[-1].instruction == 'push the cube'


def test_instruction_latched_before_the_node_is_configured_arrives(graph, policy):
    graph.outside.instruct('said early')
    time.sleep(0.2)
    assert graph.transition('configure')
    assert graph.transition('activate')
    assert graph.wait(graph.outside.moving)
    assert policy.observations[-1].instruction == 'said early'


def test_dry_run_infers_and_sends_nothing(graph, policy):
    assert graph.set_parameter('dry_run', True).successful
    assert graph.transition('configure')
    assert graph.transition('activate')
    graph.outside.instruct('go')
    assert graph.wait(lambda: len(graph.outside.reports) >= 2)
    assert {report['command_stamp'] for report in graph.outside.reports} == {0}
    assert not graph.outside.twists
    assert not graph.outside.grippers


@pytest.mark.parametrize(
    ('name', 'value', 'reason'),
    [
        ('gate', 'magic', 'got'),
        ('device', 'tpu', "got 'tpu'"),
        ('reuse', 1.5, 'range'),
        ('reuse', 'half', "expected a float from -1 to 1, got 'half'"),
        ('command_timeout', 0.05, 'expected at least one control period (0.1 s), got 0.05'),
    ],
)
def test_unknown_parameter_value_is_refused_with_a_reason(graph, name, value, reason):
    result = graph.set_parameter(name, value)
    assert not result.successful
    assert reason in result.reason
    assert name in result.reason


def test_parameter_of_the_loaded_policy_is_refused_while_it_is_loaded(graph):
    assert graph.transition('configure')
    result = graph.set_parameter('gate', 'random')
    assert not result.successful
    assert 'cleanup' in result.reason
    assert graph.transition('cleanup')
    assert graph.set_parameter('gate', 'random').successful


def test_diagnostics_tell_stops_invalidations_and_latencies(graph):
    graph.healthy_start()
    graph.outside.pictures['image_raw'] = None
    assert graph.wait(
        lambda: graph.outside.health and 'stops stale_image' in graph.outside.health[-1]
    )
    health = graph.outside.health[-1]
    assert 'image_raw: expected a message' in health['message']
    assert int(health['invalidations episode_reset']) >= 1
    assert float(health['overhead_ms p95']) >= 0
    assert int(health['commands']) > 0
    assert health['drift alarms'] == '0' and float(health['drift share']) < 0.06


def test_wrong_checkpoint_fails_configure_with_a_traceback_and_can_be_retried():
    attempts = []

    def factory(_):
        attempts.append(None)
        if len(attempts) == 1:
            raise ValueError('projector.fc1.weight: expected [8, 4], got [8, 5]')
        return FakePolicy()

    with Graph(VLANode, factory, parameters=VLA_PARAMETERS) as graph:
        assert not graph.transition('configure')
        assert graph.state() == 'unconfigured'
        assert graph.wait(lambda: graph.logged('projector.fc1.weight: expected [8, 4]'))
        assert graph.wait(lambda: graph.logged('Traceback'))
        graph.healthy_start()


def test_checkpoint_for_another_number_of_cameras_fails_configure():
    parameters = VLA_PARAMETERS | {'image_topics': ['image_raw']}
    with Graph(VLANode, lambda _: FakePolicy(), parameters=parameters) as graph:
        assert not graph.transition('configure')
        assert graph.wait(lambda: graph.logged('expected 2 for this checkpoint, got 1'))


def test_unknown_parameter_name_is_an_error():
    graph = Graph(VLANode, lambda _: FakePolicy(), parameters={'gait': 'motion'})
    with pytest.raises(ValueError, match='gait: unknown parameter, expected one of'), graph:
        pass


def test_node_can_be_cleaned_up_and_configured_again(graph):
    graph.healthy_start()
    assert graph.transition('deactivate')
    assert graph.transition('cleanup')
    count = len(graph.outside.twists)
    graph.healthy_start('again')
    assert len(graph.outside.twists) > count


def test_clock_that_jumps_back_begins_an_episode(policy):
    parameters = VLA_PARAMETERS | {'use_sim_time': True}
    with Graph(VLANode, lambda _: policy, parameters=parameters) as graph:
        clock = graph.outside.create_publisher(Clock, '/clock', 1)

        def tell(second):
            clock.publish(Clock(clock=Time(seconds=second).to_msg()))

        assert graph.transition('configure')
        assert graph.wait(lambda: clock.get_subscription_count() > 0)
        assert graph.wait(lambda: tell(100) or graph.node.get_clock().now().nanoseconds >= 1e11)
        assert graph.transition('activate')
        assert graph.wait(lambda: tell(101) or 'episode_reset' in policy.resets)
        ahead = iter(range(1, 100_000))
        assert graph.wait(
            lambda: tell(20 + 0.05 * next(ahead)) or 'clock_jumped_back' in policy.resets
        )
