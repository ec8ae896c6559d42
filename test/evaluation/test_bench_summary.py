# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A benchmark's figures follow from its samples: ratios, shares, agreement, what is left out."""

from bench_samples import costs
from bench_samples import MACHINE
from bench_samples import sample
import numpy as np
import pytest
from vla_cache_ros.evaluation.bench.report import draw
from vla_cache_ros.evaluation.bench.report import tables
from vla_cache_ros.evaluation.bench.summary import beside
from vla_cache_ros.evaluation.bench.summary import step_work
from vla_cache_ros.evaluation.bench.summary import summarize
from vla_cache_ros.evaluation.bench.variants import GREEDY
from vla_cache_ros.evaluation.bench.variants import JACOBI
from vla_cache_ros.evaluation.bench.variants import list_variants
from vla_cache_ros.evaluation.bench.variants import Variant

HF, LOOSE, DENSE = Variant('hf', capture=False), Variant('dense', capture=False), Variant('dense')
FIXED = Variant('learned-fixed', 0.5)


def made(**changes):
    """Return samples of four variants; the cached one takes a quarter of the loop's time."""
    half = {'reuse': 0.5, 'active': (100, 156)}
    found = {
        HF: [sample(0, 999.0), sample(1, 40.0), sample(2, 40.0), sample(3, 60.0)],
        LOOSE: [sample(0, 999.0), sample(1, 30.0), sample(2, 30.0), sample(3, 30.0)],
        DENSE: [sample(0, 50.0), sample(1, 20.0), sample(2, 20.0), sample(3, 20.0)],
        FIXED: [sample(0, 70.0), *(sample(step, 10.0, **half) for step in (1, 2, 3))],
    }
    return {**found, **changes}


def figures(samples=None, dtype='float32', causal=False):
    samples = samples or made()
    memory = {variant: {'cache': 1.0, 'added': 2.0} for variant in samples}
    return summarize(samples, costs(causal), MACHINE, memory, dtype)


def entries(**kwargs):
    return {entry['name']: entry for entry in figures(**kwargs)['entries']}


def test_first_steps_count_apart():
    found = entries()
    assert found['hf']['latency_ms']['total'] == pytest.approx({'p50': 40.0, 'p95': 58.0})
    assert found['hf']['first_step_ms']['p50'] == 999.0
    assert found['hf']['mean_ms'] == pytest.approx(140 / 3)
    assert found['learned-fixed 50 %']['reuse'] == 0.5
    assert figures()['timed_steps'] == 3 and figures()['first_steps'] == 1


def test_ratios_are_to_the_loop_and_to_dense_captured():
    found = entries()
    assert found['hf']['ratio_to_hf'] == {'p50': 1.0, 'p95': 1.0}
    assert found['hf']['ratio_to_dense'] is None
    assert found['dense captured']['ratio_to_hf']['p50'] == 0.5
    assert found['dense uncaptured']['ratio_to_dense']['p50'] == 1.5
    assert found['learned-fixed 50 %']['ratio_to_hf']['p50'] == 0.25
    assert found['learned-fixed 50 %']['ratio_to_dense']['p50'] == 0.5
    assert found['learned-fixed 50 %']['hz'] == 100.0


def test_the_floor_is_that_of_the_work_that_was_done():
    found = entries()
    for entry in found.values():
        assert entry['ratio_to_floor'] == pytest.approx(
            entry['latency_ms']['total']['p50'] / entry['floor_ms']['total']
        )
    dense, cached = found['dense captured'], found['learned-fixed 50 %']
    # 16 text, 56 actions, bos, proprio, stop
    assert (dense['rows'], cached['rows']) == (512 + 75, 256 + 75)
    assert 0.5 < cached['gmacs'] / dense['gmacs'] < 0.6
    stages = costs().stages(step_work(DENSE, made()[DENSE][1], costs()))
    assert dense['gmacs'] == pytest.approx(sum(work.macs for work in stages.values()) / 1e9)


def test_a_full_refresh_runs_the_towers_whole():
    partial = sample(0, 1.0, active=(256, 100), refresh='first_step')
    work = step_work(FIXED, partial, costs())
    assert tuple(work.active) == (256, 256) and work.visual == work.entering == 356


def test_a_guess_of_six_tokens_is_part_of_the_prefill_and_of_every_pass():
    step = sample(1, 1.0, active=(256,), passes=2)
    jacobi = step_work(Variant('dense', decoding=JACOBI), step, costs(causal=True))
    greedy = step_work(Variant('dense', decoding=GREEDY), step, costs(causal=True))
    assert jacobi.rows == 256 + 16 + 6 + 12 and greedy.rows == 256 + 16 + 2
    assert (jacobi.read, greedy.read) == (7, 1)


def test_an_exact_variant_that_differs_is_a_failure_in_float32_alone():
    assert figures()['checks'] == {'asserted': True, 'differ': [], 'ok': True}
    wrong = [sample(step, 20.0, np.full((8, 7), 0.01)) for step in range(4)]
    found = figures(made(**{}) | {DENSE: wrong})
    assert found['checks'] == {'asserted': True, 'differ': ['dense captured'], 'ok': False}
    assert 'NOT EQUAL, and should be: dense captured' in tables(full(found))
    loose = figures(made() | {DENSE: wrong}, dtype='bfloat16')['checks']
    assert loose == {'asserted': False, 'differ': ['dense captured'], 'ok': True}
    cached = figures(made() | {FIXED: [sample(i, 1.0, np.ones((8, 7))) for i in range(4)]})
    assert cached['checks']['ok']


