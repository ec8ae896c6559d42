# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Units and prompts follow LeRobot's formulas, number by number, and lead back."""

from hypothesis import given
from hypothesis import strategies as st
from lerobot_folders import copy_folder
from lerobot_folders import edit_steps
from lerobot_folders import edit_tensors
from lerobot_folders import GOLDENS
from lerobot_folders import normalizer_file
import numpy as np
import pytest
import torch
from vla_cache_ros.vla.actions import Bounds
from vla_cache_ros.vla.actions import DatasetStatistics
from vla_cache_ros.vla.actions import OFT_EPSILON
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.files.errors import InputError
from vla_cache_ros.vla.lerobot.prompts import Prompting
from vla_cache_ros.vla.lerobot.scaling import FolderStatistics
from vla_cache_ros.vla.lerobot.scaling import MODES
from vla_cache_ros.vla.lerobot.scaling import Scaling

RANGES = ('MIN_MAX', 'QUANTILES', 'QUANTILE10')


def scaling(mode, first, second, epsilon=1e-8):
    return Scaling(mode, np.array(first, float), np.array(second, float), epsilon)


def test_mean_and_deviation_take_the_epsilon_on_the_way_in_alone():
    one = scaling('MEAN_STD', [1.0, 2.0], [0.5, 0.0], epsilon=0.25)
    assert one.normalize(np.array([2.5, 2.5])).tolist() == [2.0, 2.0]
    assert one.denormalize(np.array([2.0, 2.0])).tolist() == [2.0, 2.0]


@pytest.mark.parametrize('mode', RANGES)
def test_ranges_are_minus_one_to_one_without_clipping(mode):
    one = scaling(mode, [-1.0, 3.0], [3.0, 3.0], epsilon=0.5)
    assert one.normalize(np.array([[-1.0, 3.0], [4.0, 3.25]])).tolist() == [[-1, -1], [1.5, 0]]
    assert one.denormalize(np.array([[-1.0, -1.0], [1.5, 0.0]])).tolist() == [[-1, 3], [4, 3.25]]


def test_identity_changes_nothing():
    values = np.array([[7.0, -3.5]])
    one = scaling('IDENTITY', [0, 0], [1, 1])
    assert np.array_equal(one.normalize(values), values)
    assert np.array_equal(one.denormalize(values), values)


@given(
    st.sampled_from(sorted(MODES)),
    st.lists(
        st.tuples(st.floats(-1e3, 1e3), st.floats(1e-2, 1e3), st.floats(-1e3, 1e3), st.booleans()),
        min_size=1,
        max_size=5,
    ),
)
def test_actions_and_the_models_numbers_lead_to_each_other(mode, columns):
    low, span, values, relative = (np.array(one) for one in zip(*columns, strict=True))
    second = span if mode == 'MEAN_STD' else low + span
    one = scaling(mode, low, second, epsilon=0.0)
    statistics = FolderStatistics('any', one, one, relative.astype(bool))
    state = values[::-1].copy()
    normalized = statistics.to_normalized(values[None], state)
    assert statistics.to_actions(normalized, state)[0] == pytest.approx(values, abs=1e-6)


def test_float32_stays_float32_and_all_else_is_float64():
    one = scaling('QUANTILES', [0.1], [0.7])
    values = np.array([0.3], np.float32)
    as_torch = 2 * (torch.from_numpy(values) - 0.1) / (torch.tensor([0.7]) - 0.1) - 1
    assert one.normalize(values).dtype == np.float32
    assert one.normalize(values) == pytest.approx(as_torch.numpy(), abs=1e-7)
    assert one.normalize(values.astype(float)).dtype == np.float64
    assert one.denormalize(values).dtype == np.float64


def test_relative_actions_are_seen_from_the_raw_state():
    one = scaling('MEAN_STD', [0.0, 0.0, 0.0], [2.0, 2.0, 2.0], epsilon=0.0)
    state = scaling('MEAN_STD', [9.0] * 4, [3.0] * 4)
    statistics = FolderStatistics('any', one, state, np.array([True, True, False]))
    raw = np.array([10.0, 20.0, 30.0, 40.0])
    chunk = np.array([[0.5, 1.0, 1.5], [0.0, 0.0, 0.0]])
    actions = statistics.to_actions(chunk, raw)
    assert actions.tolist() == [[11.0, 22.0, 3.0], [10.0, 20.0, 0.0]]
    assert statistics.to_normalized(actions, raw).tolist() == chunk.tolist()
    # ... which is another place once the robot has moved
    assert statistics.to_normalized(actions, raw + 2)[0].tolist() == [-0.5, 0.0, 1.5]
    with pytest.raises(InputError, match=r'proprio: expected \[4\] numbers, found None'):
        statistics.to_actions(chunk)


