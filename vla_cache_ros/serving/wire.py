# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn a message into the bytes of a frame, and back: openpi's msgpack with NumPy arrays.

An array travels as a map with the bytes keys `__ndarray__`, `data`, `dtype` and `shape`, a NumPy
scalar as one with `__npgeneric__`, `data` and `dtype`, as openpi-client 0.1.2 writes them
(`msgpack_numpy.py`). Nothing is ever unpickled. Knows neither what the messages mean nor sockets.
"""

import math
from typing import Any

import msgpack
import numpy as np
from vla_cache_ros.vla.files.errors import InputError

LONGEST = 32 * 2**20  # bytes of a frame: some 200 pictures of 224 px
DEEPEST = 8  # maps and lists within each other
_MOST_ITEMS = 4096  # of a list; what is longer is an array
_MOST_KEYS = 256  # of a map
_MOST_AXES = 8
# The kinds of numbers that models take and give, little-endian. Objects, strings, records and
# complex numbers are none of them.
DTYPES = frozenset(
    ('|b1', '|u1', '|i1', '<u2', '<i2', '<u4', '<i4', '<u8', '<i8', '<f2', '<f4', '<f8')
)
_ARRAY, _SCALAR = b'__ndarray__', b'__npgeneric__'
_ARRAY_KEYS = {_ARRAY, b'data', b'dtype', b'shape'}
_SCALAR_KEYS = {_SCALAR, b'data', b'dtype'}
_PLAIN = (type(None), bool, int, float, str, bytes, np.ndarray, np.generic)


class WireError(InputError):
    """Say in one line what is wrong with a frame: what was expected and what came."""

    def __init__(self, text: str) -> None:
        """Keep the text as one line, whatever a stranger's bytes put into it."""
        super().__init__(' '.join(text.split()))


def pack(message: dict[str, Any]) -> bytes:
    """
    Return the frame of a message: a map of text to numbers, text, arrays, lists and maps.

    Raises WireError for a value, or a kind of numbers, that does not travel.
    """
    try:
        return msgpack.packb(message, default=_packed)
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(f'message: {error}') from error


def unpack(frame: bytes, longest: int = LONGEST) -> dict[str, Any]:
    """
    Return the message of a frame; its arrays cannot be written to, they share the frame's memory.

    longest: bytes that a frame may have. Raises WireError for what is no such message.
    """
    if len(frame) > longest:
        raise WireError(f'frame: expected at most {longest} bytes, got {len(frame)}')
    try:
        message = msgpack.unpackb(
            frame,
            object_pairs_hook=_unpacked,
            # Left out, a list that says it has as many items as the frame has bytes takes eight
            # times its memory, and so does each within it.
            max_array_len=_MOST_ITEMS,
            max_map_len=_MOST_KEYS,
            max_ext_len=0,
        )
    except WireError:
        raise
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        text = str(error) or type(error).__name__
        raise WireError(f'frame: expected one msgpack message, got {text}') from error
    if not isinstance(message, dict):
        raise WireError(f'frame: expected a map, got {_kind(message)}')
    _check_values(message)
    return message


def is_text(value: object, longest: int = 4096) -> bool:
    """Say whether a value is text of at most that many characters."""
    return isinstance(value, str) and len(value) <= longest


def is_number(value: object) -> bool:
    """Say whether a value is a finite number; a truth value is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_index(value: object) -> bool:
    """Say whether a value is a whole number from 0 on that fits into 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def describe(value: object) -> str:
    """Return what a value is, in few words, for an error: `uint8 [224, 224, 3]`, `text 'go'`."""
    if isinstance(value, np.ndarray | np.generic):
        return f'{value.dtype} {list(value.shape)}'
    if isinstance(value, str):
        return f'text {value[:40]!r}'
    if isinstance(value, dict | list | bytes):
        return f'{_kind(value)} of {len(value)}'
    return f'{value!r:.40}'


def _packed(value: object) -> dict[bytes, Any]:
    """Return the map of an array or scalar; msgpack asks for what it does not know."""
    if not isinstance(value, np.ndarray | np.generic):
        raise TypeError(f'expected numbers, text, arrays, lists or maps, got {_kind(value)}')
    dtype = value.dtype.newbyteorder('<')
    if dtype.str not in DTYPES:
        raise TypeError(f'expected an array of real numbers, got {value.dtype}')
    if isinstance(value, np.generic):
        return {_SCALAR: True, b'data': value.item(), b'dtype': dtype.str}
    return {
        _ARRAY: True,
        b'data': value.astype(dtype, copy=False).tobytes(),
        b'dtype': dtype.str,
        b'shape': value.shape,
    }


