# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Any value of any type for any parameter is taken and within its range, or refused in a line."""

from dataclasses import fields
from dataclasses import replace
import math
import re

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import pytest
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from vla_cache_ros.control.parameters import GzArmParameters
from vla_cache_ros.control.parameters import PictureSourceParameters
from vla_cache_ros.control.parameters import RecorderParameters
from vla_cache_ros.control.parameters import SimRobotParameters
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.ros.declaration import check
from vla_cache_ros.ros.declaration import declare
from vla_cache_ros.ros.declaration import examine

KINDS = [
    VLAParameters,
    GzArmParameters,
    PictureSourceParameters,
    RecorderParameters,
    SimRobotParameters,
]
FIELDS = [(kind, one) for kind in KINDS for one in fields(kind)]
# what ROS parameters can hold
TEXT = st.text(st.characters(exclude_characters='\0', exclude_categories=['Cs']), max_size=12)
INTS = st.integers(-(2**63), 2**63 - 1)
SCALARS = [st.booleans(), INTS, st.floats(), TEXT]
ANYTHING = st.one_of(*SCALARS, *[st.lists(s, max_size=7) for s in SCALARS])


@st.composite
def values(draw, one):
    """Return any value for a parameter, often one that is nearly right."""
    low, high = one.metadata['low'], one.metadata['high']
    near = [ANYTHING, st.just(one.default)]
    if low is not None:
        edges = [low, high, low - 1, high + 1, math.nextafter(low, -math.inf), -0.0, math.inf]
        near.append(st.sampled_from(edges).map(type(low)) if isinstance(low, float) else INTS)
    if isinstance(one.default, tuple):
        near.append(st.lists(st.floats(-101, 101) if low is not None else TEXT, max_size=7))
    return draw(st.one_of(near))


def in_range(one, value):
    """Say, by the metadata alone, whether a value may be used."""
    entries = value if isinstance(one.default, tuple) else [value]
    facts = one.metadata
    for entry in entries:
        if facts['low'] is not None and not facts['low'] <= entry <= facts['high']:
            return False
        if facts['pattern'] and not re.fullmatch(facts['pattern'], entry):
            return False
    return True


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_value_is_in_range_or_refused_in_one_line(data):
    _, one = data.draw(st.sampled_from(FIELDS))
    value = data.draw(values(one))
    reason = check(one, value)
    assert reason.isprintable()
    if reason:
        assert reason.startswith(f'{one.name}: expected ') and ', got ' in reason
        return
    assert in_range(one, value)
    kept = type(one.default)(value)
    assert type(kept) is type(one.default)
    if isinstance(kept, float):
        assert math.isfinite(kept)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.booleans())
def test_a_change_is_made_whole_and_consistent_or_not_at_all(data, running):
    current = VLAParameters()
    known = {one.name: one for one in fields(current)}
    names = data.draw(st.lists(st.sampled_from([*known, 'use_sim_time']), max_size=4))
    changes = []
    for name in names:
        value = data.draw(values(known[name])) if name in known else True
        value = list(value) if isinstance(value, tuple) else value
        changes.append(Parameter(name, value=value))
    result = examine(current, changes, running)
    assert bool(result.reason) != result.successful and result.reason.isprintable()
    if not result.successful:
        return
    wanted = {c.name: c.value for c in changes if c.name in known}
    made = replace(current, **{k: type(known[k].default)(v) for k, v in wanted.items()})
    assert not made.contradiction()
    assert all(in_range(known[name], getattr(made, name)) for name in wanted)
    assert not running or all(known[name].metadata['live'] for name in wanted)


@pytest.fixture(scope='module')
def context():
    context = Context()
    context.init()
    yield context
    context.shutdown()


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_node_starts_with_what_it_was_given_or_says_why_not(context, data):
    one = data.draw(st.sampled_from(fields(VLAParameters)))
    value = data.draw(values(one))
    value = list(value) if isinstance(value, tuple) else value
    node = Node(
        'examined',
        context=context,
        parameter_overrides=[Parameter(one.name, value=value)],
        start_parameter_services=False,
        enable_rosout=False,
    )
    try:
        made = declare(node, VLAParameters)
        assert in_range(one, getattr(made, one.name)) and not made.contradiction()
        assert getattr(made, one.name) == type(one.default)(value)
    except ValueError as error:
        assert str(error).isprintable() and ': expected ' in str(error), error
    finally:
        node.destroy_node()
