# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The paper's tables: published figures as printed, ours from result files, commands that run."""

import json
import re
import shlex

from bench_samples import costs
from bench_samples import MACHINE
from bench_samples import sample
from fake_comparison import definition
from fake_comparison import machine
from fake_comparison import record
from fake_comparison import SETTINGS
from paths import ROOT
import pytest
from vla_cache_ros.cli.main import parse
from vla_cache_ros.evaluation import paper
from vla_cache_ros.evaluation.bench.summary import summarize as summarize_bench
from vla_cache_ros.evaluation.bench.variants import Variant
from vla_cache_ros.evaluation.closed_loop import summarize
from vla_cache_ros.evaluation.comparison.figures import comparison_figures

SPATIAL = {'env': 'libero_spatial', 'checkpoint': 'openvla/openvla-7b-finetuned-libero-spatial'}
SAID = {
    'hardware': {'cpu': 'a CPU', 'cores': 2, 'torch_threads': 1, 'gpu': 'a GPU'},
    'versions': {'mujoco': '2.3.7', 'commit': '0123456789ab'},
}
DATA = paper.read_paper()
LIBERO = DATA.tables[0]
SOLVED = '75.0 (30.1 to 95.4)'


def comparison(**changes):
    """Return the figures of four episodes of three gates, of which the first fails."""
    gates = ('dense', 'vla-cache', 'learned')
    manifest = {**SETTINGS, 'entries': [definition(gate, gate) for gate in gates]}
    runs = [record(gate, seed, seed > 0) for gate in gates for seed in range(4)]
    return {**comparison_figures(manifest, runs, [machine() | SAID]), **changes}


def evaluation(**changes):
    runs = [record('dense', seed).episode for seed in range(3)]
    return {**summarize(runs, 'dense', checkpoint='tabletop'), **changes}


def bench(**changes):
    """Return the figures of a cached step that is twice as fast as the dense one."""
    hf = Variant('hf', None, capture=False)
    totals = {hf: 120.0, Variant('dense', None): 100.0, Variant('learned-fixed', 0.7): 50.0}
    samples = {
        variant: [sample(step, total, reuse=variant.reuse or 0.0) for step in range(3)]
        for variant, total in totals.items()
    }
    memory = dict.fromkeys(totals, {'cache': 1.0, 'added': 1.0})
    figures = summarize_bench(samples, costs(), MACHINE, memory, 'bfloat16')
    said = {'model': 'openvla-7b', 'random_weights': True, 'device': 'cpu', 'dtype': 'bfloat16'}
    return {**figures, **SAID, **said, **changes}


@pytest.fixture
def printed(tmp_path, monkeypatch, capsys):
    """Return what is printed of files with these figures, without a folder docs/results."""
    monkeypatch.setattr(paper, 'RESULTS', tmp_path / 'none')

    def run(*all_figures):
        files = [tmp_path / f'{number}.json' for number in range(len(all_figures))]
        for file, figures in zip(files, all_figures, strict=True):
            file.write_text(json.dumps(figures), encoding='utf-8')
        paper.run_paper(files)
        return capsys.readouterr().out

    return run


def cells(text, row, title=LIBERO.title):
    """Return the cells of a row of the table below a heading."""
    lines = text[text.index(f'## {title}') :].splitlines()
    line = next(line for line in lines if line.startswith(f'| {row} '))
    return [cell.strip() for cell in line.strip('|').split('|')][1:]


def commands(text):
    joined = re.sub(r' \\\n\s*', ' ', text)
    return [line for line in joined.splitlines() if re.match('(vla-cache|ros2) ', line)]


def test_every_published_figure_is_printed_and_has_a_source(printed):
    text = printed()
    for table in [*DATA.tables, DATA.times]:
        assert table.source.startswith('arXiv 2602.00686') or not table.published
        for name, row in table.published.items():
            found = cells(text, f'{name}, published', table.title)
            assert [None if cell == '-' else float(cell) for cell in found] == row


def test_published_figures_agree_with_each_other_and_with_the_notes():
    def macs(rows):
        return 32 * (4 * rows * 4096**2 + 2 * rows * 284.6 * 4096 + 3 * rows * 4096 * 11008) / 1e12

    for row in LIBERO.published.values():
        assert sum(row[:4]) / 4 == pytest.approx(row[4], abs=0.0501)
    tflops, times = ({name: row[i] for name, row in LIBERO.published.items()} for i in (5, 6))
    for name, (_, dense, cached, ratio, *_) in DATA.times.published.items():
        assert (dense, cached) == (times['OpenVLA dense'], times[name.partition(',')[0]])
        assert ratio == round(dense / cached, 2)
    for share, name in ((0, 'OpenVLA dense'), (0.28, 'LAC'), (0.34, 'VLA-Cache')):
        assert macs(284.6 - share * 256) == pytest.approx(
            tflops[name], rel=0.05 if share else 3e-4
        )


