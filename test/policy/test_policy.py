# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Hold the policy to its contract on a small random model: what passes, what is refused."""

from concurrent.futures import ThreadPoolExecutor
import json

from lerobot_folders import GOLDENS
import numpy as np
import pytest
from tiny_model import write_checkpoint
import torch
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.caching.gates import RULES
from vla_cache_ros.policy import Policy
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.errors import InputError
from vla_cache_ros.vla.files.errors import NonFiniteOutputError

STAGES = ('preprocess', 'gate', 'vision', 'decoder', 'decode')


@pytest.fixture(scope='module')
def oft_folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('oft'))


@pytest.fixture(scope='module')
def oft_model(oft_folder):
    return load_checkpoint(oft_folder)


@pytest.fixture(scope='module')
def causal_folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('causal'), causal=True)


def picture(seed=0, height=224, width=224):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def observe(seed=0, instruction='pick up the red cube', cameras=2):
    images = tuple(picture(10 * seed + camera) for camera in range(cameras))
    return Observation(images, instruction, np.linspace(-0.5, 0.5, 8).astype(np.float32))


def test_first_step_is_full_and_says_why(oft_folder):
    policy = Policy.from_pretrained(oft_folder, gate='motion')
    chunk, report = policy.act(observe())
    assert chunk.actions.shape == chunk.normalized.shape == (8, 7)
    assert chunk.actions.dtype == np.float64 and np.isfinite(chunk.actions).all()
    assert report.step == 0 and report.reuse == 0 and report.refresh == 'first_step'
    assert report.active.shape == report.ages.shape == (512,)
    assert report.active.all() and not report.ages.any() and report.gate == 'motion'


def test_actions_are_in_the_units_of_the_statistics(oft_folder):
    policy = Policy.from_pretrained(oft_folder)
    chunk, _ = policy.act(observe())
    assert chunk.actions[:, :6] == pytest.approx(0.05 * chunk.normalized[:, :6], abs=1e-6)
    assert np.array_equal(chunk.actions[:, 6], chunk.normalized[:, 6])  # the mask leaves it raw


def test_total_time_contains_every_stage_the_gate_included(oft_folder):
    policy = Policy.from_pretrained(oft_folder, gate='motion')
    for _ in range(2):
        _, report = policy.act(observe())
        assert set(report.latency_ms) == {*STAGES, 'total'}
        parts = [report.latency_ms[stage] for stage in STAGES]
        assert min(parts) > 0 and sum(parts) <= report.latency_ms['total']


