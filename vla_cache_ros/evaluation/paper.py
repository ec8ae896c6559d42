# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Print the paper's tables with our measured rows: `vla-cache paper`.

What the paper publishes, and the command for every row that nobody has measured, are data
(paper.yaml). Our rows are read from result files. Loads no model.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import json
from pathlib import Path
from statistics import fmean
import textwrap
from typing import Any

from tabulate import tabulate
import yaml

PUBLISHED = Path(__file__).with_name('paper.yaml')
RESULTS = Path(__file__).resolve().parents[2] / 'docs' / 'results'  # of a checkout
WIDTH = 99
_LAPS = {'CUDA ms': 'decoder', 'prefill ms': 'decoder', 'whole step ms': 'total'}
_COSTS = ('command', 'fills', 'download', 'GPU memory', 'hours at most', 'which are')
_SHAPING = ('mujoco', 'torch', 'transformers', 'vla_cache_ros')  # versions that change figures


@dataclass(frozen=True)
class Run:
    """Hold a run that fills one column, and what it costs."""

    fills: str
    env: str
    checkpoint: str
    download: str
    gpu: str
    hours: int | str
    which_are: str


@dataclass(frozen=True)
class Table:
    """Hold one table of paper.yaml, whose head says what the fields are."""

    title: str
    columns: list[str]
    source: str = ''
    published: dict[str, list[float | None]] = field(default_factory=dict)
    ours: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    differs: str = ''
    runs: list[Run] = field(default_factory=list)
    command: str = ''

    def __post_init__(self) -> None:
        if self.published and not self.source:
            raise ValueError(f'{self.title}: expected the source of what is published')
        for name, row in self.published.items():
            numbers = [value for value in row if value is None or isinstance(value, int | float)]
            if not len(numbers) == len(row) == len(self.columns):
                raise ValueError(f'{name}: expected {len(self.columns)} numbers, got {row}')


@dataclass(frozen=True)
class Paper:
    """Hold paper.yaml; `remarks` and `withdrawn` are by the name of a file of `RESULTS`."""

    paper: str
    notes: list[str]
    tables: list[Table]
    times: Table
    others: Table
    remarks: dict[str, str]
    withdrawn: dict[str, str]


@dataclass(frozen=True)
class Result:
    """
    Hold what one file measured, or timed of one model, with the circumstances in words.

    env: empty for a benchmark. rows: entries of the file with their cells in `others` or `times`.
    """

    file: str
    model: str
    env: str
    about: str
    on_gpu: bool
    rows: list[tuple[Mapping[str, Any], list[str]]]


def run_paper(files: Sequence[Path] = ()) -> None:
    """
    Print the tables with the rows of `RESULTS`, where that exists, and of `files`.

    Raises OSError, and ValueError for one of `files` that no command of ours wrote.
    """
    paper = read_paper()
    committed = sorted(RESULTS.glob('*.json'))
    wanted = {run.env for table in paper.tables for run in table.runs}
    wanted |= {run.checkpoint for run in paper.times.runs}
    sound = [file for file in committed if file.name not in paper.withdrawn]
    results = [r for file in sound for r in read_results(file) if {r.env, r.model} & wanted]
    ours = f'{len(results)} results of docs/results, and {len(files)} files of --results'
    if not committed:
        ours = f'{len(files)} files of --results (docs/results is not in this installation)'
    for file in files:
        found = read_results(file)
        if not found:
            raise ValueError(
                f'{file}: expected the JSON of vla-cache compare (compare.json), evaluate '
                '(--json) or bench (bench.json)'
            )
        results += [result for result in found if result not in results]
    print(page(paper, results, ours))


def read_paper(path: Path = PUBLISHED) -> Paper:
    """Return what a file like paper.yaml holds; raises ValueError for another."""
    try:
        data = yaml.safe_load(path.read_text(encoding='utf-8'))
        tables = [_table(entry) for entry in data['tables']]
        rest = {name: _table(data[name]) for name in ('times', 'others')}
        return Paper(**{**data, **rest, 'tables': tables})
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f'{path}: expected tables as in paper.yaml, got {error}') from error


def _table(entry: Mapping[str, Any]) -> Table:
    return Table(**{**entry, 'runs': [Run(**run) for run in entry.get('runs', ())]})


