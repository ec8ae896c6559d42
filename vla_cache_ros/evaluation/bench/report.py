# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Write a benchmark's figures as JSON, as tables to paste, and as bars. Computes no figure.

The tables stand without a heading, so that bench.md fits between two markers of a document.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from vla_cache_ros.reports import plots
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.files import write_text
from vla_cache_ros.reports.tables import Table

STAGE_COLORS = {
    'preprocess': '#b5b136',
    'gate': '#c2416b',
    'vision': plots.BLUE,
    'decoder': plots.GREEN,
    'decode': plots.ORANGE,
}


def write_bench(out: Path, figures: Mapping[str, Any]) -> None:
    """Write bench.json, bench.md, bench.svg and bench.png, and print the tables."""
    text = tables(figures)
    write_json(out / 'bench.json', figures)
    write_text(out / 'bench.md', text + '\n')
    plots.save_figure(out / 'bench', draw(figures))
    print(text)


def tables(figures: Mapping[str, Any]) -> str:
    """Return what a benchmark came to in Markdown: time, work, agreement, circumstances."""
    rows = [[*map(_time, figures['entries'])], [*map(_work, figures['entries'])]]
    if figures.get('busy'):
        rows.insert(1, _busy(figures['busy']))
    return '\n\n'.join([*(Table.of(part).markdown() for part in rows), _note(figures)])


