# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Any message becomes a usable array or one line that says what came, whatever is in it."""

from functools import cache
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

from geometry_msgs.msg import PoseStamped
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest
from sensor_msgs.msg import Image
from sensor_msgs.msg import JointState
from tiny_model import write_checkpoint
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.control.sensing import images
from vla_cache_ros.control.sensing import states
from vla_cache_ros.control.sensing.inputs import Inputs
from vla_cache_ros.control.sensing.inputs import MAX_INSTRUCTION
from vla_cache_ros.control.sensing.robot import PoseSource
from vla_cache_ros.control.sensing.robot import StateInput
from vla_cache_ros.control.sensing.states import StateLayout
from vla_cache_ros.policy import Policy
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.files.errors import InputError

FLOATS = st.floats(width=64)
SIDES = st.one_of(st.integers(0, 70), st.just(2**32 - 1))
NONSENSE = ['', 'RGB8', 'mono16', '32FC1', 'jpeg', 'rgb8\n', 'bayer_grbg16', 'nv21', 'x' * 300]
NAMES = st.one_of(st.sampled_from(['left', 'right']), st.text(max_size=5))


def refused(call, *arguments):
    """Return what a call gives, or None where it refuses its arguments in one line."""
    try:
        return call(*arguments)
    except ValueError as error:
        line = str(error)
        assert line and line.isprintable() and 'expected' in line and 'got' in line
        return None


@st.composite
def image_messages(draw):
    """Return an Image: often one that fits together, else with one field that does not."""
    encodings = st.sampled_from([*images.ENCODINGS] * 2 + NONSENSE)
    height, width, encoding = draw(SIDES), draw(SIDES), draw(encodings)
    row = width * images.ENCODINGS.get(encoding, (1,))[0]
    step = draw(st.sampled_from([row, row, row + 1, row + 64, max(0, row - 1), 0, 2**32 - 1]))
    size = draw(st.sampled_from([step * height, step * height, step * height - 1, 0, 7]))
    made = Image(height=height, width=width, encoding=encoding, step=min(step, 2**32 - 1))
    made.is_bigendian = draw(st.sampled_from([0, 1, 255]))
    level = draw(st.sampled_from([0, 10, 11, 255]))
    made.data = np.full(size if 0 <= size < 10**5 else 5, level, np.uint8).tobytes()
    return made


@settings(max_examples=200, deadline=None)
@given(image_messages())
def test_any_image_is_rgb_of_its_size_or_refused_by_its_topic(message):
    checked = refused(lambda: images.check_image(message, 'camera') or True)
    rgb = refused(images.to_rgb, message, 'camera')
    if rgb is None:
        return
    assert checked, 'what is refused on arrival is not decoded later'
    assert rgb.dtype == np.uint8 and rgb.shape == (message.height, message.width, 3)
    assert rgb.max() > images.BLACK and min(rgb.shape[:2]) >= images.MIN_SIDE


@pytest.mark.parametrize('encoding', images.ENCODINGS)
@settings(max_examples=20, deadline=None)
@given(
    st.integers(32, 41), st.integers(32, 41), st.integers(0, 9), st.integers(0, 1), st.integers()
)
def test_every_known_encoding_decodes_at_every_size(
    encoding, height, width, padding, endian, seed
):
    width += width % 2 if encoding in images.CHROMA else 0  # two pixels share their colour
    height += height % 2 if encoding in images.PLANAR else 0
    row = width * images.ENCODINGS[encoding][0]
    rows = height * 3 // 2 if encoding in images.PLANAR else height
    pixels = np.random.default_rng(abs(seed)).integers(
        100, 200, (rows, row + padding), dtype=np.uint8
    )
    made = Image(height=height, width=width, encoding=encoding, step=row + padding)
    made.is_bigendian, made.data = endian, pixels.tobytes()
    rgb = images.to_rgb(made, 'camera')
    pixels[:, row:] = 0  # what stands between the rows is no picture
    made.data = pixels.tobytes()
    assert np.array_equal(rgb, images.to_rgb(made, 'camera'))
    assert rgb.shape == (height, width, 3)


