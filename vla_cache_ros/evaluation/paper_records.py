# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn a file of figures that a command of ours wrote into one record of a benchmark book.

Recognises `vla-cache compare`, `evaluate` and `bench`. Takes figures over and computes none but
the ratios of one run. A record is plain JSON; what a file does not say is None there, not guessed.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
import json
from pathlib import Path
import re
import shlex
from typing import Any

COMPARISON, EVALUATION, BENCH = 'comparison', 'evaluation', 'bench'
UNKNOWN = 'not recorded'
TABLETOP = 'tabletop'  # what figures without `env` were measured in: there was no other
_CHECKPOINT = 'vla-cache {command} --checkpoint {checkpoint} '


def read_record(path: Path, added: str, commit: str | None = None) -> dict[str, Any]:
    """
    Return the record of a file.

    added: date of today. commit: of a file from before figures carried one.

    Raises OSError, or ValueError for a file of something else, one that lacks a figure, and a
    commit beside one that the file has.
    """
    data = path.read_bytes()
    try:
        figures = json.loads(data)
        make = _MAKERS[kind_of(figures)]
    except (ValueError, KeyError) as error:
        raise ValueError(
            f'{path}: expected the JSON of vla-cache compare (compare.json), evaluate (--json) or '
            f'bench (bench.json), {_found(data)}'
        ) from error
    try:
        record = make(figures)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(
            f'{path}: expected all figures of vla-cache {kind_of(figures)}, found no {error}; '
            'write it again with this version'
        ) from error
    versions = _listed(figures.get('versions'))
    commits = sorted({found['commit'] for found in versions if 'commit' in found})
    if commit and commits:
        raise ValueError(f'{path}: expected no --commit, the file has {" and ".join(commits)}')
    return {
        'kind': kind_of(figures),
        'added': added,
        'source': {'name': path.name, 'sha256': hashlib.sha256(data).hexdigest()},
        'commit': commit or ' and '.join(commits) or UNKNOWN,
        'versions': [{k: v for k, v in found.items() if k != 'commit'} for found in versions],
        'hardware': _listed(figures.get('hardware')),
        **record,
    }


def kind_of(figures: Any) -> str:  # noqa: ANN401
    """Return which command wrote some figures; raises KeyError if none of the three did."""
    found = set(figures) if isinstance(figures, Mapping) else set()
    if {'entries', 'random_weights', 'model'} <= found:
        return BENCH
    if {'entries', 'checkpoint_fingerprint', 'warmup_inferences'} <= found:
        return COMPARISON
    if {'gate', 'success_ci95', 'per_episode'} <= found:
        return EVALUATION
    raise KeyError('kind')


def short_name(checkpoint: str) -> str:
    """Return a checkpoint's name without its owner or folder."""
    return checkpoint.rstrip('/').rpartition('/')[2]


def _comparison(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_closed_loop(figures),
        'command': _compare_command(figures),
        'checkpoint_fingerprint': figures['checkpoint_fingerprint'],
        'processes': figures['processes']['at_once'],
        'threads': figures['threads'],
        'reference': figures['reference'],
        'rows': [
            {
                'name': entry['name'],
                'label': entry['label'],
                'requested_reuse': entry['requested_reuse'],
                **_episodes(entry),
                'reuse_mean_cached': entry['reuse_mean_cached'],
                'ratio': _inverse(entry['latency_ratio']),
                'against_dense': _difference(entry['against_dense']),
            }
            for entry in figures['entries']
        ],
    }


def _evaluation(figures: Mapping[str, Any]) -> dict[str, Any]:
    command = _CHECKPOINT.format(command='evaluate', checkpoint=figures['checkpoint'])
    command += _env_option(figures) + f'--gate {figures["gate"]} '
    if figures['reuse'] is not None:
        command += f'--reuse {figures["reuse"]:g} '
    command += f'--device {figures["device"]} --dtype {figures["dtype"]} '
    command += f'--episodes {figures["episodes"]} --seed {figures["seed"]} --json FILE'
    label = str(figures['gate']).partition('@')[0]
    row = {
        'name': label,
        'label': label,
        'requested_reuse': figures['reuse'],
        **_episodes({**figures, 'gate': label}),
        'reuse_mean_cached': None,
        'ratio': None,
        'against_dense': None,
    }
    return {**_closed_loop(figures), 'command': command, 'rows': [row]}