@pytest.mark.parametrize('name', RULES)
def test_every_gate_walks_the_corridor(oft_folder, name):
    policy = Policy.from_pretrained(oft_folder, gate=name, reuse=0.5)
    reports = [policy.act(observe(seed // 2))[1] for seed in range(4)]
    assert [report.step for report in reports] == [0, 1, 2, 3]
    assert [bool(report.refresh) for report in reports] == [True, False, False, False]
    expected = {'dense': [0.0] * 3, 'every': [1.0, 0.0, 1.0]}.get(name, [0.5] * 3)
    assert [report.reuse for report in reports[1:]] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize('name', ['random', 'motion'])
def test_unchanged_observation_gives_the_dense_actions(oft_folder, causal_folder, name):
    for folder, cameras in ((oft_folder, 2), (causal_folder, 1)):
        cached = Policy.from_pretrained(folder, gate=name, reuse=0.5)
        dense, _ = Policy.from_pretrained(folder).act(observe(cameras=cameras))
        for _ in range(3):
            chunk, report = cached.act(observe(cameras=cameras))
            assert chunk.normalized == pytest.approx(dense.normalized, abs=1e-5)
        assert report.reuse == 0.5


def test_a_gate_object_is_taken_as_it_is(oft_folder):
    gate = make_gate('motion', reuse=0.75, max_age=100, recovery=0)
    policy = Policy.from_pretrained(oft_folder, gate=gate, reuse=0.1)
    policy.act(observe())
    assert policy.act(observe())[1].reuse == 0.75
    assert policy.gate is gate


def test_an_episode_repeats_itself_after_reset(oft_folder):
    policy = Policy.from_pretrained(oft_folder, gate='random', reuse=0.7, seed=5)

    def episode():
        return np.stack([policy.act(observe(step))[0].actions for step in range(3)])

    first = episode()
    policy.reset()
    assert np.array_equal(first, episode())


BAD = {
    'no image': ({'images': ()}, 'images: expected 2'),
    'one camera silent': ({'images': (picture(),)}, 'images: expected 2'),
    'too many cameras': ({'images': (picture(),) * 3}, 'images: expected 2'),
    'missing image': ({'images': (picture(), None)}, 'image 1: expected uint8 RGB'),
    'float image': ({'images': (picture() / 255, picture())}, 'image 0: expected uint8 RGB'),
    'grey image': ({'images': (picture(), picture()[..., 0])}, 'image 1: expected uint8 RGB'),
    'four channels': (
        {'images': (np.zeros((224, 224, 4), np.uint8), picture())},
        'image 0: expected uint8 RGB',
    ),
    'channels first': (
        {'images': (picture().transpose(2, 0, 1), picture())},
        'image 0: expected uint8 RGB',
    ),
    'empty image': (
        {'images': (np.zeros((0, 224, 3), np.uint8), picture())},
        'image 0: expected uint8 RGB',
    ),
    'empty instruction': ({'instruction': ''}, 'instruction: expected some text'),
    'blank instruction': ({'instruction': ' \n'}, 'instruction: expected some text'),
    '10 kB instruction': ({'instruction': 'cube ' * 2000}, 'instruction: expected a prompt of'),
    'instruction of bytes': ({'instruction': b'go'}, 'instruction: expected text, found bytes'),
    'no proprio': ({'proprio': None}, 'proprio: expected [8] numbers, found None'),
    'NaN proprio': ({'proprio': np.full(8, np.nan)}, 'proprio: expected finite numbers'),
    'infinite proprio': ({'proprio': np.full(8, np.inf)}, 'proprio: expected finite numbers'),
    'short proprio': ({'proprio': np.zeros(7)}, 'proprio: expected [8] numbers, found [7]'),
    'proprio of words': ({'proprio': ['a'] * 8}, 'proprio: expected [8] numbers'),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_observation_is_one_clear_line_and_leaves_the_cache_alone(oft_model, name):
    change, message = BAD[name]
    good = observe()
    fields = {'images': good.images, 'instruction': good.instruction, 'proprio': good.proprio}
    policy, twin = (Policy(oft_model, make_gate('motion')) for _ in range(2))
    for each in (policy, twin):
        each.act(good)
    with pytest.raises(InputError) as error:
        policy.act(Observation(**{**fields, **change}))
    assert message in str(error.value) and '\n' not in str(error.value)
    assert len(str(error.value)) < 300
    assert policy.cache.valid and policy.cache.step == 1 and not policy.invalidations
    (chunk, report), (expected, _) = policy.act(observe(1)), twin.act(observe(1))
    assert report.refresh == '' and np.array_equal(chunk.actions, expected.actions)


def test_images_of_another_size_are_resized_and_a_change_of_size_is_a_named_refresh(oft_folder):
    policy = Policy.from_pretrained(oft_folder, gate='motion')
    good = observe()
    wide = Observation((picture(0, 180, 320), good.images[1]), good.instruction, good.proprio)
    assert policy.act(wide)[1].refresh == 'first_step'
    assert policy.act(wide)[1].refresh == ''
    assert policy.act(good)[1].refresh == 'resolution_changed'
    assert policy.invalidations == {'resolution_changed': 1}


@pytest.mark.parametrize('cause', ['gap_too_long', 'clock_jumped_back', 'deactivated'])
def test_an_invalidated_cache_is_refreshed_once_and_named(oft_folder, cause):
    policy = Policy.from_pretrained(oft_folder, gate='motion')
    policy.act(observe())
    policy.invalidate(cause)
    assert policy.act(observe())[1].refresh == cause
    assert policy.act(observe())[1].refresh == ''
    assert policy.invalidations == {cause: 1}


def test_reset_starts_an_episode_at_step_zero_with_its_cause(oft_folder):
    policy = Policy.from_pretrained(oft_folder, gate='motion')
    for _ in range(3):
        policy.act(observe())
    policy.reset()
    _, report = policy.act(observe())
    assert (report.step, report.refresh) == (0, 'episode_reset')


def test_an_unknown_cause_is_refused_with_the_known_ones(oft_folder):
    policy = Policy.from_pretrained(oft_folder)
    with pytest.raises(ValueError, match="cause: expected one of episode_reset, .* got 'bored'"):
        policy.reset(cause='bored')


def test_new_instruction_keeps_visual_tokens_where_attention_is_causal(causal_folder):
    policy = Policy.from_pretrained(causal_folder, gate='motion', reuse=0.5)
    policy.act(observe(cameras=1))
    chunk, report = policy.act(observe(instruction='put the cube on the plate', cameras=1))
    assert report.refresh == '' and report.reuse == 0.5
    dense, _ = Policy.from_pretrained(causal_folder).act(
        observe(instruction='put the cube on the plate', cameras=1)
    )
    assert np.array_equal(chunk.actions, dense.actions)  # the same image: reuse is exact


def test_an_instruction_is_taken_as_long_as_the_model_has_positions(causal_folder):
    policy = Policy.from_pretrained(causal_folder, gate='motion', reuse=0.5)
    policy.act(observe(cameras=1))
    longer = 'put the cube on the plate ' * 30  # 180 words of one token each
    policy.check_instruction(longer)
    chunk, report = policy.act(observe(instruction=longer, cameras=1))
    assert report.refresh == '' and report.reuse == 0.5
    dense, _ = Policy.from_pretrained(causal_folder).act(observe(instruction=longer, cameras=1))
    assert np.array_equal(chunk.actions, dense.actions)


def test_an_instruction_is_checked_from_any_thread_while_steps_go_on(oft_folder):
    policy, alone = (Policy.from_pretrained(oft_folder) for _ in range(2))
    texts = [f'pick up the {"red " * i}cube' for i in range(40)]
    with ThreadPoolExecutor(1) as pool:
        checks = [pool.submit(policy.check_instruction, text) for text in texts * 5]
        chunks = [policy.act(observe(instruction=text))[0] for text in texts[:5]]
        refused = pool.submit(policy.check_instruction, 'cube ' * 2000)
    assert all(check.result() is None for check in checks)
    with pytest.raises(InputError, match='expected a prompt of 1 to 1477 tokens, found 2010'):
        refused.result()
    for text, chunk in zip(texts, chunks, strict=False):
        wanted = alone.act(observe(instruction=text))[0]
        assert np.array_equal(chunk.actions, wanted.actions)


def test_new_instruction_is_one_full_step_where_attention_is_bidirectional(oft_folder):
    policy = Policy.from_pretrained(oft_folder, gate='motion', reuse=0.5)
    policy.act(observe())
    instruction = 'put the cube on the plate'
    chunk, report = policy.act(observe(instruction=instruction))
    assert report.refresh == 'new_instruction' and report.reuse == 0
    assert policy.act(observe(instruction=instruction))[1].reuse == 0.5
    dense, _ = Policy.from_pretrained(oft_folder).act(observe(instruction=instruction))
    assert chunk.normalized == pytest.approx(dense.normalized, abs=1e-5)


def test_non_finite_output_is_an_error_and_the_next_good_step_is_full(oft_folder):
    policy = Policy.from_pretrained(oft_folder, gate='motion')
    policy.act(observe())
    weight = policy._vla.model.action_head.model.fc2.bias
    kept = weight.detach().clone()
    weight.data.fill_(torch.nan)
    with pytest.raises(NonFiniteOutputError):
        policy.act(observe())
    assert not policy.cache.valid
    weight.data.copy_(kept)
    chunk, report = policy.act(observe())
    assert report.refresh == 'non_finite_output' and np.isfinite(chunk.actions).all()


def test_a_failing_gate_leaves_the_cache_as_it_was(oft_folder):
    class Broken:
        name, probe_layers = 'broken', ()

        def reset(self):
            pass

        def plan(self, pixels, cache):
            raise RuntimeError('no plan')

    policy = Policy.from_pretrained(oft_folder, gate='dense')
    policy.act(observe())
    policy.gate = Broken()
    with pytest.raises(RuntimeError, match='no plan'):
        policy.act(observe())
    assert policy.cache.valid and policy.cache.step == 1


def test_causal_model_takes_one_camera_and_no_proprio(causal_folder):
    policy = Policy.from_pretrained(causal_folder)
    assert (policy.num_images, policy.chunk, policy.proprio_size) == (1, 1, 0)
    observation = Observation((picture(),), 'pick up the cube', np.full(3, np.nan))
    chunk, _ = policy.act(observation)
    assert chunk.actions.shape == (1, 7)


def test_oft_model_says_what_it_takes(oft_folder):
    policy = Policy.from_pretrained(oft_folder)
    assert (policy.num_images, policy.chunk, policy.proprio_size) == (2, 8, 8)
    assert policy.statistics.key == 'toy'


@pytest.mark.parametrize(
    'arguments, message',
    [
        ({'gate': 'motoin'}, 'gate: expected one of dense, random, motion, vla-cache'),
        ({'gate': 'motion', 'reuse': 1.5}, 'reuse: expected a share from 0 to 1, got 1.5'),
        ({'dtype': 'int4'}, 'dtype: expected one of float32, bfloat16, float16, int8, fp8'),
        ({'device': 'gpu'}, 'device: expected cpu, cuda or cuda:N'),
        ({'unnorm_key': 'libero'}, "unnorm_key: expected one of ['toy'], found 'libero'"),
    ],
)
def test_bad_arguments_say_what_is_accepted(oft_folder, arguments, message):
    with pytest.raises(ValueError, match='expected') as error:
        Policy.from_pretrained(oft_folder, **arguments)
    assert message in str(error.value) and '\n' not in str(error.value)


def test_statistics_of_another_robot_are_refused_at_load(tmp_path):
    folder = write_checkpoint(tmp_path)
    path = folder / 'dataset_statistics.json'
    statistics = json.loads(path.read_text())
    for bounds in statistics['toy'].values():
        for key in bounds:
            bounds[key] = bounds[key][:5]
    path.write_text(json.dumps(statistics))
    with pytest.raises(CheckpointError, match='action: expected 7 values'):
        Policy.from_pretrained(folder)


def test_flow_steps_may_stand_behind_the_name_of_a_checkpoint():
    folder = GOLDENS / 'pi05'
    assert load_checkpoint(f'{folder},flow_steps=3').config.flow.steps == 3
    assert load_checkpoint(folder).config.flow.steps == 10
    with pytest.raises(CheckpointError, match='steps: expected 1 to 1000'):
        load_checkpoint(f'{folder},flow_steps=0')
    with pytest.raises(CheckpointError, match='found a model that does not denoise'):
        load_checkpoint('tabletop,flow_steps=3')
