# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Damage good files: change, cut out and repeat bytes, or put odd values into their structure."""

import copy

from hypothesis import strategies as st

ODD = [
    None, True, False, 0, -1, 1, 2, 3, 7, 10**6, 10**9, 10**12, 2**63, -(2**63), 10**400, 0.5,
    -0.0, float('nan'), float('inf'), float('-inf'), 1e308, '', 'a', '16', '../../x', '/etc',
    'l' * 300, 'é\ud7ff', [], {}, [0], [[]], [[[[]]]], {'a': {}}, [None], ['x'] * 300, [1e999] * 7,
    {'auto_map': {'AutoConfig': 'code.Code'}}, 'kernels-community/flash-attn',
]  # fmt: skip


@st.composite
def damaged_bytes(draw, data):
    """Draw bytes that differ from data in a few places."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 5))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        to = min(len(data), at + draw(st.sampled_from([1, 2, 4, 8, 40, len(data)])))
        change = draw(st.sampled_from(['set', 'cut', 'repeat', 'flip', 'full', 'end']))
        if change == 'set':
            data[at] = draw(st.integers(0, 255))
        elif change == 'flip':
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif change == 'full':
            data[at:to] = b'\xff' * (to - at)
        elif change == 'end':
            del data[at:]
        else:
            data[at:to] = data[at:to] * (2 if change == 'repeat' else 0)
    return bytes(data)


@st.composite
def damaged_json(draw, content):
    """Draw a structure that differs from content in a few places."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        place, key = _place(draw, content)
        if place is None:
            return draw(st.sampled_from(ODD))
        if draw(st.integers(0, 4)) == 0:
            del place[key]
        else:
            place[key] = copy.deepcopy(draw(st.sampled_from(ODD)))
    return content


def _place(draw, content):
    """Return a container within content and a key of it."""
    place, key = None, None
    while isinstance(content, dict | list) and content:
        keys = sorted(content) if isinstance(content, dict) else range(len(content))
        place, key = content, draw(st.sampled_from(keys))
        content = content[key]
        if draw(st.integers(0, 2)) == 0:
            break
    return place, key
