# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames become messages and back; what is no message is refused in one line, without memory."""

import tracemalloc

from damage import damaged_bytes
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
import msgpack
import numpy as np
import pytest
from vla_cache_ros.serving.wire import DTYPES
from vla_cache_ros.serving.wire import pack
from vla_cache_ros.serving.wire import unpack
from vla_cache_ros.serving.wire import WireError

PICTURE = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
REQUEST = {
    'observation/image': PICTURE,
    'observation/wrist_image': PICTURE[::2],
    'observation/state': np.linspace(-1, 1, 8, dtype=np.float32),
    'prompt': 'pick up the red cube',
    'vla_cache': {'id': 7, 'call': 'act', 'rest': np.ones((3, 7)), 'deadline_ms': 80.5},
}
# what openpi-client 0.1.2 packs for {'a': np.arange(3, dtype=np.float32), 'b': np.int64(5)}
OPENPI = (
    b'\x82\xa1a\x84\xc4\x0b__ndarray__\xc3\xc4\x04data\xc4\x0c\x00\x00\x00\x00\x00\x00\x80?\x00'
    b'\x00\x00@\xc4\x05dtype\xa3<f4\xc4\x05shape\x91\x03\xa1b\x83\xc4\r__npgeneric__\xc3\xc4'
    b'\x04data\x05\xc4\x05dtype\xa3<i8'
)


def frame(value):
    """Return the frame of a map with one value, packed as it is."""
    return msgpack.packb({'a': value})


def array(**changes):
    """Return the map of an array, changed."""
    plain = {'__ndarray__': True, 'data': bytes(6), 'dtype': '<f2', 'shape': [3]}
    return {key.encode(): value for key, value in (plain | changes).items()}


def equal(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        same = one.dtype == other.dtype and one.shape == other.shape
        return same and one.tobytes() == other.tobytes()
    return type(one) is type(other) and one == other


def test_a_message_comes_back_as_it_was():
    assert equal(unpack(pack(REQUEST)), REQUEST)


def test_bytes_are_those_of_openpi():
    message = {'a': np.arange(3, dtype=np.float32), 'b': np.int64(5)}
    assert pack(message) == OPENPI
    assert equal(unpack(OPENPI), message)


@given(
    st.sampled_from(sorted(DTYPES)).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, min_side=0))
    )
)
def test_any_array_comes_back_as_it_was(values):
    assert equal(unpack(pack({'a': values}))['a'], values)


def test_arrays_cannot_be_written_to():
    with pytest.raises(ValueError, match='read-only'):
        unpack(pack(REQUEST))['observation/image'][0, 0, 0] = 1


def test_a_big_endian_or_strided_array_is_packed_little_endian():
    values = np.arange(6, dtype='>i4').reshape(2, 3).T
    assert equal(unpack(pack({'a': values}))['a'], values.astype('<i4').copy())


