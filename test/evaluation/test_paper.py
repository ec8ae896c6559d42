# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's tables: published figures as printed, ours from records, commands that parse."""

import re
import shlex

from paper_samples import bench
from paper_samples import comparison
from paper_samples import evaluation
from paper_samples import write
from paths import ROOT
import pytest
import typer
from vla_cache_ros.cli.main import main as cli
from vla_cache_ros.evaluation import paper_rows
from vla_cache_ros.evaluation import paper_tables
from vla_cache_ros.evaluation.closed_loop import summarize
from vla_cache_ros.evaluation.paper_page import page
from vla_cache_ros.evaluation.paper_records import read_record
from vla_cache_ros.evaluation.paper_sections import WIDTH
from vla_cache_ros.reports.hardware import commit

SPATIAL = {'env': 'libero_spatial', 'checkpoint': 'openvla-7b-finetuned-libero-spatial'}


def record(folder, figures, **changes):
    return read_record(write(folder, figures), '2026-01-01', **changes)


def cells(text, row, after=''):
    """Return the cells of the first row of that name after a heading."""
    line = next(
        line for line in text[text.index(after) :].splitlines() if line.startswith(f'| {row} ')
    )
    return [cell.strip() for cell in line.strip('|').split('|')][1:]


def commands(text):
    joined = text.replace(' \\\n  ', ' ')
    return [line for line in joined.splitlines() if re.match('(vla-cache|ros2) ', line)]


@pytest.mark.parametrize('method', paper_tables.LIBERO.rows)
def test_published_average_is_that_of_the_suites(method):
    suites = [paper_tables.LIBERO.value(method, suite) for suite in paper_rows.SUITES]
    average = paper_tables.LIBERO.value(method, 'avg')
    assert sum(suites) / 4 == pytest.approx(average, abs=0.0501)


def test_published_ratios_are_those_of_the_published_times():
    assert round(paper_tables.speed_up('LAC'), 2) == 1.76
    assert round(paper_tables.speed_up('VLA-Cache'), 2) == 1.63
    assert paper_tables.ABLATION.value('+ recovery', 'success') == paper_tables.LIBERO.value(
        'LAC', 'Spatial'
    )


def test_published_tflops_are_macs_and_imply_the_reuse_that_is_said():
    dense = paper_tables.prefill_macs(paper_tables.PREFILL_ROWS)
    assert round(dense, 3) == paper_tables.LIBERO.value('OpenVLA dense', 'TFLOPs*')
    for share, method in ((0.28, 'LAC'), (0.34, 'VLA-Cache')):
        rows = paper_tables.PREFILL_ROWS - share * paper_tables.VISUAL_TOKENS
        macs = paper_tables.LIBERO.value(method, 'TFLOPs*')
        assert paper_tables.prefill_macs(rows) == pytest.approx(macs, rel=0.05)


@pytest.mark.parametrize('published', paper_tables.PUBLISHED, ids=lambda table: table.key)
def test_every_published_row_is_printed_in_full(published):
    text = page([], 'a book')
    for name, values in published.rows.items():
        found = cells(text, f'{name}, published', f'## {published.title}')
        assert [float(cell) for cell in found] == list(values)


def test_every_open_place_names_a_command_that_is_printed():
    text = page([], 'a book')
    printed = commands(text)
    for table, row, column, plan in paper_rows.places():
        assert plan.command in printed, (table, row, column)
        assert f'--gate {row.entry}' in plan.command
    for command in (paper_rows.TIME_COMMAND, paper_rows.FRANKA_COMMAND):
        assert command in printed
    assert {plan.env for plan in paper_rows.PLANS} >= {'libero_spatial', 'simpler_bridge'}


def test_every_printed_command_is_one_that_the_program_takes(tmp_path):
    known = typer.main.get_command(cli.app)
    made = (comparison(), comparison(**SPATIAL), evaluation(), bench())
    built = [record(tmp_path, figures)['command'] for figures in made]
    for text in [*commands(page([], 'a book')), *built]:
        program, name, *arguments = shlex.split(text)
        if program == 'vla-cache':
            known.commands[name].make_context(name, arguments)  # raises what a user would see


def test_launch_command_names_arguments_and_files_that_exist():
    code = ''.join(
        path.read_text(encoding='utf-8')
        for path in (
            ROOT / 'vla_cache_ros' / 'ros' / 'launching.py',
            ROOT / 'launch/robot.launch.py',
        )
    )
    for argument in shlex.split(paper_rows.FRANKA_COMMAND)[4:]:
        name, _, value = argument.partition(':=')
        assert f"'{name}'" in code
        if value.startswith('SHARE/'):
            assert (ROOT / value.removeprefix('SHARE/')).is_file()


