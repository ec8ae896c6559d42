# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`vla-cache compare` from its arguments to its files, with fake policies and a fake world."""

import json

from fake_comparison import CountingWorld
from fake_comparison import definition
from fake_comparison import FakeGatePolicy
from fake_comparison import machine
from fake_comparison import record
from fake_comparison import SETTINGS
import pytest
from vla_cache_ros.cli.main import main
from vla_cache_ros.environments.tabletop import environment
from vla_cache_ros.evaluation.comparison.compare import load_policy
from vla_cache_ros.evaluation.comparison.compare import run_compare
from vla_cache_ros.evaluation.comparison.compare import run_summary
from vla_cache_ros.evaluation.comparison.entries import Entry
from vla_cache_ros.evaluation.comparison.figures import comparison_figures
from vla_cache_ros.evaluation.comparison.table import table
from vla_cache_ros.evaluation.settings import Comparison
from vla_cache_ros.policy import Policy


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """Return a checkpoint folder, whose policies are fake, and a list of those asked for."""
    loaded = []

    def from_pretrained(path, gate='dense', reuse=None, reuse_towers=None, **_):
        loaded.append((gate, reuse) if reuse_towers is None else (gate, reuse, reuse_towers))
        if gate == 'telepathy':
            raise ValueError('gate: expected another')
        return FakeGatePolicy(0.5 if gate == 'random' else 1.0)

    monkeypatch.setattr(Policy, 'from_pretrained', from_pretrained)
    monkeypatch.setattr(environment, 'make', lambda name, setup: CountingWorld(setup.cameras))
    folder = tmp_path / 'model'
    folder.mkdir()
    (folder / 'model.safetensors').write_bytes(b'1')
    return folder, loaded


def compare(out, checkpoint, gates, *reuse, episodes=1, **settings):
    """Compare gates in a folder, as the command does."""
    given = {'out': out, 'checkpoint': str(checkpoint), 'episodes': episodes, **settings}
    return run_compare(Comparison(gate=tuple(gates), reuse=reuse, **given))


def test_one_command_writes_figures_tables_and_plots(tmp_path, checkpoint, capsys):
    folder, loaded = checkpoint
    out = tmp_path / 'out'
    compare(out, folder, ['dense', 'motion', 'random'], 0.5, 0.7, episodes=3, seed=20, shadow=2)
    assert loaded[-1] == ('dense', None) and ('motion', 0.7) in loaded and len(loaded) == 6
    read = json.loads((out / 'compare.json').read_text())
    assert read['checkpoint'] == 'model' and read['seeds'] == [20, 22]
    assert [entry['name'] for entry in read['entries']] == [
        'dense',
        'motion at 50 %',
        'motion at 70 %',
        'random at 50 %',
        'random at 70 %',
    ]
    assert [entry['successes'] for entry in read['entries']] == [3, 3, 3, 0, 0]
    # eight steps at 10 Hz and two inferences of 20 ms: the fake's clock, not the wall's
    assert read['entries'][1]['seconds_per_solved'] == pytest.approx(0.84)
    assert read['entries'][1]['seconds_per_solved_ratio']['ratio'] == pytest.approx(1.0)
    assert read['entries'][3]['seconds_per_solved'] is None  # nothing solved
    assert read['control_frequency'] == 10.0
    assert read['entries'][3]['action_error'] == {'mean': 0.5, 'episodes': 2}
    assert read['entries'][4]['against_best_rule']['rule'] == 'motion at 70 %'
    markdown = (out / 'compare.md').read_text()
    assert markdown in capsys.readouterr().out + '\n' and str(tmp_path) not in markdown
    assert {'success_latency.svg', 'success_reuse.png'} <= {p.name for p in out.iterdir()}


def test_a_finished_comparison_loads_nothing_and_says_the_same(tmp_path, checkpoint):
    folder, loaded = checkpoint
    first = compare(tmp_path / 'out', folder, ['dense', 'motion'], 0.5, episodes=2)
    loaded.clear()
    again = compare(tmp_path / 'out', folder, ['dense', 'motion'], 0.5, episodes=2)
    assert again == first and loaded == []
    assert run_summary(tmp_path / 'out') == first
    compare(tmp_path / 'out', folder, ['random'], 0.5, episodes=2)
    assert loaded == [('random', 0.5)]