@example(['left', 'right'], [1e300, 0.0])
@settings(max_examples=150, deadline=None)
@given(st.lists(NAMES, max_size=6), st.lists(FLOATS, max_size=6))
def test_any_joint_state_gives_finite_fingers_or_is_refused(names, positions):
    message = JointState(name=[n.replace('\0', '') for n in names], position=positions)
    message.header.stamp.sec = 1
    found = StateInput(StateLayout(('right',), (1e6,), (-1.0,), arm_joints=('left',)))
    assert found.take('joint_states', message) == bool({'left', 'right'} & set(message.name))
    last = dict(zip_longest(message.name, positions[: len(message.name)]))
    usable = all(abs(last.get(n) or 0.0) < 1e30 for n in ('left', 'right'))
    usable = usable and all(last.get(n) is not None for n in ('left', 'right'))
    problems = found.problems(10**9, 1.0)
    assert bool(problems) != usable
    for text in problems.values():
        assert text.isprintable() and ('got' in text or text.startswith('waiting'))
    if usable:
        expected = np.array([last['left'], 1e6 * last['right'] - 1.0], np.float32)
        assert np.array_equal(found.newest(0).vector, expected) and np.isfinite(expected).all()


POSES = st.one_of(
    st.lists(FLOATS, min_size=7, max_size=7),
    st.tuples(*[FLOATS] * 3, *[st.floats(-1, 1)] * 4).map(
        lambda p: [*p[:3], *(np.array(p[3:]) / max(np.linalg.norm(p[3:]), 1e-9))]
    ),
)


@example([1e300, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
@settings(max_examples=150, deadline=None)
@given(POSES)
def test_any_pose_gives_a_finite_state_or_is_refused(numbers):
    pose = PoseStamped()
    for name, number in zip('xyz', numbers[:3], strict=True):
        setattr(pose.pose.position, name, float(number))
    for name, number in zip('xyzw', numbers[3:], strict=True):
        setattr(pose.pose.orientation, name, float(number))
    found = refused(states.position_and_axis_angle, pose)
    inputs = StateInput(StateLayout(('left', 'right')), PoseSource())
    inputs.take('joint_states', JointState(name=['left', 'right'], position=[0.01, 0.02]))
    inputs.take('end_effector_pose', pose)
    state = inputs.newest(0)
    assert (found is None) == (state is None)
    if found is not None:
        state = state.vector
        assert np.isfinite(state).all() and state.dtype == np.float32 and state.shape == (8,)
        assert np.array_equal(found[:3], numbers[:3])
        assert np.linalg.norm(found[3:]) <= 2 * np.pi + 1e-9 and found[3] >= -1e-9


TEXTS = st.one_of(
    st.text(max_size=60),
    st.text(st.characters(categories=['Cs', 'Cc', 'Cf', 'So', 'Zs', 'Mn']), max_size=30),
    st.text('שלוםمرحبا‮🦾👩‍🔧\0\t\n ', max_size=40),
    st.sampled_from(['<s> </s> <unk> ▁', '\ud800', 'cube ' * 2000, 'ß' * 1000, 'İ' * 999, '']),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_any_text_is_an_instruction_or_a_problem_that_says_why(texts):
    inputs, before = Inputs(('camera',), StateInput()), ''
    for text in texts:
        assert inputs.take_instruction(text) == (inputs.instruction != before)
        before = inputs.instruction
        problems = inputs.problems(0, 1.0, 1.0, 1.0)
        fits = 0 < len(text.strip()) <= MAX_INSTRUCTION
        assert (('bad_instruction', 'instruction') in problems) == (not fits)
        assert all(line.isprintable() for line in problems.values())
        assert inputs.instruction == (text.strip() if fits else '')


@cache
def policies():
    """Return a policy with a tokenizer of words and one with the shipped tokenizer."""
    with TemporaryDirectory() as folder:
        words = load_checkpoint(write_checkpoint(Path(folder), causal=True, layers=1))
    return {'words': words, 'tabletop': load_checkpoint('tabletop')}


@pytest.mark.parametrize('tokenizer', ['words', 'tabletop'])
@settings(max_examples=100, deadline=None)
@given(text=TEXTS)
def test_any_text_makes_a_prompt_of_known_tokens_or_is_refused(tokenizer, text):
    vla = policies()[tokenizer]
    policy = Policy(vla, make_gate('dense'))
    try:
        ids = policy._instructions.ids(text)
    except InputError as error:
        assert 'expected' in str(error) and str(error).isprintable()
        assert policy.cache.step == 0 and not policy.invalidations
        return
    assert ids[0] == vla.tokenizer.bos_token_id
    assert 2 <= len(ids) <= 2048 and 0 <= min(ids) and max(ids) < vla.config.decoder().vocab_size
    if tokenizer == 'words':
        chunk, _ = policy.act(Observation((np.full((224, 224, 3), 90, np.uint8),), text))
        assert np.isfinite(chunk.actions).all()
