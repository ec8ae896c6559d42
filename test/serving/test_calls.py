# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A request is taken as it is or refused by the name of the key that does not fit."""

from dataclasses import replace
import re

from damage import ODD
from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
from served import METADATA
from served import request
from vla_cache_ros.serving.calls import number_of
from vla_cache_ros.serving.calls import read_call
from vla_cache_ros.serving.wire import WireError

PICTURE = np.zeros((32, 40, 3), np.uint8)


def changed(key, value):
    """Return a good request with one key changed, left out where the value is None."""
    message = request()
    message.pop(key, None)
    return message if value is None else message | {key: value}


def refusal(message, last=None, model=METADATA):
    with pytest.raises(WireError) as error:
        read_call(message, model, last)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_a_plain_request_is_a_step():
    call = read_call(request(), METADATA)
    assert (call.name, call.id, call.deadline, call.rest) == ('act', None, None, None)
    assert [image.shape for image in call.observation.images] == [(32, 32, 3)] * 2


def test_an_extended_request_says_more():
    extra = {'id': 3, 'rest': np.ones((2, 7)), 'delay': 1, 'deadline_ms': 80}
    call = read_call(request(extra), METADATA, last=2)
    assert (call.id, call.delay, call.deadline) == (3, 1, 0.08) and call.rest.shape == (2, 7)
    call = read_call(request({'id': 3, 'call': 'shadow', 'step': 9}), METADATA)
    assert (call.name, call.step) == ('shadow', 9)


@pytest.mark.parametrize(
    ('key', 'value', 'text'),
    [
        ('observation/image', None, 'observation/image: expected it in the request, got none'),
        ('observation/image', PICTURE.transpose(2, 0, 1).copy(), 'channel-first'),
        ('observation/image', PICTURE.astype(np.float32), 'convert_to_uint8'),
        ('observation/image', PICTURE[None], 'not a batch'),
        ('observation/image', PICTURE[..., :1], r'got uint8 \[32, 40, 1\]'),
        ('observation/image', PICTURE[:0], r'got uint8 \[0, 40, 3\]'),
        ('observation/image', PICTURE.astype(np.int8), 'got int8'),
        ('observation/image', b'JPEG', 'got bytes of 4'),
        ('observation/wrist_image', [[1]], 'observation/wrist_image: expected uint8 RGB'),
        ('observation/state', None, 'observation/state: expected it in the request'),
        (
            'observation/state',
            np.zeros(7),
            r'float64 \[8\], got float64 \[7\]',
        ),
        ('observation/state', np.zeros((1, 8)), r'got float64 \[1, 8\]'),
        ('observation/state', np.zeros(8, np.int64), 'got int64'),
        ('observation/state', [0.0] * 8, 'got a list of 8'),
        ('observation/state', np.full(8, np.nan), 'expected finite numbers'),
        ('prompt', None, 'prompt: expected it in the request'),
        ('prompt', b'go', 'prompt: expected text'),
        ('prompt', np.float32(3), r'got float32 \[\]'),
        ('prompt', 'x' * 4097, 'at most 4096 characters'),
        ('observation/left_image', PICTURE, "got 'observation/left_image'; the server's metadata"),
        ('session', 'other', 'a session is a connection and has no name'),
        ('actions', PICTURE, "request: expected only .*, got 'actions'"),
    ],
)
def test_a_key_that_does_not_fit_is_refused_by_name(key, value, text):
    message = refusal(changed(key, value))
    assert re.search(text, message), message


