# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The embedded robot: deterministic, varied, solvable by its expert."""

import numpy as np
import pytest
from vla_cache_ros.environments.tabletop.robot import Tabletop
from vla_cache_ros.environments.tabletop.scene import LINE_Y
from vla_cache_ros.environments.tabletop.tasks import TASKS

from recipes.tabletop.expert import expert_action


@pytest.fixture(scope='module')
def env():
    """Share one compiled scene and its renderer."""
    tabletop = Tabletop()
    yield tabletop
    tabletop.close()


def run_expert(env, seed, task=None):
    """Return whether the expert solves the episode."""
    env.reset_state(seed, task)
    for _ in range(env.max_steps):
        if env.success():
            return True
        env.step(expert_action(env))
    return env.success()


def test_a_seed_fixes_the_episode_to_the_last_pixel(env):
    first = env.reset(7)
    for _ in range(3):
        env.step(expert_action(env))
    after = env.observe()
    again = env.reset(7)
    for _ in range(3):
        env.step(expert_action(env))
    repeated = env.observe()
    for one, other in ((first, again), (after, repeated)):
        assert one.instruction == other.instruction
        assert np.array_equal(one.proprio, other.proprio)
        assert all(np.array_equal(a, b) for a, b in zip(one.images, other.images, strict=True))


def test_seeds_differ_in_poses_and_appearance(env):
    one, other = env.reset(1, 'pick_red'), env.reset(2, 'pick_red')
    assert not np.array_equal(one.images[0], other.images[0])
    assert not np.allclose(one.proprio[:3], other.proprio[:3])


def test_observation_has_two_rgb_cameras_and_eight_numbers_of_state(env):
    observation = env.reset(0)
    assert [image.shape for image in observation.images] == [(224, 224, 3)] * 2
    assert all(image.dtype == np.uint8 for image in observation.images)
    assert observation.proprio.shape == (8,) and observation.proprio.dtype == np.float32


def test_there_are_at_least_twelve_instructions_of_three_kinds(env):
    assert len({task.instruction for task in TASKS.values()}) >= 12
    assert {task.kind for task in TASKS.values()} == {'pick', 'place', 'push'}


@pytest.mark.parametrize('task', TASKS)
def test_distractors_are_always_on_the_table(env, task):
    env.reset_state(3, task)
    assert len(env.scene.cubes) == 3 and env.task.cube in env.scene.cubes
    assert len(env.scene.plates) == 2
    assert env.task.plate is None or env.task.plate in env.scene.plates
    assert not env.success()


def test_the_named_object_is_visible_to_the_fixed_camera(env):
    for seed in range(5):
        env.reset_state(seed)
        ids = env.render('front', segmentation=True)
        geom = env.model.geom(f'cube_{env.task.cube}').id
        assert (ids == geom).sum() > 60
        arm = np.flatnonzero(env.model.geom_group == 1)
        assert np.isin(ids, arm).sum() > 500


def test_the_expert_solves_unseen_seeds(env):
    solved = [run_expert(env, seed) for seed in range(500, 540)]
    assert np.mean(solved) >= 0.97


def test_doing_nothing_solves_nothing(env):
    for seed in range(5):
        env.reset_state(seed)
        for _ in range(10):
            env.step(np.array([0, 0, 0, 0, 0, 0, 1.0]))
        assert not env.success()


def test_a_twist_moves_the_gripper_by_velocity_times_time(env):
    env.reset_state(11)
    before = env.tcp()
    env.apply_twist([0.0, 0.1, 0.0], [0, 0, 0], 1.0, 0.5)
    env.apply_twist([0.0, 0.0, 0.0], [0, 0, 0], 1.0, 0.2)
    moved = env.tcp() - before
    assert moved[1] == pytest.approx(0.05, abs=0.006)
    assert np.abs(moved[[0, 2]]).max() < 0.006


def test_the_gripper_never_leaves_the_workspace(env):
    env.reset_state(12)
    for _ in range(20):
        env.step(np.array([0.0, 0.03, -0.03, 0, 0, 0, 1.0]))
    assert env.tcp()[2] > 0.0 and env.tcp()[1] < 0.36


def test_push_succeeds_only_beyond_the_line(env):
    env.reset_state(4, 'push_red_left')
    joint = env.data.joint('cube_red')
    joint.qpos[1] = LINE_Y - 0.01
    env.apply_twist(np.zeros(3), np.zeros(3), 1.0, 0.02)
    assert not env.success()
    joint.qpos[1] = LINE_Y + 0.01
    env.apply_twist(np.zeros(3), np.zeros(3), 1.0, 0.02)
    assert env.success()


def test_restore_undoes_everything_since_the_snapshot(env):
    env.reset_state(21)
    before, saved = env.data.qpos.copy(), env.snapshot()
    first = [expert_action(env)]
    for _ in range(4):
        env.step(first[-1])
        first.append(expert_action(env))
    env.restore(saved)
    assert np.array_equal(env.data.qpos, before)
    second = [expert_action(env)]
    for _ in range(4):
        env.step(second[-1])
        second.append(expert_action(env))
    assert np.allclose(first, second, atol=1e-6)


def test_an_unknown_task_is_refused_with_the_known_ones(env):
    with pytest.raises(ValueError, match='unknown task.*pick_red'):
        env.reset(0, task='juggle')