def test_every_open_place_names_its_command_and_hours(printed):
    text = printed()
    for table in [*DATA.tables, DATA.times]:
        for number, run in enumerate(table.runs, 1):
            command = table.command.format(env=run.env, checkpoint=run.checkpoint)
            assert f'# {number}\n{command}' in text
            if run.fills in table.columns and table.ours:
                place = table.columns.index(run.fills)
                assert all(
                    cells(text, n, table.title)[place] == f'open, {number}' for n in table.ours
                )
            if isinstance(run.hours, int):
                gates, episodes, *each = map(int, re.findall(r'\d+', run.which_are))
                simulator, model = each[0] * each[1], each[2] * each[3]
                assert gates == len(table.ours) and f'--episodes {episodes}' in command
                assert run.hours == round(gates * episodes * (simulator + model) / 3.6e6)


def test_every_printed_command_is_one_that_the_program_takes(printed):
    code = (ROOT / 'launch/robot.launch.py').read_text(encoding='utf-8')
    code += (ROOT / 'vla_cache_ros/ros/launching.py').read_text(encoding='utf-8')
    for text in commands(printed()):
        program, *arguments = shlex.split(text)
        if program == 'vla-cache':
            parse(arguments)  # raises or ends with what a user would see
            continue
        for argument, value in (argument.split(':=') for argument in arguments[3:]):
            assert f"'{argument}'" in code
            assert 'SHARE' not in value or (ROOT / value.removeprefix('SHARE/')).is_file()


def test_measured_rows_take_their_places_with_interval_and_n(printed):
    text = printed(comparison(**SPATIAL), evaluation(**SPATIAL))  # the one of more episodes stays
    found = cells(text, 'ours, dense')
    assert found[:6] == [SOLVED, 'open, 2', 'open, 3', 'open, 4', 'open', '-']
    flat = ' '.join(text.split())
    said = ('n 4', 'reuse % 25.0', 'seeds 0 to 3', 'a GPU', 'mujoco 2.3.7', 'commit 0123456789ab')
    for part in (*said, 'Ours differ from the published rows', 'docs/results is not in this'):
        assert part in flat
    assert cells(printed(evaluation(**SPATIAL)), 'ours, dense')[0].startswith('100.0')
    suites = [comparison(env=run.env, checkpoint=run.checkpoint) for run in LIBERO.runs]
    assert cells(printed(*suites), 'ours, dense')[3:5] == [SOLVED, '75.0']


@pytest.mark.parametrize('change', [{'checkpoint': 'small'}, {'env': 'libero_object'}])
def test_another_model_or_suite_fills_no_place(printed, change):
    text = printed(comparison(**SPATIAL | change))
    assert cells(text, 'ours, dense')[0] == 'open, 1'
    model = change.get('checkpoint', 'openvla-7b-finetuned-libero-spatial')
    alone = cells(text, f'ours [1] {model}, learned', DATA.others.title)
    assert alone[:3] == [SOLVED, '4', '25.0']


def test_times_are_compared_by_ratio_and_stay_open_until_a_gpu_ran(printed):
    text = printed(bench())
    ours = cells(text, 'ours [1] openvla-7b, learned-fixed 70 %', DATA.times.title)
    assert ours == ['70.0', '100.0', '50.0', '2.00', '100.0', '50.0', '2.00']
    assert '--shape openvla-7b --device cuda' in text
    assert '--shape openvla-7b --device cuda' not in printed(bench(device='cuda'))


@pytest.mark.parametrize(
    ('figures', 'expected'),
    [
        ([], 'expected the JSON of vla-cache compare'),
        ({'faults': []}, 'expected the JSON of vla-cache compare'),
        ({'gate': 'x', 'success_ci95': [0, 1], 'per_episode': []}, 'expected all figures'),
    ],
)
def test_other_files_are_refused(printed, figures, expected):
    with pytest.raises(ValueError, match=f'0.json: {expected}'):
        printed(figures)


@pytest.mark.parametrize(
    ('old', 'new', 'expected'),
    [
        ('[84.4, 86.6,', '[84.4,', 'OpenVLA dense: expected 7 numbers'),
        ('source: arXiv 2602.00686, SIMPLER', 'remark: none', 'remark'),
        ('paper: arXiv', 'paper: [arXiv', 'while parsing'),
    ],
)
def test_spoilt_published_figures_are_refused(tmp_path, old, new, expected):
    file = tmp_path / 'paper.yaml'
    file.write_text(paper.PUBLISHED.read_text(encoding='utf-8').replace(old, new, 1))
    with pytest.raises(ValueError, match=f'paper.yaml: expected tables .*{expected}'):
        paper.read_paper(file)


def test_committed_results_stand_in_the_tables(capsys):
    paper.run_paper()
    text = capsys.readouterr().out
    assert 'docs/results is not' not in text
    assert {
        file for file in [*DATA.remarks, *DATA.withdrawn] if not (paper.RESULTS / file).exists()
    } == set()
    row = re.search(r'ours \[\d+\] libero-object, dense', text).group()  # numbered by file name
    assert cells(text, row, DATA.others.title)[1] == '200'
    assert [line for line in text.splitlines() if len(line) > paper.WIDTH and line[0] != '|'] == []
