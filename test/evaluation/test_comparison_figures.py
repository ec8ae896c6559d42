# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A comparison's figures agree with what is counted by hand, and its plots can be read."""

import json
import xml.etree.ElementTree as ElementTree

from fake_comparison import definition
from fake_comparison import machine
from fake_comparison import record
from fake_comparison import SETTINGS
import pytest
from vla_cache_ros.evaluation.comparison.figures import comparison_figures
from vla_cache_ros.evaluation.comparison.figures import paired
from vla_cache_ros.evaluation.comparison.figures import seed_ranges
from vla_cache_ros.evaluation.comparison.plots import plot_comparison
from vla_cache_ros.evaluation.comparison.table import table


def run(records):
    """Return records by seed."""
    return {r.episode.seed: r for r in records}


def figures(definitions, records):
    manifest = {**SETTINGS, 'entries': definitions}
    return comparison_figures(manifest, records, [machine(), machine()])


def by_name(result):
    return {entry['name']: entry for entry in result['entries']}


def small():
    """Return the figures of dense, two rules and a learned gate at 50 %, ten seeds each."""
    definitions = [
        definition('dense', 'dense'),
        definition('motion', 'motion', 0.5),
        definition('random', 'random', 0.5),
        definition('learned', 'learned', 0.5),
    ]
    records = [record('dense', s, total=40.0, error=(0.0, 0.0), seconds=4.0) for s in range(10)]
    records += [record('motion', s, s >= 2, reuse=0.5, total=20.0, seconds=2.0) for s in range(10)]
    records += [record('random', s, s >= 4, reuse=0.5, total=30.0) for s in range(10)]
    records += [
        record('learned', s, s != 0, reuse=0.5, total=25.0, error=(0.1, 0.3) if s < 5 else ())
        for s in range(10)
    ]
    return figures(definitions, records)


def test_an_entrys_figures_are_those_counted_by_hand():
    result = small()
    learned = by_name(result)['learned at 50 %']
    assert (learned['episodes'], learned['successes'], learned['failed_seeds']) == (10, 9, [0])
    assert learned['success_ci95'] == pytest.approx([0.5958, 0.9821], abs=1e-4)
    assert learned['reuse_mean'] == 0.25 and learned['reuse_mean_cached'] == 0.5
    assert learned['action_error'] == {'mean': pytest.approx(0.2), 'episodes': 5}
    # of eight tokens in all, six are new, one is 1 and one is 3 steps old
    assert learned['ages'] == {'mean': 0.5, 'p95': 3, 'max': 3}
    assert learned['latency_ms']['total'] == {'p50': 25.0, 'p95': 25.0}
    assert learned['latency_ms']['gate']['p50'] == 1.0
    assert learned['latency_ratio'] == {'episodes': 10, 'p50': 0.625, 'p95': 0.625}
    assert learned['refreshes'] == {'episode_reset': 10} and learned['seeds'] == [[0, 9]]


def test_seconds_per_solved_task_are_compared_with_dense_seed_by_seed():
    entries = by_name(small())
    dense, motion = entries['dense'], entries['motion at 50 %']
    assert dense['seconds_per_solved'] == 4.0 and dense['seconds_per_solved_ratio'] is None
    assert motion['seconds_per_solved'] == pytest.approx(20 / 8)  # two of ten failed
    assert motion['inference_per_solved'] == pytest.approx(20 * 0.020 / 8)
    ratio = motion['seconds_per_solved_ratio']
    assert (ratio['episodes'], ratio['ratio']) == (10, pytest.approx(2.5 / 4))
    assert 0.5 <= ratio['ci95'][0] < 0.625 < ratio['ci95'][1] < 1.3
    assert entries['random at 50 %']['seconds_per_solved'] == pytest.approx(40 / 6)


def test_seconds_are_compared_only_where_one_process_ran_both():
    definitions = [definition('dense', 'dense'), definition('m', 'motion')]
    records = [record('dense', s, seconds=4.0) for s in range(2)]
    records += [record('m', 0, seconds=1.0), record('m', 1, seconds=100.0, run='b')]
    entry = by_name(figures(definitions, records))['m']
    assert entry['seconds_per_solved'] == 50.5
    assert entry['seconds_per_solved_ratio']['ratio'] == 0.25


def test_differences_are_paired_against_dense_and_the_best_rule():
    entries = by_name(small())
    dense, rule = (entries['learned at 50 %'][k] for k in ('against_dense', 'against_best_rule'))
    assert dense['success_difference'] == pytest.approx(-0.1)
    assert (dense['gained'], dense['lost'], dense['mcnemar_p']) == (0, 1, 1.0)
    assert rule['rule'] == 'motion at 50 %' and rule['episodes'] == 10
    assert rule['success_difference'] == pytest.approx(0.1)
    assert (rule['gained'], rule['lost']) == (1, 0)
    assert entries['motion at 50 %']['against_best_rule'] is None
    assert entries['random at 50 %']['against_best_rule']['rule'] == 'motion at 50 %'
    assert entries['dense']['against_dense'] is entries['dense']['against_best_rule'] is None


def test_trained_gates_are_paired_with_each_other_and_rules_are_not():
    definitions = [definition('own', 'learned', 0.5), definition('motion', 'motion', 0.5)]
    definitions += [definition('other', 'learned', 0.7), definition('fixed', 'learned-fixed', 0.5)]
    records = [record('own', s, reuse=0.5) for s in range(10)]
    records += [record('motion', s, reuse=0.5) for s in range(10)]
    records += [record('other', s, s >= 3, reuse=0.7) for s in range(4)]
    result = figures(definitions, records)
    (pair,) = result['trained_pairs']  # the one that has not run yet is left out
    assert (pair['entry'], pair['reference']) == ('other at 70 %', 'own at 50 %')
    assert (pair['episodes'], pair['gained'], pair['lost']) == (4, 0, 3)
    assert pair['success_difference'] == -0.75
    assert '| other at 70 % | own at 50 % | -75.0 ' in ' '.join(table(result).split())
    assert 'trained gate' not in table(small())