def _bench(figures: Mapping[str, Any]) -> dict[str, Any]:
    entries = figures['entries']
    device, dtype = figures['device'], figures['dtype']
    option = 'shape' if figures['random_weights'] else 'checkpoint'
    reuses = sorted({e['requested_reuse'] for e in entries if e['requested_reuse'] is not None})
    command = f'vla-cache bench --{option} {figures["model"]} --steps {figures["timed_steps"]} '
    command += ''.join(f'--reuse {reuse:g} ' for reuse in reuses)
    command += f'--dtype {dtype} --device {device} --seed {figures["seed"]} --out FOLDER'
    return {
        'command': command,
        'checkpoint': figures['model'],
        'random_weights': figures['random_weights'],
        'device': device,
        'dtype': dtype,
        'seeds': [figures['seed'], figures['seed']],
        'steps': figures['timed_steps'],
        'rows': [_timed(entry, entries) for entry in entries],
    }


def _timed(entry: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    dense = next(
        (
            other
            for other in entries
            if other['gate'] == 'dense'
            and other['capture']
            and other['decoding'] == entry['decoding']
        ),
        None,
    )
    laps = entry['latency_ms']
    ratio = None
    if dense is not None and entry['gate'] != 'hf':
        ratio = {
            stage: dense['latency_ms'][stage]['p50'] / laps[stage]['p50']
            for stage in ('decoder', 'total')
        }
    return {
        'name': entry['name'],
        'gate': entry['gate'],
        'reuse_mean': entry['reuse'],
        'total_ms': laps['total'],
        'decoder_ms': laps['decoder'],
        'decode_ms': laps['decode'],
        'ratio': ratio,
        'ratio_to_hf': 1 / entry['ratio_to_hf']['p50'],
    }


def _closed_loop(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {
        'checkpoint': str(figures['checkpoint']),
        'env': figures.get('env') or TABLETOP,
        'facts': figures.get('facts') or {},
        'device': figures.get('device') or 'cpu',  # what figures without it were measured on
        'dtype': figures.get('dtype') or 'float32',
        'execute_steps': figures['execute_steps'],
        'seeds': figures['seeds'],
    }


def _episodes(entry: Mapping[str, Any]) -> dict[str, Any]:
    laps = entry['latency_ms']
    return {
        'gate': entry['gate'],
        'episodes': entry['episodes'],
        'successes': entry['successes'],
        'success_ci95': entry['success_ci95'],
        'reuse_mean': entry['reuse_mean'],
        'total_ms': laps['total'],
        'decoder_ms': laps['decoder'],
    }


def _compare_command(figures: Mapping[str, Any]) -> str:
    """Rebuild what was asked for; a gate's folder is known by its fingerprint alone."""
    command = _CHECKPOINT.format(command='compare', checkpoint=figures['checkpoint'])
    command += _env_option(figures)
    for entry in figures['entries']:
        label, gate = re.split('[,@]', entry['label'])[0], entry['gate']
        text = gate if label == gate else f'{label}={gate}'  # a label of its own, or the usual
        for option, name in (
            ('recovery', 'recovery'),
            ('first', 'first_share'),
            ('reuse', 'requested_reuse'),
            ('towers', 'reuse_towers'),
        ):
            if entry.get(name) is not None:
                text += f',{option}={float(entry[name]):g}'
        command += f'--gate {shlex.quote(text)} '
    first, last = figures['seeds']
    return f'{command}--seed {first} --episodes {last - first + 1} --out FOLDER'


def _env_option(figures: Mapping[str, Any]) -> str:
    return f'--env {figures["env"]} ' if figures.get('env') else ''


def _inverse(ratio: Mapping[str, float] | None) -> dict[str, float] | None:
    return ratio and {name: 1 / ratio[name] for name in ('p50', 'p95')}


def _difference(pair: Mapping[str, Any] | None) -> dict[str, Any] | None:
    names = ('episodes', 'success_difference', 'success_difference_ci95', 'mcnemar_p')
    return pair and {name: pair[name] for name in names}


def _listed(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """Return one machine, or several as a comparison has them, as a list."""
    if isinstance(value, Mapping):
        return [dict(value)]
    return [dict(one) for one in value or ()]


def _found(data: bytes) -> str:
    try:
        figures = json.loads(data)
    except ValueError as error:
        return f'found no JSON: {error}'
    if not isinstance(figures, Mapping):
        return f'found a {type(figures).__name__}'
    return f'found {", ".join(sorted(figures)[:6]) or "an empty object"}'


_MAKERS = {COMPARISON: _comparison, EVALUATION: _evaluation, BENCH: _bench}