def _unpacked(pairs: list[tuple[str | bytes, Any]]) -> Any:  # noqa: ANN401
    """Return a map, or the array or scalar that it stands for."""
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise WireError(f'frame: expected each key once, got {twice!r:.60} twice')
    if _ARRAY in found:
        return _array(found)
    if _SCALAR in found:
        return _scalar(found)
    for key in found:
        if not isinstance(key, str):
            raise WireError(f'frame: expected text as keys, got {key!r:.60}')
    return found


def _array(found: dict[bytes, Any]) -> np.ndarray:
    _check_keys('array', found, _ARRAY, _ARRAY_KEYS)
    dtype, shape, data = _dtype('array', found), found[b'shape'], found[b'data']
    if not isinstance(shape, list) or len(shape) > _MOST_AXES or not all(map(is_index, shape)):
        raise WireError(
            f'array: expected a shape of up to {_MOST_AXES} sizes, got {_numbers(shape)}'
        )
    if not isinstance(data, bytes):
        raise WireError(f'array: expected bytes as data, got {_kind(data)}')
    size = math.prod(shape) * dtype.itemsize
    if size != len(data):
        raise WireError(
            f'array: expected {size} bytes of data for {dtype} {_numbers(shape)}, got {len(data)}'
        )
    if 0 in shape and math.prod(filter(None, shape)) * dtype.itemsize >= 2**31:
        raise WireError(f'array: expected a shape that memory can hold, got {shape}')
    values = np.ndarray(shape, dtype, data)
    if dtype == np.bool_ and values.size and values.view(np.uint8).max() > 1:
        raise WireError('array: expected 0 and 1 as truth values, got another byte')
    return values


def _numbers(shape: object) -> str:
    if isinstance(shape, list) and all(isinstance(size, int | float) for size in shape):
        return f'{shape!r:.60}'
    return describe(shape)


def _scalar(found: dict[bytes, Any]) -> np.generic:
    _check_keys('scalar', found, _SCALAR, _SCALAR_KEYS)
    dtype, data = _dtype('scalar', found), found[b'data']
    if not isinstance(data, bool | int | float):
        raise WireError(f'scalar: expected a number as data, got {_kind(data)}')
    try:
        value = dtype.type(data)
    except (ValueError, OverflowError) as error:
        raise WireError(f'scalar: expected a number that is {dtype}, got {data!r:.60}') from error
    if dtype.kind != 'f' and value != data:
        raise WireError(f'scalar: expected a number that is {dtype}, got {data!r:.60}')
    return value


def _check_keys(what: str, found: dict, mark: bytes, keys: set[bytes]) -> None:
    if set(found) != keys or found[mark] is not True:
        names = ', '.join(sorted(key.decode() for key in keys))
        raise WireError(f'{what}: expected {names} and nothing else, got {list(found)!r:.80}')


def _dtype(what: str, found: dict[bytes, Any]) -> np.dtype:
    name = found[b'dtype']
    if not isinstance(name, str) or name not in DTYPES:
        raise WireError(
            f'{what}: expected a dtype out of {", ".join(sorted(DTYPES))}, got {name!r:.40}'
        )
    return np.dtype(name)


def _check_values(message: dict[str, Any]) -> None:
    """Raise WireError for a value that is none of a message's, or one that lies too deep."""
    waiting: list[tuple[Any, int]] = [(message, 1)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, dict | list):
            if depth > DEEPEST:
                raise WireError(f'frame: expected at most {DEEPEST} levels, got more')
            within = value.values() if isinstance(value, dict) else value
            waiting += ((inner, depth + 1) for inner in within)
        elif not isinstance(value, _PLAIN):
            raise WireError(f'frame: expected numbers, text, arrays, got {_kind(value)}')


def _kind(value: object) -> str:
    names = {dict: 'a map', list: 'a list', bytes: 'bytes', str: 'text', type(None): 'nothing'}
    return names.get(type(value), type(value).__name__)
