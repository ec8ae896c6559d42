# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A book of records is only ever added to, and gives back what was put into it."""

import json
import threading

from hypothesis import given
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st
from paper_samples import bench
from paper_samples import comparison
from paper_samples import evaluation
from paper_samples import write
from paths import ROOT
import pytest
from vla_cache_ros.evaluation.paper import run_paper
from vla_cache_ros.evaluation.paper_book import append
from vla_cache_ros.evaluation.paper_book import HEADER
from vla_cache_ros.evaluation.paper_book import parse
from vla_cache_ros.evaluation.paper_book import read_book
from vla_cache_ros.evaluation.paper_records import read_record
from vla_cache_ros.evaluation.paper_sections import section

FIGURES = {'comparison': comparison(), 'evaluation': evaluation(), 'bench': bench()}


@pytest.fixture
def book(tmp_path):
    return tmp_path / 'benchmarks.md'


def numbered(number):
    """Return a small record that no other number gives."""
    rows = [{'label': 'dense'}]
    return {'source': {'name': 'x', 'sha256': f'{number:064x}'[::-1]}, 'added': 'a', 'rows': rows}


@pytest.mark.parametrize('kind', FIGURES)
def test_record_is_read_back_as_it_was_added(tmp_path, book, kind):
    file = write(tmp_path, FIGURES[kind])
    record = read_record(file, '2026-01-01')
    assert record['kind'] == kind
    assert json.loads(json.dumps(record)) == record
    pages = append(book, [record], section)
    assert (pages.records, pages.torn) == ((record,), ())
    text = book.read_text(encoding='utf-8')
    assert text.startswith(HEADER)
    assert record['command'].split(' --')[0] in text


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    before=st.text(st.characters(exclude_categories=['Cs'], exclude_characters='\r'), max_size=80),
    sections=st.lists(st.text('# |`a\n', max_size=20), min_size=1, max_size=3),
)
def test_what_stands_there_stays_and_comes_first(book, before, sections):
    book.write_bytes(before.encode())
    records = []
    for number, text in enumerate(sections, 1):
        stood = book.read_bytes()
        records.append(numbered(number))
        pages = append(book, [records[-1]], lambda record, text=text: text)
        assert book.read_bytes().startswith(stood)
        assert list(pages.records) == records


def test_same_file_is_refused_twice_and_nothing_is_added(tmp_path, book):
    file = write(tmp_path, FIGURES['bench'])
    other = write(tmp_path, FIGURES['comparison'], 'other.json')
    run_paper([file], book)
    stood = book.read_bytes()
    with pytest.raises(ValueError, match='the same file is in .* already, added .*nothing was'):
        run_paper([other, file], book)
    with pytest.raises(ValueError, match='the same file'):
        run_paper([other, other], book)
    assert book.read_bytes() == stood


@pytest.mark.parametrize(
    ('data', 'expected'),
    [
        (b'', 'found no JSON'),
        (b'\xff\xfe', 'found no JSON'),
        (b'[]', 'found a list'),
        (b'{}', 'an empty object'),
        (b'{"faults": [], "hardware": {}}', 'found faults, hardware'),
        (b'{"gate": "x", "success_ci95": [0, 1], "per_episode": []}', 'found no .*write it again'),
    ],
)
def test_other_files_are_refused_before_anything_is_written(tmp_path, book, data, expected):
    file = tmp_path / 'figures.json'
    file.write_bytes(data)
    with pytest.raises(ValueError, match=f'figures.json: expected .*{expected}'):
        run_paper([write(tmp_path, FIGURES['bench']), file], book)
    assert not book.exists()


@pytest.mark.parametrize('cut', [10, 200, 700, -2, -40])
def test_torn_section_is_named_and_left_and_later_ones_are_read(tmp_path, book, capsys, cut):
    run_paper([write(tmp_path, FIGURES['bench'])], book)
    whole = book.read_bytes()
    book.write_bytes(whole + whole[len(HEADER.encode()) :][:cut].replace(b'begin', b'begin'))
    stood = book.read_bytes()
    run_paper([write(tmp_path, FIGURES['comparison'])], book)
    assert book.read_bytes().startswith(stood)
    assert [record['kind'] for record in read_book(book).records] == ['bench', 'comparison']
    assert (cut == 10) == ('has no end; left as it is' not in capsys.readouterr().err)


def test_what_is_written_below_a_section_is_its_remark(tmp_path, book):
    run_paper([write(tmp_path, FIGURES['bench'])], book)
    with book.open('a') as stream:
        stream.write('\n**Withdrawn**: the machine\nwas busy.\n')
    run_paper([write(tmp_path, FIGURES['comparison'])], book)
    first, second = read_book(book).records
    assert first['remark'] == '**Withdrawn**: the machine\nwas busy.'
    assert second['kind'] == 'comparison' and 'remark' not in second


def test_section_whose_record_was_spoilt_is_named(tmp_path, book):
    run_paper([write(tmp_path, FIGURES['bench'])], book)
    pages = parse(book.read_bytes().replace(b'"rows"', b'"rows'))
    assert not pages.records
    assert 'has no record' in pages.torn[0]


def test_writers_at_the_same_time_wait_for_each_other(book):
    def add(number):
        append(book, [numbered(number)], lambda record: '## one')

    threads = [threading.Thread(target=add, args=(number,)) for number in range(1, 17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pages = read_book(book)
    assert (len(pages.records), pages.torn) == (16, ())
    assert book.read_text(encoding='utf-8').count(HEADER) == 1


def test_commit_is_the_figures_own_or_said_or_not_recorded(tmp_path):
    with_it = write(tmp_path, FIGURES['comparison'])
    assert read_record(with_it, 'today')['commit'] == '0123456789ab'
    with pytest.raises(ValueError, match='expected no --commit, the file has 0123456789ab'):
        read_record(with_it, 'today', 'abc')
    old = write(tmp_path, {**FIGURES['bench'], 'versions': {'torch': '2'}}, 'old.json')
    assert read_record(old, 'today')['commit'] == 'not recorded'
    assert read_record(old, 'today', 'abc')['commit'] == 'abc'


def test_book_of_the_current_folder_is_taken(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path, FIGURES['bench'])
    run_paper([file])
    assert (tmp_path / 'benchmarks.md').is_file()
    (tmp_path / 'docs').mkdir()
    (tmp_path / 'docs' / 'benchmarks.md').touch()
    run_paper()
    assert 'Ours: 0 records of docs/benchmarks.md' in ' '.join(capsys.readouterr().out.split())
    with pytest.raises(ValueError, match='expected --add beside it'):
        run_paper(commit='abc')


def test_book_that_is_no_text_is_refused(tmp_path, book):
    book.write_bytes(b'\xff\xfe\x00')
    for files in ([], [write(tmp_path, FIGURES['bench'])]):
        with pytest.raises(ValueError, match='expected a Markdown file'):
            run_paper(files, book)


def test_repository_has_a_whole_book():
    pages = read_book(ROOT / 'docs' / 'benchmarks.md')
    assert not pages.torn
    assert {record['kind'] for record in pages.records} >= {'comparison', 'bench'}
