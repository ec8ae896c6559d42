# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The entries of a comparison are read from text, and exchanged files show."""

import pytest
from vla_cache_ros.caching import gates
from vla_cache_ros.caching.gates.gate_folder import FOLDER
from vla_cache_ros.evaluation.comparison.entries import DENSE
from vla_cache_ros.evaluation.comparison.entries import Entry
from vla_cache_ros.evaluation.comparison.entries import expand
from vla_cache_ros.evaluation.comparison.entries import fingerprint
from vla_cache_ros.evaluation.comparison.entries import GATE_FOLDER
from vla_cache_ros.evaluation.comparison.entries import parse_entry
from vla_cache_ros.evaluation.comparison.entries import public_name
from vla_cache_ros.evaluation.comparison.entries import RULES


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('dense', Entry('dense', 'dense')),
        ('learned,recovery=0', Entry('learned,recovery=0', 'learned', recovery=0.0)),
        ('plain=learned,recovery=0', Entry('plain', 'learned', recovery=0.0)),
        ('learned,first=1', Entry('learned,first=1', 'learned', first=1.0)),
        ('w=learned,towers=0', Entry('w', 'learned', towers=0.0)),
        ('no-stage-1=learned@runs/a', Entry('no-stage-1', 'learned', 'runs/a')),
        ('learned@runs/a=b,reuse=0.7', Entry('learned@a=b', 'learned', 'runs/a=b', reuse=0.7)),
    ],
)
def test_an_entry_reads_label_gate_folder_and_options(text, expected):
    assert parse_entry(text) == expected


def test_the_folder_goes_to_the_policy_with_the_gates_name():
    assert parse_entry('x=learned@runs/a,reuse=0.5').gate_argument == 'learned@runs/a'
    assert parse_entry('motion').gate_argument == 'motion'


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'expected .label='),
        ('a=b=motion', 'expected .label='),
        ('motion,', 'expected .label='),
        ('motion,age=3', "got 'age=3'"),
        ('motion,reuse=2', "reuse from 0 to 1, got '2'"),
        ('motion,recovery=x', "recovery from 0 to 1, got 'x'"),
        ('motion,reuse=0.5,reuse=0.6', 'once'),
        ('dense,reuse=0.5', 'takes no options'),
        ('motion,towers=0.5', 'towers 0 or 1, got 0.5'),
    ],
)
def test_an_entry_of_another_form_is_refused_by_what_is_wrong(text, message):
    with pytest.raises(ValueError, match=message):
        parse_entry(text)


def test_every_entry_runs_at_every_reuse_but_dense_and_those_with_their_own():
    entries = expand(['dense', 'motion', 'random,reuse=0.9'], [0.5, 0.58])
    assert [entry.name for entry in entries] == [
        'dense',
        'motion at 50 %',
        'motion at 58 %',
        'random at 90 %',
    ]


def test_two_entries_of_one_name_and_none_at_all_are_refused():
    with pytest.raises(ValueError, match='motion at 50 %.*twice'):
        expand(['motion', 'motion=random'], [0.5])
    with pytest.raises(ValueError, match='at least one'):
        expand([], [0.5])


def test_rules_are_all_gates_that_learned_nothing():
    assert {DENSE, *RULES} == set(gates.RULES) and GATE_FOLDER == FOLDER


def test_a_fingerprint_changes_with_weights_and_not_with_the_gate_beside_them(tmp_path):
    (tmp_path / 'gate').mkdir()
    (tmp_path / 'model.safetensors').write_bytes(b'1')
    before = fingerprint(tmp_path)
    (tmp_path / 'gate' / 'gate.json').write_text('{}')
    (tmp_path / 'README.md').write_text('about')
    assert fingerprint(tmp_path) == before
    of_gate = parse_entry('learned').definition(tmp_path)['gate_fingerprint']
    (tmp_path / 'gate' / 'gate.json').write_text('{"x": 1}')
    assert parse_entry('learned').definition(tmp_path)['gate_fingerprint'] != of_gate
    assert parse_entry('motion').definition(tmp_path)['gate_fingerprint'] is None
    (tmp_path / 'model.safetensors').write_bytes(b'2')
    assert fingerprint(tmp_path) != before


def test_a_checkpoint_of_the_hub_is_called_by_its_id_and_a_folder_by_its_name(tmp_path):
    snapshot = tmp_path / 'models--openvla--openvla-7b' / 'snapshots' / '31f0'
    assert public_name(snapshot) == 'openvla/openvla-7b'
    assert public_name(tmp_path / 'run' / 'model') == 'model'