def read_results(file: Path) -> list[Result]:
    """
    Return what a file of compare, evaluate, bench or make gpu measured; nothing of another.

    Raises OSError, and ValueError for what is no JSON or lacks a figure.
    """
    try:
        figures = json.loads(file.read_bytes())
    except ValueError as error:
        raise ValueError(f'{file}: expected JSON, got {error}') from error
    has = set(figures).issuperset if isinstance(figures, dict) else set().issuperset
    try:
        if has({'entries', 'random_weights', 'model'}):
            return [_timed(file, figures, figures)]
        if has({'shapes', 'rehearsal'}) and not figures['rehearsal']:
            return [_timed(file, figures, shape) for shape in figures['shapes']]
        if has({'entries', 'checkpoint_fingerprint', 'warmup_inferences'}):
            return [_closed_loop(file, figures, figures['entries'])]
        if has({'gate', 'success_ci95', 'per_episode'}):
            gate = figures['gate'].partition('@')[0]
            alone = dict.fromkeys(('latency_ratio', 'against_dense'))
            alone |= dict.fromkeys(('name', 'label', 'gate'), gate)
            return [_closed_loop(file, figures, [figures | alone])]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f'{file}: expected all figures of its kind, got no {error}') from error
    return []


def _closed_loop(file: Path, figures: Mapping[str, Any], entries: Iterable[Any]) -> Result:
    rows = []
    for entry in entries:
        laps, ratio, pair = entry['latency_ms'], entry['latency_ratio'], entry['against_dense']
        low, high = (100 * bound for bound in entry['success_ci95'])
        share, points = 100 * entry['successes'] / entry['episodes'], ''
        if pair:
            ends = (f'{100 * bound:+.1f}' for bound in pair['success_difference_ci95'])
            points = f'{100 * pair["success_difference"]:+.1f} ({" to ".join(ends)})'
        cells = [f'{share:.1f} ({low:.1f} to {high:.1f})', str(entry['episodes'])]
        cells += [_percent(entry['reuse_mean']), _ms(laps['decoder']['p50'])]
        cells += [_ms(laps['total']['p50']), _ms(laps['total']['p95'])]
        rows.append((entry, [*cells, f'{1 / ratio["p50"]:.2f}' if ratio else '', points]))
    env, (first, last) = figures.get('env') or 'tabletop', figures['seeds']
    about = f'environment {env}, seeds {first:,} to {last:,}; {figures.get("dtype") or "float32"}'
    return _result(file, figures, figures['checkpoint'], env, about, rows)


def _timed(file: Path, figures: Mapping[str, Any], timed: Mapping[str, Any]) -> Result:
    dense, rows = {}, []  # what took turns with the cached steps, by weights and decoding
    for entry in timed['entries']:
        laps, alike = entry['latency_ms'], (entry.get('dtype'), entry['decoding'])
        if entry['name'].startswith(('dense captured', 'dense recorded')):
            dense[alike] = laps
        elif (
            alike in dense
            and entry['reuse']
            and entry['name'].startswith(('vla-cache', 'learned'))
        ):
            pairs = [(dense[alike][lap]['p50'], laps[lap]['p50']) for lap in ('decoder', 'total')]
            cells = [[_ms(slow), _ms(fast), f'{slow / fast:.2f}'] for slow, fast in pairs]
            rows.append((entry, [_percent(entry['reuse']), *cells[0], *cells[1]]))
    about = 'random' if timed.get('random_weights', True) else 'trained'
    about += f' weights, {timed["timed_steps"]} timed steps a variant; '
    about += timed.get('dtype') or ', '.join(timed['weights_mib'])
    return _result(file, figures, timed.get('model') or timed['shape'], '', about, rows)


def _result(
    file: Path, figures: Mapping[str, Any], model: str, env: str, about: str, rows: list[Any]
) -> Result:
    both = (figures['hardware'], figures['versions'])  # a comparison has a list of each
    machines, versions = ([found] if isinstance(found, dict) else found for found in both)
    device = figures.get('device') or 'cpu'  # a comparison leaves out what is the default
    said = [
        f'{m["cpu"]}, {m["cores"]} cores, {m["torch_threads"]} threads, {m["gpu"] or "no GPU"}'
        for m in machines
    ]
    shaping = {name: found[name] for found in versions for name in _SHAPING if name in found}
    shaping |= figures.get('facts') or {}
    said.append(', '.join(f'{name} {version}' for name, version in shaping.items()))
    commits = sorted({found.get('commit', 'not recorded') for found in versions})
    said.append(f'commit {" and ".join(commits)}; from {file.name}.')
    about = f'{about} on {device}, {"; ".join(said)}'
    return Result(file.name, _short(model), env, about, device.startswith('cuda'), rows)