def test_equal_tokens_are_counted_for_a_causal_model():
    one = {'active': (256,), 'normalized': np.zeros((1, 7))}
    other = np.zeros((1, 7))
    other[0, 5:] = 2 / 255
    samples = {
        Variant('hf', capture=False, decoding=GREEDY): [sample(i, 9.0, **one) for i in (0, 1)],
        Variant('dense', decoding=GREEDY): [
            sample(i, 9.0, **{**one, 'normalized': other}) for i in (0, 1)
        ],
    }
    found = figures(samples, causal=True)
    assert found['entries'][1]['agreement'] == pytest.approx(
        {'max_difference': 2 / 255, 'tokens': 10, 'of': 14}
    )
    assert not found['checks']['ok']


def test_a_draft_that_changes_a_cached_token_is_a_failure():
    def steps(value):
        actions = np.full((1, 7), value)
        return [sample(i, 9.0, active=(256,), normalized=actions) for i in (0, 1)]

    samples = {
        Variant('hf', capture=False, decoding=GREEDY): steps(0.0),
        Variant('dense', decoding=GREEDY): steps(0.0),
        Variant('dense', decoding=JACOBI): steps(0.0),
        Variant('learned-fixed', 0.7, decoding=GREEDY): steps(0.5),
        Variant('learned-fixed', 0.7, decoding=JACOBI): steps(0.5),
    }
    assert figures(samples, causal=True)['checks']['differ'] == []
    samples[Variant('learned-fixed', 0.7, decoding=JACOBI)] = steps(0.25)
    found = figures(samples, causal=True)
    assert found['checks']['differ'] == ['learned-fixed 70 % jacobi']
    assert found['entries'][-1]['as_greedy']['tokens'] == 0 and not found['checks']['ok']


def test_samples_of_other_steps_are_refused():
    with pytest.raises(ValueError, match='dense captured: expected the steps of hf'):
        figures(made() | {DENSE: [sample(0, 1.0), sample(1, 1.0)]})
    with pytest.raises(ValueError, match='hf: expected a step to time'):
        figures({HF: [sample(0, 1.0)]})


def full(found):
    """Return figures with what a run adds to them."""
    return found | {
        'model': 'tiny',
        'random_weights': False,
        'trained_gate': False,
        'parameters': 12345,
        'dtype': 'float32',
        'device': 'cpu',
        'seed': 0,
        'warmup_steps': 3,
        'machine': {'gmacs_per_s': 50.0, 'gbytes_per_s': 9.0, 'matrix': [1, 2, 3]},
        'weights_mib': 1.0,
        'peak_mib': 500.0,
        'hardware': {'cpu': 'a processor', 'gpu': None, 'torch_threads': 2, 'cores': 2},
        'versions': {'torch': '2', 'transformers': '5'},
    }


def cells(text, row):
    """Return what a row of the first table says, behind its name."""
    line = next(line for line in text.splitlines() if line.startswith(f'| {row}'))
    return [cell.strip() for cell in line.split('|')[2:-1]]


def test_tables_hold_every_variant_and_what_the_reader_must_know():
    text = tables(full(figures()))
    assert text.count('| learned-fixed 50 %') == 2
    assert ['10', '10', '10', '100', '4.00', '2.00', '70'] == cells(text, 'learned-fixed 50 %')[:7]
    assert 'untrained' in text and 'a processor, 2 threads' in text
    assert 'Every variant that reuses nothing agrees with hf, jacobi with greedy.' in text


def test_a_time_below_its_floor_is_pointed_out():
    found = full(figures())
    for entry in found['entries']:
        entry['ratio_to_floor'] = 1.5
    assert 'BELOW' not in tables(found)
    found['entries'][0]['ratio_to_floor'] = 0.9
    assert 'BELOW its floor' in tables(found)


def test_bars_add_up_and_the_floor_is_marked():
    axes = draw(full(figures())).axes[0]
    ends = {}
    for bar in axes.patches:
        ends[bar.get_y()] = max(ends.get(bar.get_y(), 0.0), bar.get_x() + bar.get_width())
    assert sorted(ends.values()) == [10.0, 20.0, 30.0, 40.0]
    floors = [entry['floor_ms']['total'] for entry in figures()['entries'][::-1]]
    np.testing.assert_allclose(axes.lines[0].get_xdata(), floors)


@pytest.mark.parametrize('causal', [False, True])
def test_no_two_variants_share_a_name(causal):
    found = list_variants(causal, (0.0, 0.3, 0.7, 0.7), learned=True)
    names = [variant.name for variant in found]
    assert len(set(names)) == len(names) and names[0] == 'hf'
    assert ('learned-fixed 70 % greedy' in names) == causal
    assert [v.name for v in found if v.exact][-1].startswith('learned-fixed 0 %')
    assert {'hf', 'dense uncaptured', 'vla-cache'} <= {' '.join(n.split()[:2]) for n in names} | {
        n.split()[0] for n in names
    }


def test_times_beside_busy_processes_are_set_against_the_idle_median():
    slow = {
        variant: [sample(0, 5000.0), *(sample(step, 30.0 * step) for step in (1, 2, 3))]
        for variant in made()
    }
    found = {**figures(), 'busy': beside(2, made(), slow)}
    entry = next(e for e in found['busy']['entries'] if e['name'] == 'dense captured')
    assert entry['idle'] == pytest.approx({'p50': 20.0, 'p95': 20.0, 'worst': 20.0})
    assert entry['busy'] == pytest.approx({'p50': 60.0, 'p95': 87.0, 'worst': 90.0})
    assert entry['p95_to_idle'] == pytest.approx(87 / 20)