def test_the_words_of_a_name_say_which_actions_stay_absolute(tmp_path):
    def enable(steps):
        names = ['shoulder', 'elbow', 'wrist', 'roll', 'pitch', 'yaw', 'Gripper.pos']
        if 'relative_actions_processor' in steps:
            config = {'enabled': True, 'exclude_joints': ['gripper'], 'action_names': names}
            steps['relative_actions_processor']['config'] = config
        else:
            steps['absolute_actions_processor']['config'] = {'enabled': True}

    folder = copy_folder('pi0', tmp_path)
    for name in ('pre', 'post'):
        edit_steps(folder / f'policy_{name}processor.json', enable)
    path = folder / 'config.json'
    text = path.read_text()
    path.write_text(text.replace('"use_relative_actions": false', '"use_relative_actions": true'))
    vla = load_checkpoint(folder)
    assert vla.statistics().relative.tolist() == [True] * 6 + [False]
    assert '6 relative to it' in vla.summary and 'Gripper.pos' in vla.summary


@pytest.mark.parametrize(('kind', 'mode'), [('pi0', 'MIN_MAX'), ('pi05', 'QUANTILE10')])
def test_the_processors_norm_map_is_what_is_applied(kind, mode, tmp_path):
    """The one of config.json may differ after a fine-tuning."""
    folder = copy_folder(kind, tmp_path)

    def change(steps):
        for name in ('normalizer_processor', 'unnormalizer_processor'):
            if name in steps:
                steps[name]['config']['norm_map'] |= {'STATE': mode, 'ACTION': mode}

    for name in ('pre', 'post'):
        edit_steps(folder / f'policy_{name}processor.json', change)
    for path in folder.glob('policy_*.safetensors'):
        edit_tensors(path, lambda found: found.update(
            {f'{feature}.{name}': torch.full((size,), value)
             for feature, size in (('observation.state', 8), ('action', 7))
             for names, value in ((('min', 'q10'), -2.0), (('max', 'q90'), 6.0))
             for name in names}
        ))  # fmt: skip
    statistics = load_checkpoint(folder).statistics()
    assert statistics.normalize_proprio(np.full(8, 4.0)).tolist() == [0.5] * 8
    assert statistics.to_actions(np.full((1, 7), 0.5)).tolist() == [[4.0] * 7]


def test_statistics_come_from_each_processors_own_file(tmp_path):
    folder = copy_folder('smolvla', tmp_path)

    def shift(found):
        found['action.mean'] += 5
        found['observation.state.mean'] += 5

    edit_tensors(normalizer_file(folder), shift)
    shifted, plain = (load_checkpoint(one).statistics() for one in (folder, GOLDENS / 'smolvla'))
    assert np.array_equal(shifted.action.first, plain.action.first)
    assert shifted.proprio.first == pytest.approx(plain.proprio.first + 5, abs=1e-6)


def test_older_families_convert_as_before():
    bounds = Bounds(np.array([-1.0, 0.0]), np.array([3.0, 0.0]), np.array([True, True]))
    values = np.array([[0.25, -0.5]])
    for epsilon in (0.0, OFT_EPSILON):
        statistics = DatasetStatistics('set', bounds, None, epsilon)
        assert np.array_equal(statistics.to_actions(values), bounds.denormalize(values, epsilon))
        assert np.array_equal(statistics.to_normalized(values), bounds.normalize(values))


def test_a_prompt_of_pi0_ends_in_one_newline_and_is_else_as_it_was_said():
    prompting = Prompting(state=0, tokenizer='', longest=48)
    assert prompting.text(' Pick UP_it ') == ' Pick UP_it \n'
    assert prompting.text('go\n') == 'go\n'


def test_a_prompt_of_pi05_holds_the_state_in_words():
    prompting = Prompting(state=6, tokenizer='', longest=200)
    state = np.array([-1.01, -1.0, 0.0, 0.999, 1.0, 7.0], np.float32)
    assert prompting.text(' Pick_up\nthe cube \n', state) == (
        'Task: Pick up the cube, State: -1 0 128 255 255 255;\nAction: '
    )
    last = np.nextafter(np.float32(1 - 2 / 256), np.float32(0))
    assert 'State: 254 255' in prompting.text('go', np.array([last, 1 - 2 / 256]))


def characters(text):
    return {'input_ids': [ord(one) for one in text]}


@pytest.mark.parametrize('state', [0, 8])
def test_a_prompt_is_never_cut_short(state):
    room = 100 - len(Prompting(state, '', 100).text('x')) + 1
    prompting = Prompting(state, '', 100)
    assert len(prompting.ids(characters, 'x' * room)) == 100
    with pytest.raises(InputError, match='expected a prompt of at most 100 tokens.*found 101'):
        prompting.ids(characters, 'x' * (room + 1))


@pytest.mark.parametrize('text', ['', ' \n', '\ud800'])
def test_an_instruction_without_text_is_refused(text):
    with pytest.raises(InputError, match='instruction: expected'):
        Prompting(0, '', 48).text(text)


def test_an_instruction_is_checked_with_the_longest_state():
    """So that no later state makes a prompt too long that was taken on arrival."""
    vla = load_checkpoint(GOLDENS / 'pi05')
    short = vla.prompt_ids('go', np.full(8, -0.99, np.float32))
    longest = vla.prompt_ids('go')
    assert len(longest) > len(short)
    states = np.random.default_rng(0).uniform(-1.5, 1.5, (50, 8)).astype(np.float32)
    assert max(len(vla.prompt_ids('go', state)) for state in states) <= len(longest)
