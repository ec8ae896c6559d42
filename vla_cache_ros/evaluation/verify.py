# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Compare a checkpoint with the golden outputs in its folder, as after a conversion.

A golden folder is a checkpoint with `manifest.json` and one `.npz` a sample, written by the
reference implementation. Knows which arrays must agree and how closely; computes none itself.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from functools import cache
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
import zipfile

import numpy as np
from vla_cache_ros.evaluation.flow_golden import FAMILIES
from vla_cache_ros.evaluation.flow_golden import flow_arrays
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
# Of flow models, relative to an array's largest value: the reference lies 4e-6 from a second one,
# and what is computed otherwise shows at 2e-4 or more.
FLOW_TOLERANCE = 2e-5
TOKENS = ('generated_ids', 'action_token_ids', 'step_argmax', 'lang_tokens')
_INPUTS = ('image', 'images', 'state', 'prompt_input_ids')
_MODES = {'l1': 'l1', 'discrete': 'discrete', 'film': 'l1'}  # mode -> action head


def verify_golden(folder: str | Path) -> dict[str, Any]:
    """
    Check every sample of a golden folder in float32.

    Returns `{golden, family, tolerance, wider, ok, samples}`; each sample is `{arrays: {name:
    largest absolute difference}, tokens_match: bool or None, ok: bool}`, or `{skipped: why}` where
    this package has no such model variant. Of SmolVLA, pi0 and pi0.5 differences are relative to
    an array's largest value. Raises CheckpointError for a folder that is no golden one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f'golden: expected a folder, found {str(folder)!r}')
    manifest = read_json(folder / 'manifest.json')
    family, known = manifest.get('family'), ('openvla', 'openvla-oft', *FAMILIES)
    if family not in known or not manifest.get('samples'):
        raise CheckpointError(
            f'{folder / "manifest.json"}: expected one of the families {", ".join(known)} and a '
            f'list of samples, found family {family!r}'
        )
    flow = family in FAMILIES

    @cache
    def load(variant: str = '', **oft: Any) -> LoadedVLA:
        with _with_variant(folder, variant) as place:
            return load_checkpoint(place, oft=oft or None, need_tokenizer=flow)

    samples = {
        Path(entry['file']).stem: _verify_sample(folder, manifest, entry, load)
        for entry in manifest['samples']
    }
    checked = [sample for sample in samples.values() if 'skipped' not in sample]
    return {
        'golden': folder.name,
        'family': family,
        'tolerance': FLOW_TOLERANCE if flow else TOLERANCE,
        'wider': {} if flow else WIDER,
        'ok': bool(checked) and all(sample['ok'] for sample in checked),
        'samples': samples,
    }


def _verify_sample(
    folder: Path,
    manifest: Mapping[str, Any],
    entry: Mapping[str, Any],
    load: Callable[..., LoadedVLA],
) -> dict[str, Any]:
    path, mode = folder / entry['file'], entry.get('mode')
    if manifest['family'] in FAMILIES:
        return compare(*flow_arrays(load(), _read_sample(path), entry), FLOW_TOLERANCE)
    if manifest['family'] == 'openvla':
        sample = _read_sample(path)
        return compare(sample, openvla_arrays(load(), sample))
    if mode not in _MODES:
        return {'skipped': f'this package does not run the {mode!r} variant of OpenVLA-OFT'}
    sample, loaded = _read_sample(path), load(mode, **_oft_options(manifest, entry))
    unnorm_key = entry.get('unnorm_key', manifest.get('unnorm_key'))
    return compare(sample, oft_arrays(loaded, sample, unnorm_key))


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
    mode = entry['mode']
    return {**options, 'action_head': _MODES[mode], 'film': mode == 'film'}


@contextmanager
def _with_variant(folder: Path, variant: str) -> Iterator[Path]:
    """Give a folder in which the files of its subfolder `variant`, if any, go before its own."""
    if not (variant and (folder / variant).is_dir()):
        yield folder
        return
    with TemporaryDirectory() as name:
        for path in (*folder.iterdir(), *(folder / variant).iterdir()):
            if path.is_file():
                link = Path(name, path.name)
                link.unlink(missing_ok=True)
                link.symlink_to(path.resolve())
        yield Path(name)


def _read_sample(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f'{path}: expected an .npz of plain arrays, found none or a damaged one ({error})'
        ) from error


def limit(name: str, relative: float | None = None) -> float:
    """Return the largest difference that an array may have; relative: that of every one."""
    return WIDER.get(name, TOLERANCE) if relative is None else relative


def compare(
    wanted: Mapping[str, np.ndarray],
    found: Mapping[str, np.ndarray],
    relative: float | None = None,
) -> dict[str, Any]:
    """
    Return the largest difference of each array of a sample and whether all agree.

    relative: what all may differ by, relative to their largest values; None leaves differences
    absolute. An array of another shape or with a non-finite difference counts as infinitely far;
    one that is not computed here is listed under `unchecked`.
    """
    outputs = {name: target for name, target in wanted.items() if name not in _INPUTS}
    arrays = {
        name: _gap(found[name], target) / (1 if relative is None else _largest(target))
        for name, target in outputs.items()
        if name in found
    }
    tokens = [arrays[name] == 0 for name in TOKENS if name in arrays]
    result: dict[str, Any] = {
        'arrays': arrays,
        'tokens_match': all(tokens) if tokens else None,
        'ok': bool(arrays) and all(gap <= limit(name, relative) for name, gap in arrays.items()),
    }
    if unchecked := [name for name in outputs if name not in found]:
        result['unchecked'] = unchecked
    return result


def _gap(found: np.ndarray, target: np.ndarray) -> float:
    """Return the largest absolute difference, infinite where there is none to be had."""
    if found.shape != target.shape:
        return float('inf')
    gap = np.abs(found.astype(np.float64) - target.astype(np.float64)).max(initial=0.0)
    return float(gap) if np.isfinite(gap) else float('inf')


def _largest(target: np.ndarray) -> float:
    return float(np.abs(target.astype(np.float64)).max(initial=0.0)) or 1.0


def run_verify(golden: str | Path, json_path: str | Path | None = None) -> bool:
    """Verify a golden folder, print the outcome, write it as JSON; returns whether all agree."""
    report = verify_golden(golden)
    relative = FLOW_TOLERANCE if report['family'] in FAMILIES else None
    for name, sample in report['samples'].items():
        print(_describe(name, sample, relative))
    verdict = 'all within' if report['ok'] else 'NOT within'
    how = f'{WIDER} for whole-sequence logits' if relative is None else 'of the largest value'
    print(f'{report["golden"]}: {verdict} {report["tolerance"]:g} ({how})')
    if json_path is not None:
        Path(json_path).write_text(json.dumps(report, indent=1) + '\n', encoding='utf-8')
    return report['ok']


def _describe(name: str, sample: Mapping[str, Any], relative: float | None) -> str:
    if 'skipped' in sample:
        return f'{name}: skipped, {sample["skipped"]}'
    words = {True: ', tokens match', False: ', TOKENS DIFFER', None: ''}
    lines = [f'{name}: {"ok" if sample["ok"] else "DIFFERS"}{words[sample["tokens_match"]]}']
    for array, gap in sample['arrays'].items():
        amount = f'{gap:.3g}' if np.isfinite(gap) else 'another shape, or not finite'
        lines.append(
            f'  {array:<32} {amount}{"" if gap <= limit(array, relative) else "  <-- too far"}'
        )
    lines += [f'  {array:<32} not checked' for array in sample.get('unchecked', [])]
    return '\n'.join(lines)
