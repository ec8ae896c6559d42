# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Processor steps that cannot be run as they were saved are refused by name."""

from damaged_checkpoint import fault
from lerobot_folders import copy_folder
from lerobot_folders import edit_steps
import pytest


@pytest.fixture
def folder(request, tmp_path):
    """Return a copy of a golden folder, of pi0 unless the test names another."""
    return copy_folder(getattr(request, 'param', 'pi0'), tmp_path)


def step(name, change):
    """Return what changes the configuration of one step."""
    return lambda steps: steps[name]['config'].update(change) if name in steps else None


def without(name):
    return lambda steps: {key: one for key, one in steps.items() if key != name}


def reordered(steps):
    return dict(reversed(steps.items()))


def another(steps):
    return steps | {'new': {'registry_name': 'observation_quantizer', 'config': {}}}


def twice(steps):
    return steps | {'again': steps['to_batch_processor']}


NORM = {'VISUAL': 'IDENTITY', 'STATE': 'MEAN_STD', 'ACTION': 'MEAN_STD'}
RELATIVE = {'enabled': True, 'exclude_joints': [], 'action_names': None}


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (another, 'steps[7] observation_quantizer: expected one of rename_observations_processor'),
        (twice, 'to_batch_processor: expected this step once, found it twice'),
        (without('normalizer_processor'), 'expected the step normalizer_processor, found ren'),
        (without('tokenizer_processor'), 'expected the step tokenizer_processor, found'),
        (without('pi0_new_line_processor'), 'expected the step pi0_new_line_processor, found'),
        (reordered, 'expected the steps that make a prompt as LeRobot has them for pi0, found'),
        (step('tokenizer_processor', {'lower': True}), 'config: expected tokenizer_name'),
        (step('tokenizer_processor', {'padding_side': 'left'}), 'padding_side: expected right'),
        (step('tokenizer_processor', {'max_length': 0}), 'max_length: expected 1 to 4096'),
        (step('normalizer_processor', {'eps': 'small'}), "eps: expected 0 to 1, found 'small'"),
        (
            step('normalizer_processor', {'norm_map': NORM | {'STATE': 'LOG'}}),
            'norm_map: STATE: expected one of IDENTITY, MEAN_STD, MIN_MAX, QUANTILES, QUANTILE10',
        ),
        (
            step('normalizer_processor', {'norm_map': NORM | {'VISUAL': 'MEAN_STD'}}),
            'norm_map: VISUAL: expected IDENTITY',
        ),
        (step('normalizer_processor', {'norm_map': {}}), 'norm_map: STATE: expected one of'),
        (step('normalizer_processor', {'features': {}}), 'a base checkpoint knows no units'),
        (
            step('rename_observations_processor', {'rename_map': {'a': 'observation.images.x'}}),
            'rename_map: expected names of features once each',
        ),
        (
            step('rename_observations_processor', {
                'rename_map': dict.fromkeys(('a', 'b'), 'observation.images.base')
            }),
            'rename_map: expected names of features once each',
        ),
        (step('relative_actions_processor', RELATIVE), 'found True, False and False'),
    ],
)  # fmt: skip
def test_a_preprocessor_is_refused(folder, change, text):
    edit_steps(folder / 'policy_preprocessor.json', change)
    assert text in fault(folder)


@pytest.mark.parametrize('folder', ['pi05'], indirect=True)
def test_a_state_that_is_put_into_words_before_it_is_normalised_is_refused(folder):
    def late(steps):
        return dict(sorted(steps.items(), key=lambda one: one[0] == 'normalizer_processor'))

    edit_steps(folder / 'policy_preprocessor.json', late)
    assert 'expected the steps that make a prompt as LeRobot has them for pi05' in fault(folder)