@pytest.mark.parametrize(
    ('extra', 'text'),
    [
        ({}, 'id: expected a whole number from 5 on, got None'),
        ({'id': 4}, 'id: expected a whole number from 5 on, got 4'),
        ({'id': -1}, 'got -1'),
        ({'id': True}, 'got True'),
        ({'id': 7.0}, 'got 7.0'),
        ({'id': 2**63}, 'id: expected'),
        ({'id': 5, 'call': 'infer'}, "call: expected one of act, .*, got text 'infer'"),
        ({'id': 5, 'call': None}, 'call: expected one of'),
        ({'id': 5, 'session_id': 3}, 'a session is a connection and has no name'),
        ({'id': 5, 'step': 3}, "vla_cache of act: expected only .*, got 'step'"),
        ({'id': 5, 'deadline_ms': 0}, 'deadline_ms: expected ms above 0'),
        ({'id': 5, 'deadline_ms': float('nan')}, 'deadline_ms: expected ms above 0'),
        ({'id': 5, 'deadline_ms': 'soon'}, "got text 'soon'"),
        ({'id': 5, 'delay': 9}, 'delay: expected a whole number from 0 to 8, got 9'),
        ({'id': 5, 'rest': np.ones((9, 7))}, r'rest: expected float64 \[up to 8, 7\]'),
        ({'id': 5, 'rest': np.ones((3, 6))}, r'got float64 \[3, 6\]'),
        ({'id': 5, 'rest': np.ones((3, 7), np.float32)}, 'got float32'),
        ({'id': 5, 'rest': np.full((3, 7), np.inf)}, 'rest: expected finite numbers'),
        ({'id': 5, 'call': 'shadow', 'step': -1}, 'step: expected a whole number'),
        ({'id': 5, 'call': 'reset'}, 'reset: expected only vla_cache, got'),
        ([], 'vla_cache: expected a map, got a list of 0'),
    ],
)
def test_what_goes_beyond_openpi_is_checked_as_well(extra, text):
    message = refusal(request(extra), last=4)
    assert re.search(text, message), message


@pytest.mark.parametrize(
    ('extra', 'text'),
    [
        ({'call': 'reset', 'cause': 3}, 'cause: expected text, got 3'),
        ({'call': 'ask', 'reuse': 0.95}, 'reuse: expected from 0 to 0.9, or nothing, got 0.95'),
        ({'call': 'ask', 'reuse': True}, 'got True'),
        ({'call': 'check_instruction'}, 'prompt: expected it in the request'),
    ],
)
def test_an_order_is_checked(extra, text):
    assert text in refusal({'vla_cache': {'id': 0, **extra}})


def test_orders_are_read():
    call = read_call({'vla_cache': {'id': 0, 'call': 'reset'}}, METADATA)
    assert (call.name, call.cause) == ('reset', 'episode_reset')
    message = {'vla_cache': {'id': 0, 'call': 'check_instruction'}, 'prompt': 'go'}
    assert read_call(message, METADATA).instruction == 'go'
    assert read_call({'vla_cache': {'id': 0, 'call': 'ask'}}, METADATA).reuse is None


def test_a_model_without_state_or_gate_is_told_apart():
    blind = replace(METADATA, state=0, largest_reuse=None)
    assert 'takes no robot state' in refusal(request(), model=blind)
    ask = {'vla_cache': {'id': 0, 'call': 'ask', 'reuse': 0.5}}
    assert 'expected a gate that can be asked' in refusal(ask, model=blind)
    del (plain := request())['observation/state']
    assert read_call(plain, blind).observation.proprio is None


def test_the_number_of_a_wrong_request_is_known():
    assert number_of({'vla_cache': {'id': 3, 'call': 9}}) == 3
    for odd in ({}, {'vla_cache': 3}, {'vla_cache': {'id': 'x'}}):
        assert number_of(odd) is None


@given(
    st.dictionaries(st.sampled_from([*request(), 'other']), st.sampled_from(ODD), max_size=3),
    st.dictionaries(
        st.sampled_from(['id', 'call', 'rest', 'delay', 'step', 'cause', 'reuse', 'deadline_ms']),
        st.sampled_from([*ODD, 'act', 'shadow', 'reset', 'ask', 'check_instruction']),
    ),
)
def test_any_request_is_taken_or_refused_in_one_line(changes, extra):
    try:
        assert read_call(request(extra) | changes, METADATA).name
    except WireError as error:
        assert str(error) and '\n' not in str(error)
