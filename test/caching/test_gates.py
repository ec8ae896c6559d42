# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Hold every gate to its interface, its budget and the faults it must not have."""

from fake_cache import FakeCache
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.caching.gates import RULES
from vla_cache_ros.caching.gates.vla_cache import layer_shares
from vla_cache_ros.caching.gates.vla_cache import scaled_layer
from vla_cache_ros.caching.gates.vla_cache import VlaCacheGate
from vla_cache_ros.caching.patches import cosine_similarity
from vla_cache_ros.caching.patches import patchify


def images(cameras=2, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (cameras, 224, 224, 3), dtype=np.uint8)


def cache_after(gate, frame):
    """Return a cache that has just taken a full step on `frame`."""
    cache = FakeCache(len(patchify(frame)))
    cache.apply(frame, gate.plan(frame, cache))
    return cache


def attend(cache, layers, seed=0):
    generator = np.random.default_rng(seed)
    cache.attend(generator.random((layers, len(cache.pixels))), generator.random(layers))


@pytest.mark.parametrize('name', RULES)
@pytest.mark.parametrize('cameras', [1, 2, 3])
def test_an_invalid_cache_gets_a_full_plan_that_says_why(name, cameras):
    gate, cache = make_gate(name), FakeCache(256 * cameras)
    plan = gate.plan(images(cameras), cache)
    assert plan.active.shape == (256 * cameras,) and plan.active.dtype == bool
    assert plan.active.all() and plan.layers == () and plan.refresh == 'first_step'
    cache.invalidate('clock_jump')
    assert gate.plan(images(cameras), cache).refresh == 'clock_jump'


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(['random', 'motion']),
    reuse=st.floats(0, 0.95),
    cameras=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_every_cached_step_recomputes_exactly_the_budget(name, reuse, cameras, seed):
    gate = make_gate(name, reuse=reuse, seed=seed, max_age=24)
    frame = images(cameras, seed)
    cache = cache_after(gate, frame)
    for _ in range(3):
        plan = gate.plan(frame, cache)
        assert plan.active.sum() == round(256 * cameras * (1 - reuse))
        assert plan.refresh == '' and plan.active.shape == (256 * cameras,)
        cache.apply(frame, plan)


@pytest.mark.parametrize('name', ['random', 'motion', 'vla-cache'])
def test_no_token_is_reused_beyond_the_maximum_age(name):
    gate = make_gate(name, reuse=0.8, max_age=6, recovery=0)
    frame = images()
    cache = cache_after(gate, frame)
    oldest = 0
    for step in range(40):
        attend(cache, 32, step)
        ages = cache.ages().copy()
        produced = cache.apply(frame, gate.plan(frame, cache))
        oldest = max(oldest, ages[~produced].max())
    assert oldest <= 6


def test_dense_recomputes_everything_on_a_valid_cache():
    gate = make_gate('dense')
    cache = cache_after(gate, images())
    plan = gate.plan(images(), cache)
    assert plan.active.all() and plan.refresh == ''


@pytest.mark.parametrize('name', ['random', 'motion', 'vla-cache'])
def test_maximum_age_zero_recomputes_everything(name):
    gate = make_gate(name, reuse=0.5, max_age=0)
    cache = cache_after(gate, images())
    attend(cache, 32)
    plan = gate.plan(images(), cache)
    assert plan.active.all() and plan.layers == ()


@pytest.mark.parametrize('name', ['random', 'motion', 'vla-cache'])
def test_equal_seeds_give_equal_plans_and_reset_starts_over(name):
    def run(gate):
        frame = images()
        cache = cache_after(gate, frame)
        masks = []
        for step in range(4):
            attend(cache, 32, step)
            masks.append(cache.apply(frame, gate.plan(frame, cache)).copy())
        return np.stack(masks)

    gate = make_gate(name, reuse=0.6, seed=3)
    first = run(gate)
    gate.reset()
    assert np.array_equal(first, run(gate))
    assert np.array_equal(first, run(make_gate(name, reuse=0.6, seed=3)))
    assert not np.array_equal(first, run(make_gate(name, reuse=0.6, seed=4)))


