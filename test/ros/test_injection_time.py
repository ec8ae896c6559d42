# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A simulated clock jumps, either way: nothing is held on to over the jump, and it goes on."""

from fake_policy import FakePolicy
from fault_scene import Scene
from fault_scene import SIMULATED
import numpy as np
import pytest
from ros_graph import Graph
from ros_graph import VLA_PARAMETERS
from vla_cache_ros.ros.vla_node import VLANode

PARAMETERS = VLA_PARAMETERS | SIMULATED
PARAMETERS |= {'execution': 'asynchronous', 'image_timeout': 0.5, 'state_timeout': 0.5}


@pytest.fixture
def scene():
    """Yield a moving arm whose node follows /clock; max_gap is its default, 5 s."""
    policy = FakePolicy()
    with Graph(VLANode, lambda _: policy, parameters=PARAMETERS) as graph:
        scene = Scene(graph, policy)
        scene.start_clock()
        graph.healthy_start()
        assert graph.wait(lambda: len(graph.outside.reports) >= 2)
        yield scene


def jump(scene, seconds):
    """Set the clock; return the twists that were sent after it was, once the arm moves again."""
    outside, graph, first = scene.outside, scene.graph, len(scene.outside.twists)

    def after():
        sent = list(outside.twists)[first - 1 :]
        steps = np.diff([twist[0] for twist in sent])
        jumped = steps > seconds / 2 if seconds > 0 else steps < 0
        return sent[1 + int(np.argmax(jumped)) :] if jumped.any() else []

    scene.second += seconds
    assert graph.wait(lambda: any(np.any(twist[1]) for twist in after()))
    return after()


def counted(scene, words):
    """Say whether the newest diagnostics count something."""
    return bool(scene.outside.health) and words in scene.outside.health[-1]


@pytest.mark.parametrize('seconds', [3.0, 300.0])
def test_clock_that_jumps_ahead_makes_every_input_stale_and_ends_the_held_command(scene, seconds):
    sent = jump(scene, seconds)
    assert not np.any(sent[0][1])
    assert scene.graph.wait(lambda: counted(scene, 'stops stale_image'))
    assert scene.graph.logged(f'expected a message every {PARAMETERS["image_timeout"]:g} s, last')
    assert ('gap_too_long' in scene.policy.resets) == (seconds > 5.0)


@pytest.mark.parametrize('seconds', [-0.2, -50.0])
def test_clock_that_jumps_back_begins_an_episode_and_ends_the_held_command(scene, seconds):
    episodes = len(scene.policy.resets)
    sent = jump(scene, seconds)
    assert not np.any(sent[0][1])
    assert 'clock_jumped_back' in scene.policy.resets[episodes:]
    assert all(np.isfinite(twist[1]).all() for twist in scene.outside.twists)


def test_camera_that_does_not_follow_a_jump_ahead_keeps_the_arm_still(scene):
    scene.second += 60.0
    scene.outside.offsets = {'image_raw': -60.0}
    assert scene.graph.wait(lambda: scene.graph.told_of('stale_image'))
    assert scene.graph.wait(scene.outside.still, 0.5)
    scene.outside.offsets = {}
    assert scene.graph.wait(scene.outside.moving)
