# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Steps that run as one batch give what each gives alone, whatever the others do."""

from engine_steps import choice
from engine_steps import contents
from engine_steps import Counting
from engine_steps import frames
from engine_steps import LONG
from engine_steps import PROPRIO
from engine_steps import SHORT
import numpy as np
import pytest
from test_flow_engine import Squares
from tiny_cogact import cogact_model
from tiny_flow import flow_model
from tiny_flow import FLOWS
from tiny_flow import states
from vla_cache_ros.caching import work
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.plans import full_plan
from vla_cache_ros.caching.recording.recorded import RecordedEngine
from vla_cache_ros.caching.rooms import Rooms
from vla_cache_ros.caching.work import alone
from vla_cache_ros.caching.work import Phase
from vla_cache_ros.caching.work import together
from vla_cache_ros.caching.work import Work
from vla_cache_ros.types import StepPlan
from vla_cache_ros.vla.files.errors import InputError
from vla_cache_ros.vla.files.errors import NonFiniteOutputError
from vla_cache_ros.vla.flow.guidance import RealTimeChunking

KINDS = ['fused', 'transformers', 'recorded']
TOLERANCE = 1e-5
COUNT = 3


def engines(model, kind, count=COUNT, **options):
    """Return engines of one model, each with a seed of its own."""
    given = [{'seed': seed, **options} for seed in range(count)]
    if kind == 'recorded':
        rooms, recorder = Rooms(count), Counting()
        return [
            RecordedEngine(
                model,
                recorder=recorder,
                rooms=rooms,
                place=rooms.take(),
                reuse_towers=False,
                **one,
            )
            for one in given
        ]
    return [SlotEngine(model, capture=kind == 'fused', **one) for one in given]


def plan_of(engine, index, step):
    """Return another plan for each engine: whole, some, none, and a first one that leaves out."""
    if step == 0:
        active = (
            choice(engine, 0.6, index)
            if index == 1
            else np.ones(engine.layout.visual_tokens, bool)
        )
        return StepPlan(active, refresh='episode_reset')
    active = choice(engine, (0.3, 0.0, 0.7)[(index + step) % 3], 10 * step + index)
    return StepPlan(active | ~engine.cache.present)