def test_measured_figures_take_their_places_with_what_differs_beside_them(tmp_path):
    found = record(tmp_path, comparison(**SPATIAL, facts={'mujoco': '2.3.7'}))
    text = page([found], 'a book')
    spatial, *rest = cells(text, 'ours, learned gate', '## LIBERO on OpenVLA-7B')
    assert spatial == '75.0 (30 to 95)'
    assert rest[:4] == ['open, 2', 'open, 3', 'open, 4', 'open']
    macs = paper_tables.prefill_macs(paper_tables.PREFILL_ROWS - 0.25 * paper_tables.VISUAL_TOKENS)
    assert rest[4] == f'{macs:.3f}'
    flat = ' '.join(text.split())
    for said in ('n = 4', 'seeds 0 to 3', 'a GPU', 'mujoco 2.3.7', 'reuse 25.0 %', '0123456789ab'):
        assert said in flat
    assert 'Ours differ from the published rows in hardware' in flat
    assert 'Nothing yet.' in text


def test_average_needs_all_four_suites(tmp_path):
    found = [
        record(tmp_path, comparison(env=plan.env, checkpoint=plan.checkpoint))
        for plan in paper_rows.plans_of('libero')
    ]
    for count, average in ((3, 'open'), (4, '75.0')):
        text = page(found[:count], 'a book')
        assert cells(text, 'ours, dense', '## LIBERO on OpenVLA-7B')[4] == average
    assert 'open' not in cells(text, 'ours, dense', '## LIBERO on OpenVLA-7B')


@pytest.mark.parametrize(
    'changes',
    [
        {'env': 'libero_spatial', 'checkpoint': 'small'},
        {'checkpoint': SPATIAL['checkpoint']},
        {**SPATIAL, 'env': 'libero_object'},
    ],
    ids=['another model', 'tabletop', 'another suite'],
)
def test_what_is_not_of_a_place_stands_on_its_own(tmp_path, changes):
    text = page([record(tmp_path, comparison(**changes))], 'a book')
    assert cells(text, 'ours, dense', '## LIBERO on OpenVLA-7B')[0] == 'open, 1'
    alone = text[text.index('## Everything else') :]
    assert f'environment {changes.get("env", "tabletop")}' in alone
    assert cells(alone, 'learned')[:3] == ['75.0 (30.1 to 95.4)', '4', '25.0']


def test_place_shows_most_episodes_and_the_latest_of_them(tmp_path):
    few, many = (record(tmp_path, comparison(episodes=n, **SPATIAL)) for n in (2, 4))
    again = {**many, 'added': '2026-02-02'}
    plan = paper_rows.plans_of('libero')[0]
    assert paper_rows.find([few, many, again, few], plan, paper_rows.DENSE).record is again
    assert paper_rows.find([few], plan, paper_rows.DENSE).record is few


def test_withdrawn_figures_fill_no_place_and_are_printed_as_such(tmp_path):
    wrong = record(tmp_path, comparison(**SPATIAL)) | {'remark': '**Withdrawn: drawn wrongly.**'}
    text = page([wrong], 'a book')
    assert cells(text, 'ours, dense', '## LIBERO on OpenVLA-7B')[0] == 'open, 1'
    alone = text[text.index('## Everything else') :]
    assert 'Withdrawn: drawn wrongly.' in alone and cells(alone, 'learned')[1] == '4'
    later = wrong | {'remark': 'Beside other work.'}
    text = page([later], 'a book')
    assert 'open' not in cells(text, 'ours, dense', '## LIBERO on OpenVLA-7B')[0]
    assert 'Beside other work.' in text


def test_time_has_the_published_ratio_and_ours_of_prefill_and_whole_step(tmp_path):
    text = page([record(tmp_path, bench())], 'a book')
    part = text[text.index('## What caching saves') :]
    assert cells(part, 'LAC, published, OpenVLA-7B')[1:4] == ['51.91', '29.51', '1.76']
    ours = cells(part, 'ours [1] openvla-7b, learned-fixed 70 %')
    assert ours == ['70.0', '100.0', '50.0', '2.00', '100.0', '50.0', '2.00']
    assert 'random weights of its sizes' in part
    assert 'open, 1' in part  # a CPU fills no row of a GPU
    gpu = page([record(tmp_path, bench(device='cuda'))], 'a book')
    assert 'open, 1' not in gpu[gpu.index('## What caching saves') :]


def test_paragraphs_and_commands_fit_a_terminal(tmp_path):
    found = [record(tmp_path, figures) for figures in (comparison(**SPATIAL), bench())]
    lines = page(found, 'a book').splitlines()
    assert [line for line in lines if len(line) > WIDTH and not line.startswith('|')] == []


def test_figures_carry_the_commit_of_their_checkout():
    found = commit()
    assert found is None or re.fullmatch('[0-9a-f]{12}(-dirty)?', found)
    from fake_comparison import record as episode

    assert summarize([episode('dense', 0).episode], 'dense')['versions'].get('commit') == found