def test_a_still_camera_gives_its_budget_to_a_moving_one():
    gate = make_gate('motion', reuse=0.75, max_age=1000, recovery=0)
    frame = images()
    cache = cache_after(gate, frame)
    moved = frame.copy()
    moved[1] = 255 - moved[1]
    active = gate.plan(moved, cache).active
    assert active[:256].sum() <= 1  # at most what the age limit refreshes in a step
    assert active[256:].sum() >= 127


def test_motion_picks_exactly_the_patches_that_changed():
    gate = make_gate('motion', reuse=1 - 12 / 256, max_age=10**6, recovery=0)
    frame = images(1)
    cache = cache_after(gate, frame)
    moved = frame.copy()
    moved[0, 28:70, 56:112] //= 2  # rows 2-4, columns 4-7 of patches
    active = gate.plan(moved, cache).active.reshape(16, 16)
    assert active.sum() == 12 and active[2:5, 4:8].all()


def test_slow_drift_is_refreshed_because_patches_are_compared_with_their_producers():
    """One patch drifts by 1 grey level a step, a busy one flickers by 20: both must be seen."""
    gate = make_gate('motion', reuse=1 - 4 / 256, max_age=10**6, recovery=0)
    frame = np.full((1, 224, 224, 3), 60, np.uint8)
    cache = cache_after(gate, frame)
    refreshed = []
    for step in range(1, 60):
        frame = frame.copy()
        frame[0, 140:154, 140:154] += 1
        frame[0, :14, : 14 * 4] = 60 + 20 * (step % 2)  # four patches that take the whole budget
        produced = cache.apply(frame, gate.plan(frame, cache))
        if produced.reshape(16, 16)[10, 10]:
            refreshed.append(step)
    assert refreshed and refreshed[0] <= 22
    worst = np.abs(cache.pixels[170].astype(int) - patchify(frame)[170].astype(int)).max()
    assert worst <= 22


def test_motion_on_unchanged_frames_reuses_and_refreshes_in_turn():
    gate = make_gate('motion', reuse=0.5, recovery=0)
    frame = images()
    cache = cache_after(gate, frame)
    first = cache.apply(frame, gate.plan(frame, cache))
    second = cache.apply(frame, gate.plan(frame, cache))
    assert first.sum() == second.sum() == 256
    assert not (first & second).any()  # the oldest first: two halves


