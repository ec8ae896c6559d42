# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Compare a checkpoint with the golden outputs in its folder, as after a conversion.

A golden folder is a checkpoint with `manifest.json` and one `.npz` a sample, written by the
reference implementation. Knows which arrays must agree and how closely; computes none itself.
"""

from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any
import zipfile

import numpy as np
from vla_cache_ros.evaluation.golden import oft_arrays
from vla_cache_ros.evaluation.golden import openvla_arrays
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.json_file import read_json

TOLERANCE = 5e-5  # fp32, on logits, hidden states and actions; a wrong RMS epsilon gives 1.6e-4
# Logits of every row, not only of those that actions are read from, amplify the rounding of the
# reference itself: one sample lies 8.6e-5 from a float64 computation of the same weights.
WIDER = {'logits_action_cols': 1.2e-4}
TOKENS = ('generated_ids', 'action_token_ids', 'step_argmax')
_INPUTS = ('image', 'images', 'state', 'prompt_input_ids')
_MODES = ('l1', 'discrete')


def verify_golden(folder: str | Path) -> dict[str, Any]:
    """
    Check every sample of a golden folder in float32.

    Returns `{golden, family, tolerance, wider, ok, samples}`; each sample is `{arrays: {name:
    largest absolute difference}, tokens_match: bool or None, ok: bool}`, or `{skipped: why}` where
    this package has no such model variant. Raises CheckpointError for a folder that is no golden
    one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f'golden: expected a folder, found {str(folder)!r}')
    manifest = read_json(folder / 'manifest.json')
    if manifest.get('family') not in ('openvla', 'openvla-oft') or not manifest.get('samples'):
        raise CheckpointError(
            f"{folder / 'manifest.json'}: expected family 'openvla' or 'openvla-oft' and a list "
            f'of samples, found family {manifest.get("family")!r}'
        )
    models: dict[tuple, LoadedVLA] = {}
    samples = {
        Path(entry['file']).stem: _verify_sample(folder, manifest, entry, models)
        for entry in manifest['samples']
    }
    checked = [sample for sample in samples.values() if 'skipped' not in sample]
    return {
        'golden': folder.name,
        'family': manifest['family'],
        'tolerance': TOLERANCE,
        'wider': WIDER,
        'ok': bool(checked) and all(sample['ok'] for sample in checked),
        'samples': samples,
    }


def _verify_sample(
    folder: Path, manifest: Mapping[str, Any], entry: Mapping[str, Any], models: dict
) -> dict[str, Any]:
    mode = entry.get('mode')
    if manifest['family'] == 'openvla-oft' and mode not in _MODES:
        return {'skipped': f'this package does not run the {mode!r} variant of OpenVLA-OFT'}
    options = None
    if manifest['family'] == 'openvla-oft':
        options = _oft_options(manifest, entry)
    key = tuple(sorted((options or {}).items()))
    if key not in models:
        models[key] = load_checkpoint(folder, oft=options, need_tokenizer=False)
    sample = _read_sample(folder / entry['file'])
    if options is None:
        found = openvla_arrays(models[key], sample)
    else:
        unnorm_key = entry.get('unnorm_key', manifest.get('unnorm_key'))
        found = oft_arrays(models[key], sample, unnorm_key)
    return compare(sample, found)


def _oft_options(manifest: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of OftConfig that the manifest states."""
    names = {
        'NUM_ACTIONS_CHUNK': 'chunk',
        'ACTION_DIM': 'action_dim',
        'PROPRIO_DIM': 'proprio_dim',
        'norm': 'normalization',
    }
    constants = manifest.get('constants', {})
    options = {names[k]: v for k, v in constants.items() if k in names}
    for name in ('num_images', 'use_proprio'):
        if name in entry:
            options[name] = entry[name]
    return {**options, 'action_head': entry['mode']}


def _read_sample(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f'{path}: expected an .npz of plain arrays, found none or a damaged one ({error})'
        ) from error


def limit(name: str) -> float:
    """Return the largest difference that an array may have."""
    return WIDER.get(name, TOLERANCE)


def compare(wanted: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """
    Return the largest absolute difference of each array of a sample and whether all agree.

    An array of another shape or with a non-finite difference counts as infinitely far; one that
    is not computed here is listed under `unchecked`.
    """
    arrays: dict[str, float] = {}
    unchecked = []
    for name, target in wanted.items():
        if name in _INPUTS:
            continue
        if name not in found:
            unchecked.append(name)
        elif found[name].shape != target.shape:
            arrays[name] = float('inf')
        else:
            gap = np.abs(found[name].astype(np.float64) - target.astype(np.float64))
            arrays[name] = float(gap.max(initial=0.0)) if np.isfinite(gap).all() else float('inf')
    tokens = [arrays[name] == 0 for name in TOKENS if name in arrays]
    result: dict[str, Any] = {
        'arrays': arrays,
        'tokens_match': all(tokens) if tokens else None,
        'ok': bool(arrays) and all(gap <= limit(name) for name, gap in arrays.items()),
    }
    if unchecked:
        result['unchecked'] = unchecked
    return result


def run_verify(golden: str | Path, json_path: str | Path | None = None) -> bool:
    """Verify a golden folder, print the outcome, write it as JSON; returns whether all agree."""
    report = verify_golden(golden)
    for name, sample in report['samples'].items():
        print(_describe(name, sample))
    verdict = 'all within' if report['ok'] else 'NOT within'
    print(f'{report["golden"]}: {verdict} {TOLERANCE:g} ({WIDER} for whole-sequence logits)')
    if json_path is not None:
        Path(json_path).write_text(json.dumps(report, indent=1) + '\n', encoding='utf-8')
    return report['ok']


def _describe(name: str, sample: Mapping[str, Any]) -> str:
    if 'skipped' in sample:
        return f'{name}: skipped, {sample["skipped"]}'
    words = {True: ', tokens match', False: ', TOKENS DIFFER', None: ''}
    lines = [f'{name}: {"ok" if sample["ok"] else "DIFFERS"}{words[sample["tokens_match"]]}']
    for array, gap in sample['arrays'].items():
        lines.append(f'  {array:<32} {gap:.3g}{"" if gap <= limit(array) else "  <-- too far"}')
    lines += [f'  {array:<32} not checked' for array in sample.get('unchecked', [])]
    return '\n'.join(lines)
