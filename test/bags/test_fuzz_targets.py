# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The fuzzer's targets take their seeds, and a little damage; the rest is for `make fuzz`."""

from damage import damaged_bytes
from fuzz_targets import make_targets
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import pytest

NAMES = (
    'answer', 'bag_metadata', 'config', 'definition', 'gate', 'image', 'index', 'joints', 'mcap',
    'mcap_chunk', 'metadata', 'pt', 'pt_pickle', 'request', 'safetensors', 'sqlite', 'statistics',
    'step_report', 'transforms',
)  # fmt: skip


@pytest.fixture(scope='module')
def targets(tmp_path_factory):
    return make_targets(tmp_path_factory.mktemp('fuzz'))


def test_every_target_is_named_here(targets):
    assert sorted(targets) == sorted(NAMES)


@pytest.mark.parametrize('name', NAMES)
def test_good_inputs_are_taken(targets, name):
    for seed in targets[name].seeds:
        if name == 'definition':  # 64 zeros need not be a message
            continue
        assert targets[name].parse(seed) is not None


@pytest.mark.parametrize('name', NAMES)
@given(data=st.data())
@settings(max_examples=15, deadline=20_000)
def test_damaged_inputs_are_taken_or_named(targets, name, data):
    try:
        targets[name].parse(data.draw(damaged_bytes(targets[name].seeds[-1])))
    except ValueError as error:
        assert str(error) and '\n' not in str(error)