@settings(max_examples=25, deadline=None)
@given(
    layers=st.integers(1, 40),
    cameras=st.integers(1, 2),
    reuse=st.none() | st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_vla_cache_sets_only_shrink_and_layer_zero_is_full(layers, cameras, reuse, seed):
    gate = VlaCacheGate(reuse=reuse, seed=seed, layers=layers)
    frame = images(cameras, seed)
    cache = cache_after(gate, frame)
    attend(cache, layers, seed)
    plan = gate.plan(frame, cache)
    assert plan.active.all()
    starts = [layer for layer, _ in plan.layers]
    assert starts == sorted(set(starts)) and all(1 <= start < layers for start in starts)
    before = plan.active
    for _, active in plan.layers:
        assert active.shape == before.shape and not (active & ~before).any()
        before = active


def test_vla_cache_takes_static_patches_without_the_relevant_ones():
    gate = VlaCacheGate(max_age=10**6, recovery=0)
    frame = images(1)
    cache = cache_after(gate, frame)
    moved = frame.copy()
    moved[0, 112:] = 255 - moved[0, 112:]  # lower half: not static
    relevance = np.zeros((32, 256))
    relevance[15, :40] = 1 + np.arange(40)  # within the upper half
    relevance[15, 128:208] = 1  # the other 80 of the top 120 are not static anyway
    cache.attend(relevance, np.linspace(1, 0, 32))
    plan = gate.plan(moved, cache)
    assert [layer for layer, _ in plan.layers] == [2, 6, 9, 11]
    reused = ~plan.layers[-1][1]
    assert reused.any() and not reused[:40].any() and not reused[128:].any()
    assert reused.sum() < 128 - 40  # the deepest set is still a share, not all


def test_vla_cache_partial_share_takes_the_most_similar_patches_not_the_top_rows():
    gate = VlaCacheGate(max_age=10**6, recovery=0)
    frame = images(1)
    cache = cache_after(gate, frame)
    noisy = frame.copy()
    noisy[0, :112] ^= 7  # the top rows change a little, the rest not at all
    relevance = np.zeros((32, 256))
    relevance[15, 100:220] = 1
    cache.attend(relevance, np.linspace(1, 0, 32))
    plan = gate.plan(noisy, cache)
    similarity = cosine_similarity(patchify(noisy), cache.pixels)
    assert similarity[:100].max() < similarity[220:].min()
    first_reused = np.flatnonzero(~plan.layers[0][1])
    assert first_reused.size and (first_reused >= 128).all()


def test_vla_cache_runs_in_full_where_nothing_is_reusable_or_no_attention_is_known():
    gate = VlaCacheGate()
    frame = images(1)
    cache = cache_after(gate, frame)
    assert gate.plan(frame, cache).refresh == 'no_attention'
    attend(cache, 32)
    plan = gate.plan(255 - frame, cache)
    assert plan.active.all() and plan.layers == ()


@pytest.mark.parametrize('reuse', [0.3, 0.5, 0.7, 0.85])
@pytest.mark.parametrize('layers', [8, 32])
@pytest.mark.parametrize('falling', [True, False])
def test_vla_cache_reaches_a_target_reuse_as_mean_over_layers(reuse, layers, falling):
    gate = VlaCacheGate(reuse=reuse, layers=layers, recovery=0.02)
    frame = images()
    cache = cache_after(gate, frame)
    entropy = np.linspace(1, 0, layers) if falling else np.linspace(0, 1, layers)
    cache.attend(np.random.default_rng(0).random((layers, 512)), entropy)
    share = np.zeros(layers)
    for layer, active in gate.plan(frame, cache).layers:
        share[layer:] = 1 - active.mean()
    assert share.mean() == pytest.approx(reuse, abs=0.01)


def test_layer_schedule_follows_the_published_numbers():
    assert [scaled_layer(i, 32) for i in (2, 6, 9, 11, 15)] == [2, 6, 9, 11, 15]
    assert [scaled_layer(i, 8) for i in (2, 6, 9, 11, 15)] == [1, 2, 2, 3, 4]
    # entropies 4, 2, 3, 0 -> shares 0, 0.5, 0.25, 1; a rise counts 0.55 of itself
    shares = layer_shares(np.array([4.0, 2.0, 3.0, 0.0]))
    assert shares == pytest.approx([0, 0.275, 0.25, 0.25 + 0.55 * 0.75])
    assert layer_shares(np.ones(4)).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    'arguments, message',
    [
        ({'name': 'motoin'}, 'gate: expected one of dense, random, motion, vla-cache, every, '),
        ({'name': 'motion', 'reuse': 1.2}, 'reuse: expected a share from 0 to 1, got 1.2'),
        ({'name': 'random', 'reuse': float('nan')}, 'reuse: expected a share from 0 to 1'),
        ({'name': 'dense', 'reuse': -0.1}, 'reuse: expected a share from 0 to 1'),
        ({'name': 'motion', 'recovery': 2}, 'recovery: expected a share from 0 to 1, got 2'),
        ({'name': 'vla-cache', 'max_age': -1}, 'max_age: expected a whole number of steps'),
    ],
)
def test_bad_parameters_give_one_line_that_says_what_is_accepted(arguments, message):
    with pytest.raises(ValueError, match='.') as error:
        make_gate(**arguments)
    assert message in str(error.value) and '\n' not in str(error.value)
