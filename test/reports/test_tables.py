# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A table is printed as it was formatted: names to the left, figures to the right."""

import pytest
from vla_cache_ros.reports.tables import Table

ROWS = [{'gate': 'dense', 'ms': '50.10'}, {'gate': 'learned at 77 %', 'ms': ''}]


def test_text_is_aligned_and_no_cell_is_reformatted():
    head, line, first, second = Table.of(ROWS).text().splitlines()
    assert head.split() == ['gate', 'ms'] and set(line) == {'-', ' '}
    assert first.startswith('dense ') and first.endswith(' 50.10')
    assert second == 'learned at 77 %'.ljust(len(second))


def test_markdown_says_which_side_a_column_is_on():
    head, line, *rows = Table.of(ROWS).markdown().splitlines()
    assert line.startswith('|:--') and line.endswith('--:|')
    assert [[c.strip() for c in row.split('|')[1:-1]] for row in rows] == [
        ['dense', '50.10'],
        ['learned at 77 %', ''],
    ]


def test_a_table_without_rows_keeps_its_columns():
    assert 'gate' in Table(('gate', 'ms'), []).markdown()
    with pytest.raises(IndexError):
        Table.of([])