def draw(figures: Mapping[str, Any]) -> Figure:
    """Return stacked bars, one a variant: the medians of its stages, and a mark at the floor."""
    entries = figures['entries'][::-1]  # the first one on top
    figure = Figure(figsize=(8.5, 1.4 + 0.34 * len(entries)), layout='constrained')
    axes = figure.subplots()
    names = [entry['name'] for entry in entries]
    left = [0.0] * len(entries)
    for stage, color in STAGE_COLORS.items():
        widths = [entry['latency_ms'][stage]['p50'] for entry in entries]
        axes.barh(names, widths, 0.66, left, label=stage, color=color)
        left = [begin + width for begin, width in zip(left, widths, strict=True)]
    axes.plot(
        [entry['floor_ms']['total'] for entry in entries],
        names,
        linestyle='',
        marker='|',
        markersize=15,
        markeredgewidth=2.2,
        color='black',
        label='floor of this machine',
    )
    for entry, end in zip(entries, left, strict=True):
        total, ratio = entry['latency_ms']['total']['p50'], entry['ratio_to_hf']['p50']
        axes.annotate(
            f'{total:.4g} ms, {1 / ratio:.2f} times as fast as hf',
            (end, entry['name']),
            xytext=(4, 0),
            textcoords='offset points',
            fontsize=7,
            va='center',
        )
    axes.set(
        xlabel='observation to action, ms: the median of each stage', xlim=(0, 1.35 * max(left))
    )
    axes.grid(axis='x', alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    axes.tick_params(axis='y', labelsize=8)
    figure.legend(frameon=False, loc='outside lower center', ncols=6, fontsize=8)
    return figure


def _time(entry: Mapping[str, Any]) -> dict[str, str]:
    laps, dense = entry['latency_ms'], entry['ratio_to_dense']
    return {
        'variant': entry['name'],
        'p50 ms': _ms(laps['total']['p50']),
        'p95 ms': _ms(laps['total']['p95']),
        'mean ms': _ms(entry['mean_ms']),
        'Hz': f'{entry["hz"]:.3g}',
        'x hf': f'{1 / entry["ratio_to_hf"]["p50"]:.2f}',
        'x dense': '' if dense is None else f'{1 / dense["p50"]:.2f}',
        'first step ms': _ms(entry['first_step_ms']['p50']),
        **{stage: _ms(laps[stage]['p50']) for stage in STAGE_COLORS},
    }


def _busy(figures: Mapping[str, Any]) -> list[dict[str, str]]:
    places = {'idle': 'idle', 'busy': f'beside {figures["processes"]} busy'}
    return [
        {
            'variant': entry['name'],
            **{
                f'{place}, {name} ms': _ms(value)
                for key, place in places.items()
                for name, value in entry[key].items()
            },
            'busy p95 / idle p50': f'{entry["p95_to_idle"]:.2f}',
        }
        for entry in figures['entries']
    ]


def _work(entry: Mapping[str, Any]) -> dict[str, str]:
    agreement, memory = entry['agreement'], entry['memory_mib']
    return {
        'variant': entry['name'],
        'reuse': f'{100 * entry["reuse"]:.1f} %',
        'rows': f'{entry["rows"]:.0f}',
        'passes': f'{entry["passes"]:.2g}',
        'GMAC': f'{entry["gmacs"]:.4g}',
        'MB moved': f'{entry["mbytes"]:.4g}',
        'floor ms': _ms(entry['floor_ms']['total']),
        'times floor': f'{entry["ratio_to_floor"]:.1f}',
        'cache MiB': f'{memory["cache"]:.1f}',
        'added MiB': f'{memory["added"]:.0f}',
        'difference to hf': f'{agreement["max_difference"]:.1g}',
        'tokens as hf': _tokens(agreement),
        'tokens as greedy': _tokens(entry['as_greedy']),
    }


def _tokens(agreement: Mapping[str, Any] | None) -> str:
    if agreement is None or not agreement['of']:
        return ''
    return f'{agreement["tokens"]} of {agreement["of"]}'


def _note(figures: Mapping[str, Any]) -> str:
    machine, hardware = figures['machine'], figures['hardware']
    where = hardware['gpu'] if str(figures['device']).startswith('cuda') else hardware['cpu']
    checks = figures['checks']
    sentences = [
        f'`{figures["model"]}`, {figures["parameters"]:,} parameters, {figures["dtype"]}, '
        f'{figures["device"]}: {where}, {hardware["torch_threads"]} threads of torch on '
        f'{hardware["cores"]} cores, torch {figures["versions"]["torch"]}, '
        f'transformers {figures["versions"]["transformers"]}.',
        f'{figures["timed_steps"]} timed steps a variant, first steps apart: '
        f'{figures["first_steps"]}, {figures["warmup_steps"]} before them to warm up; all '
        f'variants by turns on the same observations (seed {figures["seed"]}).',
        f'Best rates seen here: {machine["gmacs_per_s"]:.0f} GMAC/s '
        f'({" x ".join(map(str, machine["matrix"]))}), {machine["gbytes_per_s"]:.1f} GB/s copied.',
        f'Weights {figures["weights_mib"]:.0f} MiB, peak of the whole process '
        f'{figures["peak_mib"]:.0f} MiB.',
    ]
    if figures.get('empty_cameras'):
        sentences.append(
            f'{figures["cameras"]} cameras, and {figures["empty_cameras"]} absent ones that hf '
            'computes too.'
        )
    for name, reason in figures.get('missing', {}).items():
        sentences.append(f'{name} itself was not timed: {reason}.')
    if figures['random_weights']:
        sentences.append('Random weights: times are those of the sizes, actions mean nothing.')
        if any(entry['decoding'] == 'jacobi' for entry in figures['entries']):
            sentences.append(
                'They repeat an action, so the guess of jacobi is made wrong before every step: '
                'with these weights that is close to its worst case.'
            )
    if not figures['trained_gate']:
        sentences.append('The gate is untrained: its cost is what is measured, not its choice.')
    if any(entry['ratio_to_floor'] < 1 for entry in figures['entries']):
        sentences.append(
            'A measured time is BELOW its floor: the machine was busy when its rates were taken.'
        )
    if checks['asserted']:
        sentences.append(
            f'NOT EQUAL, and should be: {", ".join(checks["differ"])}.'
            if checks['differ']
            else 'Every variant that reuses nothing agrees with hf, jacobi with greedy.'
        )
    return ' '.join(sentences)


def _ms(value: float) -> str:
    """Return milliseconds with three digits, or whole."""
    return f'{value:.0f}' if value >= 100 else f'{value:.3g}'