def test_a_clearly_worse_entry_has_an_interval_below_zero_and_a_small_p():
    reference = run([record('dense', s) for s in range(20)])
    other = run([record('m', s, s >= 10) for s in range(20)])
    pair = paired(reference, other)
    low, high = pair['success_difference_ci95']
    assert pair['success_difference'] == -0.5 and low < -0.5 < high < 0
    assert pair['mcnemar_p'] == pytest.approx(2 / 2**10)


def test_only_seeds_that_both_have_are_paired():
    reference = run([record('dense', s, s < 6) for s in range(10)])
    other = run([record('m', s) for s in range(4, 30)])
    pair = paired(reference, other)
    assert pair['episodes'] == 6 and pair['success_difference'] == pytest.approx(4 / 6)
    assert paired(reference, run([record('m', 99)])) is None


def test_rules_are_ranked_on_the_seeds_that_all_of_them_have():
    definitions = [definition('motion', 'motion', 0.5), definition('random', 'random', 0.5)]
    definitions.append(definition('learned', 'learned', 0.5))
    # motion has the better rate over all of its seeds, random over those that both have
    records = [record('motion', s, s >= 2, reuse=0.5) for s in range(20)]
    records += [record('random', s, s >= 1, reuse=0.5) for s in range(4)]
    records += [record('learned', s, reuse=0.5) for s in range(20)]
    pair = by_name(figures(definitions, records))['learned at 50 %']['against_best_rule']
    assert pair['rule'] == 'random at 50 %' and pair['episodes'] == 4


def test_rules_of_another_reuse_are_no_rivals():
    definitions = [definition('motion', 'motion', 0.7), definition('learned', 'learned', 0.5)]
    records = [record('motion', 0, reuse=0.7), record('learned', 0, reuse=0.5)]
    assert by_name(figures(definitions, records))['learned at 50 %']['against_best_rule'] is None


def test_latency_is_compared_only_where_one_process_ran_both():
    definitions = [definition('dense', 'dense'), definition('m', 'motion')]
    records = [record('dense', 0, total=40.0), record('m', 0, total=20.0)]
    records += [record('dense', 1, total=40.0), record('m', 1, total=400.0, run='b')]
    entry = by_name(figures(definitions, records))['m']
    assert entry['latency_ratio'] == {'episodes': 1, 'p50': 0.5, 'p95': 0.5}
    later = [record('dense', 0), record('m', 0, run='b')]
    assert by_name(figures(definitions, later))['m']['latency_ratio'] is None


def test_an_entry_added_later_is_compared_with_the_dense_entry_added_along():
    definitions = [definition('dense', 'dense'), definition('again', 'dense')]
    definitions.append(definition('late', 'motion'))
    records = [record('dense', s, total=100.0) for s in range(3)]
    records += [record('again', s, total=40.0, run='b') for s in range(2)]
    records += [record('late', s, total=10.0, run='b') for s in range(3)]
    entries = by_name(figures(definitions, records))
    assert entries['late']['latency_ratio'] == {'episodes': 2, 'p50': 0.25, 'p95': 0.25}
    assert entries['late']['against_dense']['episodes'] == 3
    assert entries['again']['latency_ratio'] is entries['dense']['latency_ratio'] is None


def test_processes_threads_and_machines_are_said():
    records = [record('dense', 0, run='a', began=0.0), record('dense', 1, run='b', began=0.5)]
    records.append(record('dense', 2, run='c', began=9.0))
    result = figures([definition('dense', 'dense')], records)
    assert result['processes'] == {'total': 3, 'at_once': 2} and result['threads'] == [1]
    assert result['hardware'] == [{'cpu': 'abacus'}]
    assert result['reference'] == 'dense' and result['seeds'] == [0, 2]


def test_an_entry_without_episodes_is_left_out_and_none_at_all_is_refused():
    definitions = [definition('dense', 'dense'), definition('m', 'motion')]
    assert [*by_name(figures(definitions, [record('m', 0)]))] == ['m']
    with pytest.raises(ValueError, match='at least 1 episode'):
        figures(definitions, [])


def test_seed_ranges_show_gaps():
    assert seed_ranges([5, 3, 4, 9]) == [[3, 5], [9, 9]]


def test_plots_are_valid_and_the_same_for_the_same_figures(tmp_path):
    result = small()
    json.dumps(result, allow_nan=False)
    paths = plot_comparison(tmp_path, result)
    names = ['success_latency.svg', 'success_latency.png', 'success_reuse.svg']
    assert [path.name for path in paths] == [*names, 'success_reuse.png']
    for path in paths:
        content = path.read_bytes()
        if path.suffix == '.svg':
            assert ElementTree.fromstring(content).tag == '{http://www.w3.org/2000/svg}svg'
        else:
            assert content.startswith(b'\x89PNG') and len(content) > 5000
    before = paths[0].read_bytes()
    plot_comparison(tmp_path, small())
    assert paths[0].read_bytes() == before


def test_an_entry_that_ran_beside_no_dense_one_is_not_drawn_against_latency(tmp_path):
    definitions = [definition('dense', 'dense'), definition('late', 'motion', 0.5)]
    records = [record('dense', 0), record('late', 0, reuse=0.5, run='b')]
    paths = plot_comparison(tmp_path, figures(definitions, records))
    drawn = ['<!-- late -->' in path.read_text() for path in (paths[0], paths[2])]
    assert drawn == [False, True]