@pytest.mark.parametrize(
    'value',
    [
        np.array([object()]),
        np.array(['text']),
        np.zeros(2, complex),
        np.zeros(2, [('a', 'f4')]),
        np.datetime64('2026-11-27'),
        {1, 2},
        object(),
        2**70,
        '\ud800',
    ],
)
def test_what_does_not_travel_is_not_packed(value):
    with pytest.raises(WireError) as error:
        pack({'a': value})
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    ('data', 'text'),
    [
        (b'', 'expected one msgpack message, got Unpack failed: incomplete input'),
        (b'\xc1', 'expected one msgpack message, got FormatError'),
        (b'\x80\x80', 'extra data'),
        (b'\x80' + bytes(99), 'extra data'),
        (msgpack.packb([1]), 'expected a map, got a list'),
        (msgpack.packb(None), 'expected a map, got nothing'),
        (msgpack.packb({1: 2}), 'int is not allowed for map key'),
        (msgpack.packb({b'a': 2}), "expected text as keys, got b'a'"),
        (b'\x82\xa1a\x01\xa1a\x02', "expected each key once, got 'a' twice"),
        (b'\x81\xa1a\xa2\xff\xff', "can't decode byte 0xff"),
        (frame(msgpack.Timestamp(1)), 'max_ext_len'),
        (b'\x81\xa1a\xc7\x00\x05', 'expected numbers, text, arrays, got ExtType'),
        (frame(msgpack.ExtType(5, b'x')), 'max_ext_len'),
        (b'\x81\xa1a\xdd\x7f\xff\xff\xff', 'exceeds max_array_len'),
        (b'\x81\xa1a\xdf\x7f\xff\xff\xff', 'exceeds max_map_len'),
        (b'\x81\xa1a\xc6\x7f\xff\xff\xff', 'incomplete input'),
        (b'\x81\xa1a' + b'\x91' * 9000, 'expected one msgpack message, got StackError'),
        (b'\x81\xa1a' + b'\x91' * 9 + b'\x01', 'expected at most 8 levels'),
        (frame(array(dtype='|O')), "expected a dtype out of <f2, .* got '|O'"),
        (frame(array(dtype='<U5')), "got '<U5'"),
        (frame(array(dtype='|V2')), "got '|V2'"),
        (frame(array(dtype='<c8')), "got '<c8'"),
        (frame(array(dtype='>f2')), "got '>f2'"),
        (frame(array(dtype='f2,(99999,99999)u1')), 'expected a dtype out of'),
        (frame(array(dtype=[['a', '<f4']])), 'expected a dtype out of'),
        (frame(array(shape=[4])), r'expected 8 bytes of data for float16 \[4\], got 6'),
        (frame(array(shape=[2**62, 2**62])), 'bytes of data'),
        (frame(array(shape=[-3])), r'expected a shape of up to 8 sizes, got \[-3\]'),
        (frame(array(shape=[True])), 'expected a shape'),
        (frame(array(shape=[3.0])), 'expected a shape'),
        (frame(array(shape=3)), 'expected a shape'),
        (frame(array(shape=[1] * 9)), 'expected a shape'),
        (frame(array(shape=[0, 2**62, 9], data=b'')), 'expected a shape that memory can hold'),
        (frame(array(data='abcdef')), 'expected bytes as data, got text'),
        (frame(array(dtype='|b1', data=b'\0\1\2')), 'expected 0 and 1 as truth values'),
        (frame(array(__ndarray__=1)), 'expected __ndarray__, data, dtype, shape and nothing else'),
        (frame(array(more=1)), 'and nothing else'),
        (frame({b'__ndarray__': True}), 'and nothing else'),
        (frame({b'__npgeneric__': True, b'data': 300, b'dtype': '|u1'}), 'a number that is uint8'),
        (frame({b'__npgeneric__': True, b'data': 0.5, b'dtype': '<i4'}), 'a number that is int32'),
        (frame({b'__npgeneric__': True, b'data': 'x', b'dtype': '<f4'}), 'a number as data'),
        (frame({b'__npgeneric__': True, b'data': 1, b'dtype': '|O'}), 'expected a dtype'),
    ],
)
def test_a_frame_that_is_no_message_is_refused_in_one_line(data, text):
    with pytest.raises(WireError, match=text) as error:
        unpack(data)
    assert '\n' not in str(error.value)


def test_a_frame_longer_than_allowed_is_refused():
    with pytest.raises(WireError, match='expected at most 10 bytes, got 11'):
        unpack(bytes(11), longest=10)


def test_lists_that_say_they_are_long_take_no_memory():
    data = b'\x81\xa1a' + b'\xdc\x0f\xff' * 500 + bytes(2**16)
    tracemalloc.start()
    with pytest.raises(WireError):
        unpack(data)
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()


@given(damaged_bytes(pack(REQUEST)))
def test_a_damaged_frame_is_taken_or_named(data):
    try:
        assert isinstance(unpack(data), dict)
    except WireError as error:
        assert str(error) and '\n' not in str(error)


@given(st.binary(max_size=200))
def test_random_bytes_are_taken_or_named(data):
    try:
        assert isinstance(unpack(data), dict)
    except WireError as error:
        assert str(error) and '\n' not in str(error)
