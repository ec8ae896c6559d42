# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""vla_node with a model that is slowed on purpose: what /diagnostics, the log and commands say."""

from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
import numpy as np
import pytest
from ros_graph import Graph
from ros_graph import VLA_PARAMETERS
from slowed_node import FIXED
from slowed_node import SlowedNode
from slowed_node import SlowedPolicy
from std_msgs.msg import Float64
from vla_cache_ros.control import degradation

PARAMETERS = VLA_PARAMETERS | {'execute_steps': 1}  # a period of 0.1 s
DENSE = 1.0  # s; with reuse still longer than a period at half the rate


def stages(graph):
    """Return the stages that /diagnostics told of, in order."""
    told = [health['degradation'] for health in list(graph.outside.health) if 'episode' in health]
    return [name for at, name in enumerate(told) if at == 0 or name != told[at - 1]]


@pytest.mark.slow
def test_reuse_then_rate_then_motion_are_given_up_visibly_and_come_back(policy, monkeypatch):
    monkeypatch.setattr(degradation, 'SLACK_RUN', 3)
    monkeypatch.setattr(degradation, 'REUSE_STEPS', 1)
    policy.gate.largest_reuse = 0.8
    with Graph(SlowedNode, lambda _: policy, parameters=PARAMETERS) as graph:
        levels = []
        graph.outside.create_subscription(
            DiagnosticArray, '/diagnostics', lambda m: levels.append(m.status[0].level), 10
        )
        slowdown = graph.outside.create_publisher(Float64, 'vla_node/slowdown', 1)
        graph.healthy_start()
        assert graph.wait(lambda: 'none' in stages(graph))
        assert graph.wait(lambda: slowdown.get_subscription_count() > 0)
        slowdown.publish(Float64(data=DENSE))
        assert graph.wait(lambda: 'stopped' in stages(graph), 60)
        # a busy machine may have given something up before, and taken it back
        order = list(dict.fromkeys(stages(graph)))
        assert order == ['none', 'more reuse', 'slower', 'stopped']
        rates = [h['control frequency'] for h in list(graph.outside.health) if 'episode' in h]
        assert {'10', '7.937', '6.3', '5'} <= set(rates)
        assert graph.told_of('overrun')
        assert 'actions at 5 Hz), the last took 0.' in graph.outside.health[-1]['message']
        assert levels[-1] == DiagnosticStatus.WARN
        assert graph.wait(graph.outside.still)
        assert graph.wait(lambda: policy.gate.asked[-1] == 0.8)  # on the worker's thread
        for stage in ('more reuse', 'slower', 'stopped'):
            assert graph.wait(lambda stage=stage: graph.logged(f'degradation: {stage}: expected'))
        fastest = max(np.linalg.norm(twist[1][:3]) for twist in list(graph.outside.twists))
        assert 0 < fastest <= 0.25  # max_linear_velocity

        slowdown.publish(Float64(data=0.0))
        assert graph.wait(graph.outside.moving, 60)
        assert graph.wait(lambda: stages(graph)[-1] == 'none', 60)
        assert graph.wait(lambda: policy.gate.asked[-1] == 0.5)
        assert not graph.told_of('overrun')


def test_a_slowed_policy_is_otherwise_the_policy_and_faster_with_more_reuse(policy, monkeypatch):
    slept = []
    monkeypatch.setattr('time.sleep', slept.append)
    slowed = SlowedPolicy(policy)
    slowed.act(None)
    slowed.seconds = 2.0
    slowed.act(None)
    slowed.gate.ask(0.75)
    slowed.act(None)
    assert slowed.num_images == policy.num_images
    delays = [seconds for seconds in slept if seconds]
    assert delays == pytest.approx([2 * (FIXED + 0.5), 2 * (FIXED + 0.25)])