def test_another_model_in_the_same_place_is_refused(tmp_path, checkpoint):
    folder, loaded = checkpoint
    compare(tmp_path / 'out', folder, ['dense'])
    loaded.clear()
    (folder / 'model.safetensors').write_bytes(b'2')
    with pytest.raises(ValueError, match='made with checkpoint fingerprint'):
        compare(tmp_path / 'out', folder, ['dense'])
    assert loaded == []


def test_a_gate_that_cannot_be_loaded_is_named_and_leaves_no_trace(tmp_path, checkpoint):
    folder, _ = checkpoint
    with pytest.raises(ValueError, match='x at 50 %: gate: expected another'):
        compare(tmp_path / 'out', folder, ['x=telepathy'], 0.5)
    compare(tmp_path / 'out', folder, ['x=motion'], 0.5)


def test_options_are_set_where_the_gate_has_them_and_refused_where_not(checkpoint, monkeypatch):
    assert load_policy(Entry('m', 'motion', recovery=0.0), 'model').gate.recovery == 0.0
    assert load_policy(Entry('m', 'motion'), 'model').gate.recovery == 0.02
    with pytest.raises(ValueError, match="m: expected a gate with first_share, got 'motion'"):
        load_policy(Entry('m', 'motion', first=1.0), 'model')
    bare = FakeGatePolicy()
    del bare.gate.recovery
    monkeypatch.setattr(Policy, 'from_pretrained', lambda *_, **__: bare)
    with pytest.raises(ValueError, match="m: expected a gate with recovery, got 'motion'"):
        load_policy(Entry('m', 'motion', recovery=0.0), 'model')


def test_the_tables_name_differences_and_leave_out_what_was_not_measured():
    entries = [definition('dense', 'dense'), definition('motion', 'motion', 0.5)]
    records = [record('dense', s, total=40.0, seconds=3.0) for s in range(4)]
    records += [record('motion', s, s > 0, reuse=0.5, total=30.0, run='b') for s in range(2)]
    text = table(comparison_figures({**SETTINGS, 'entries': entries}, records, [machine()]))
    rows = [
        [cell.strip() for cell in line.split('|')[1:-1]]
        for line in text.splitlines()
        if line.startswith('|')
    ]
    assert rows[2][:5] == ['dense', '4 of 4', '51.0 to 100.0 %', '25.0 %', '50.0 %']
    # no common process
    assert rows[3][6:12] == ['0.5 / 3 / 3', '30.0', '30.0', '', '', '1.00']
    assert rows[3][12:] == ['8.00 (4.00 to no bound)', '']
    assert rows[0][12:] == ['s per solved task (95 %)', 'ratio (95 %)']
    assert rows[2][12:] == ['3.00 (3.00 to 3.00)', '']
    assert rows[6] == ['motion at 50 %', '-50.0 (-100.0 to +0.0)', '1', '2', '', '', '']
    assert 'abacus' in text and 'seeds 0 to 3' in text


def test_the_command_parses_repeated_gates_and_shares(tmp_path, checkpoint, capsys):
    folder, loaded = checkpoint
    arguments = ['compare', '--out', str(tmp_path / 'out'), '--gate', 'dense', '--reuse', '0.5']
    arguments += ['--gate', 'a=motion,recovery=0', '--reuse', '0.7', '--episodes', '1']
    assert main([*arguments, '--checkpoint', str(folder)]) == 0
    assert loaded == [('dense', None), ('motion', 0.5), ('motion', 0.7)]
    load_policy(Entry('w', 'motion', towers=0.0), 'model')
    assert loaded[-1] == ('motion', None, False)
    capsys.readouterr()
    assert main(['compare', '--out', str(tmp_path / 'out'), '--summary']) == 0
    assert 'a at 70 %' in capsys.readouterr().out


def test_no_gate_at_all_is_refused(tmp_path):
    with pytest.raises(ValueError, match='gate: expected at least one'):
        compare(tmp_path / 'out', 'tabletop', [], 0.5)
    assert not (tmp_path / 'out').exists()