def page(paper: Paper, results: Sequence[Result], ours: str) -> str:
    """Return all tables in Markdown; ours: where the results are from."""
    parts = ['# The paper, published and measured']
    lead = f'Published: {paper.paper}, as printed there. Ours: {ours}.'
    parts += map(_wrap, [lead, *paper.notes])
    best, placed = _best(results), set()
    for table in paper.tables:
        rows, lines, missing = [], [], set()
        for name, gate in table.ours.items():
            found = [best.get((run.env, _short(run.checkpoint), *gate)) for run in table.runs]
            rows.append([name, *(_cell(table, column, found) for column in table.columns)])
            for run, one in zip(table.runs, found, strict=True):
                if one is None:
                    missing.add(run)
                else:
                    result, _, cells = one
                    heads = zip(paper.others.columns, cells, strict=True)
                    said = ', '.join(f'{head} {cell}' for head, cell in heads if cell)
                    lines.append(f'- {run.fills}, {name}: {said}; {_about(paper, result)}')
                    placed.add(result.file)
        parts += _section(table, rows, lines, missing)
    benches = [result for result in results if not result.env]
    on_gpu = {result.model for result in benches if result.on_gpu}
    missing = {run for run in paper.times.runs if run.checkpoint not in on_gpu}
    parts += _section(paper.times, *_numbered(paper, benches), missing)
    alone = [result for result in results if result.env and result.file not in placed]
    parts += _section(paper.others, *_numbered(paper, alone), set())
    for file, why in paper.withdrawn.items():
        if (RESULTS / file).is_file():
            parts.append(_wrap(f'Left out: {file}, withdrawn: {why}.'))
    return '\n\n'.join(parts)


def _best(results: Sequence[Result]) -> dict[tuple[str, ...], tuple[Result, Any, list[str]]]:
    """Return the row of most episodes, the last of them, by environment, model, label and gate."""
    found = [
        ((result.env, result.model, entry['label'], entry['gate']), (result, entry, cells))
        for result in results
        if result.env
        for entry, cells in result.rows
    ]
    return dict(sorted(found, key=lambda one: one[1][1]['episodes']))


def _numbered(paper: Paper, results: Iterable[Result]) -> tuple[list[list[str]], list[str]]:
    rows, lines = [], []
    for number, result in enumerate(results, 1):
        name = f'ours [{number}] {result.model}'
        rows += [[f'{name}, {entry["name"]}', *cells] for entry, cells in result.rows]
        lines.append(f'- [{number}] {result.model}: {_about(paper, result)}')
    return rows, lines


def _about(paper: Paper, result: Result) -> str:
    return f'{result.about} {paper.remarks.get(result.file, "")}'


def _section(
    table: Table, ours: Iterable[list[str]], lines: Sequence[str], missing: set[Run]
) -> list[str]:
    """Return a table with what is to be said of it, and the runs that are missing."""
    rows = [
        [f'{name}, published', *('-' if value is None else str(value) for value in row)]
        for name, row in table.published.items()
    ]
    parts = [f'## {table.title}', _markdown(['', *table.columns], [*rows, *ours])]
    parts += map(_wrap, [*table.notes, *([table.differs] if lines and table.differs else [])])
    if lines:
        parts.append('\n'.join(_wrap(line, '  ') for line in lines))
    left = {number: run for number, run in enumerate(table.runs, 1) if run in missing}
    if left:
        costs = [[n, r.fills, r.download, r.gpu, r.hours, r.which_are] for n, r in left.items()]
        commands = [
            f'# {number}\n{table.command.format(env=run.env, checkpoint=run.checkpoint)}'
            for number, run in left.items()
        ]
        parts += [_markdown(_COSTS, costs), '\n'.join(['```', *commands, '```'])]
    return parts


def _cell(table: Table, column: str, found: Sequence[Any]) -> str:
    """Return a row's cell: what one run found, or a mean over all that were made."""
    for number, (run, one) in enumerate(zip(table.runs, found, strict=True), 1):
        if run.fills == column:
            return one[2][0] if one else f'open, {number}'
    entries = [one[1] for one in found if one]
    if column == 'avg' and len(entries) == len(found):
        return f'{fmean(100 * entry["successes"] / entry["episodes"] for entry in entries):.1f}'
    if column not in (*_LAPS, 'avg'):
        return '-'
    times = [entry['latency_ms'][_LAPS[column]]['p50'] for entry in entries if column in _LAPS]
    return _ms(fmean(times)) if times and None not in times else 'open'


def _short(checkpoint: str) -> str:
    return checkpoint.rstrip('/').rpartition('/')[2]


def _percent(share: float | None) -> str:
    return '' if share is None else f'{100 * share:.1f}'


def _ms(value: float | None) -> str:
    return '' if value is None else f'{value:,.{0 if value >= 1000 else 1}f}'


def _markdown(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    return tabulate(rows, head, 'github', disable_numparse=True)


def _wrap(text: str, indent: str = '') -> str:
    whole = {'break_long_words': False, 'break_on_hyphens': False}  # such as paths
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, **whole)