def take(engine, index, step, pixels, plan=None):
    """Return a step of one robot, whose prompt and state are its own."""
    ids = (LONG, SHORT, LONG)[(index + step // 2) % 3]
    proprio = PROPRIO + 0.1 * index if engine.layout.proprio else None
    plan = plan or plan_of(engine, index, step)
    return walk(engine, pixels, engine.encode(pixels), ids, proprio, plan)


def walk(engine, pixels, values, ids, proprio, plan, **options):
    features = yield from engine.looks(values, ids)
    return (
        yield from engine.steps(pixels, values, ids, proprio, plan, features=features, **options)
    )


@pytest.mark.parametrize('kind', KINDS)
def test_an_episode_of_each_is_what_it_is_alone(model, kind):
    many, solo = engines(model, kind), engines(model, kind)
    pictures = [frames(model, 4, seed) for seed in range(COUNT)]
    for step in range(4):
        found = together(
            [take(engine, i, step, pictures[i][step]) for i, engine in enumerate(many)]
        )
        for i, engine in enumerate(solo):
            wanted = alone(take(engine, i, step, pictures[i][step]))
            assert np.abs(found[i].normalized - wanted.normalized).max() < TOLERANCE
            assert (found[i].reuse, found[i].refresh) == (wanted.reuse, wanted.refresh)
            assert found[i].passes == wanted.passes
            ids = (LONG, SHORT, LONG)[(i + step // 2) % 3]
            assert np.abs(contents(many[i], ids) - contents(engine, ids)).max() < 5e-5


@pytest.mark.parametrize('kind', KINDS)
def test_a_diffusion_head_has_each_ones_noise(kind):
    model = cogact_model()
    many, solo = engines(model, kind), engines(model, kind)
    pictures = [frames(model, 2, seed) for seed in range(COUNT)]
    for step in range(2):
        found = together(
            [take(engine, i, step, pictures[i][step]) for i, engine in enumerate(many)]
        )
        wanted = [alone(take(engine, i, step, pictures[i][step])) for i, engine in enumerate(solo)]
        for one, other in zip(found, wanted, strict=True):
            assert np.abs(one.normalized - other.normalized).max() < TOLERANCE
    assert np.abs(wanted[0].normalized - wanted[1].normalized).max() > 0.01


@pytest.mark.parametrize('family', FLOWS)
@pytest.mark.parametrize('kind', KINDS)
def test_an_expert_denoises_each_ones_chunk(family, kind):
    model = flow_model(family)
    size = model.config.image_size
    many, solo = (engines(model, kind, images=Squares()) for _ in range(2))
    prompts = [[2, 40, 41, 42, 9], [2, 50, 41, 43, 44, 9], [2, 40, 41, 42, 9]]
    random = np.random.default_rng(0)

    def steps(which, step, pictures):
        for i, engine in enumerate(which):
            images = list(pictures[i])
            small = engine.config.picture_size
            pixels = np.stack([image[:small, :small] for image in images])
            guidance = None
            if i == step % 3:  # one of them is held to the rest of its last chunk
                flow = model.config.flow
                rest = states(3, 7)[:, :1].expand(3, flow.action_dim)
                guidance = RealTimeChunking().guide(rest, 1, flow.chunk, flow.action_size)
            yield walk(
                engine,
                pixels,
                engine.encode(pixels, images),
                prompts[i],
                states(1, i)[0].numpy(),
                plan_of(engine, i, step),
                guidance=guidance,
                instruction=i,
            )

    for step in range(3):
        pictures = random.integers(0, 256, (COUNT, 2, size, size, 3), dtype=np.uint8)
        found = together([*steps(many, step, pictures)])
        wanted = [alone(one) for one in steps(solo, step, pictures)]
        for one, other in zip(found, wanted, strict=True):
            largest = np.abs(other.normalized).max()
            assert np.abs(one.normalized - other.normalized).max() < TOLERANCE * largest


def test_what_several_ask_is_computed_at_once(oft, monkeypatch):
    many = engines(oft, 'fused')
    (pixels,) = frames(oft, 1)
    calls = []
    monkeypatch.setattr(work, 'MOST_ROWS', 10_000)
    kind = type(many[0]._decoder)
    recompute = kind.recompute
    monkeypatch.setattr(
        kind,
        'recompute',
        lambda self, asked: calls.append(len(asked)) or recompute(self, asked),
    )
    together([take(engine, i, 0, pixels) for i, engine in enumerate(many)])
    assert calls == [COUNT]


def test_a_batch_of_recorded_steps_runs_one_graph_of_each_kind(oft):
    many = engines(oft, 'recorded', 4)
    pictures = frames(oft, 4)
    for engine in many:
        engine.prepare()
    recorder = many[0].recorder
    names = len(recorder.names)
    together([take(engine, i, 0, pictures[i]) for i, engine in enumerate(many[:3])])
    together([take(engine, i, 1, pictures[i]) for i, engine in enumerate(many[1:])])
    assert len(recorder.names) == names  # every shape was there
    assert {'look', 'look, 2 sessions', 'look, 4 sessions'} <= set(recorder.names)


@pytest.mark.parametrize('kind', KINDS)
def test_an_error_is_the_step_s_own(oft, kind):
    many, solo = engines(oft, kind), engines(oft, kind)
    first, second = frames(oft, 2)
    for which in (many, solo):
        together([take(engine, i, 0, first) for i, engine in enumerate(which)])
    plans = [plan_of(engine, i, 1) for i, engine in enumerate(many)]
    wrong = StepPlan(np.ones(5, bool))
    poisoned = many[2]
    poisoned.cache.layers[0].values[:, :, poisoned.layout.visual.start :] = np.nan
    found = together(
        [
            take(many[0], 0, 1, second, plans[0]),
            take(many[1], 1, 1, second, wrong),
            take(poisoned, 2, 1, second, plans[2]),
        ]
    )
    assert isinstance(found[1], ValueError) and many[1].cache.valid
    assert isinstance(found[2], NonFiniteOutputError) and not poisoned.cache.valid
    wanted = alone(take(solo[0], 0, 1, second, plans[0]))
    assert np.abs(found[0].normalized - wanted.normalized).max() < TOLERANCE


def test_what_fails_for_several_fails_each_and_is_not_trusted(oft, monkeypatch):
    many = engines(oft, 'fused')
    (pixels,) = frames(oft, 1)

    def fail(self, asked):
        raise MemoryError('no more')

    monkeypatch.setattr(type(many[0]._decoder), 'recompute', fail)
    found = together([take(engine, i, 0, pixels) for i, engine in enumerate(many)])
    assert [type(one) for one in found] == [MemoryError] * COUNT
    assert {engine.cache.cause for engine in many} == {'step_failed'}


def test_steps_wait_for_those_that_are_behind_and_strangers_run_apart():
    done = []

    def do(asked):
        done.append(list(asked))
        return [2 * one for one in asked]

    def walks(name, phases, kin):
        total = 0
        for phase in phases:
            total += yield Work(phase, do, name, kin)
        return total

    tower, rows = Phase.TOWERS, Phase.DECODER
    steps = [walks(1, [tower, rows], 'a'), walks(10, [rows], 'a'), walks(100, [rows], 'b')]
    assert together([*steps, walks(1000, [rows], None)]) == [4, 20, 200, 2000]
    assert done == [[1], [1, 10], [100], [1000]]


def test_no_more_rows_are_computed_at_once_than_pays_on_a_cpu():
    done = []

    def do(asked):
        done.append(list(asked))
        return asked

    def ask(name, size):
        return (yield Work(Phase.DECODER, do, name, 'a', size))

    sizes = [1000, 600, 536, 5000, 10]
    assert together([ask(i, size) for i, size in enumerate(sizes)]) == [*range(5)]
    assert done == [[0], [1, 2], [3], [4]]
    done.clear()
    together([ask(i, 0) for i in range(9)])
    assert done == [[*range(9)]]


def test_a_session_that_needs_room_for_its_prompt_leaves_the_others_what_they_have(oft):
    many, solo = engines(oft, 'recorded'), engines(oft, 'recorded')
    first, second = frames(oft, 2)
    for which in (many, solo):
        for engine in which:
            engine.prepare()
        together([take(engine, i, 0, first) for i, engine in enumerate(which)])
    long = tuple(range(1, 101))
    plan = full_plan(many[0].layout.visual_tokens, 'asked')
    alone(walk(many[0], second, many[0].encode(second), long, PROPRIO, plan))
    assert many[1].cache.valid and many[2].cache.present.all()
    plans = [plan_of(engine, i, 1) for i, engine in enumerate(solo)]
    found = together([take(many[i], i, 1, second, plans[i]) for i in (1, 2)])
    for i, one in zip((1, 2), found, strict=True):
        wanted = alone(take(solo[i], i, 1, second, plans[i]))
        assert np.abs(one.normalized - wanted.normalized).max() < TOLERANCE


def test_a_prompt_that_does_not_fit_is_an_error_before_anything_runs(oft):
    (engine,) = engines(oft, 'fused', 1)
    (pixels,) = frames(oft, 1)
    plan = full_plan(engine.layout.visual_tokens, 'asked')
    (found,) = together([engine.steps(pixels, engine.encode(pixels), [], PROPRIO, plan)])
    assert isinstance(found, InputError) and engine.cache.step == 0
