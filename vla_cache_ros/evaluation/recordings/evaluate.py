# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Evaluate gates on recordings: a process per task at a time, then figures, page and table.

A task is a bag, or episodes of a data set. One that fails is reported, and the others go
on. Knows no model; `run` does the work.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import as_completed
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
import multiprocessing
from pathlib import Path
import sys
from typing import Any

import torch
from tqdm import tqdm
from vla_cache_ros.bags.colour import colour_notes
from vla_cache_ros.caching.gates import LEARNED
from vla_cache_ros.caching.gates import split_gate
from vla_cache_ros.caching.gates.gate_folder import find_gate
from vla_cache_ros.caching.gates.gate_folder import FOLDER
from vla_cache_ros.evaluation.comparison.compare import load_policy
from vla_cache_ros.evaluation.comparison.entries import DENSE
from vla_cache_ros.evaluation.comparison.entries import Entry
from vla_cache_ros.evaluation.comparison.entries import expand
from vla_cache_ros.evaluation.comparison.entries import fingerprint
from vla_cache_ros.evaluation.recordings.figures import bag_figures
from vla_cache_ros.evaluation.recordings.figures import live_lines
from vla_cache_ros.evaluation.recordings.figures import table
from vla_cache_ros.evaluation.recordings.moments import COUNT
from vla_cache_ros.evaluation.recordings.page import write_page
from vla_cache_ros.evaluation.recordings.run import BagResult
from vla_cache_ros.evaluation.recordings.run import run_bag
from vla_cache_ros.evaluation.recordings.tasks import BagTask
from vla_cache_ros.evaluation.recordings.tasks import Task
from vla_cache_ros.reports.files import begin_folder
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.hardware import hardware
from vla_cache_ros.reports.hardware import measured_on
from vla_cache_ros.vla.checkpoint import resolve
from vla_cache_ros.vla.device import check_device
from vla_cache_ros.vla.device import check_dtype
from vla_cache_ros.vla.quantized import DTYPES

OUTPUTS = ('report.html', 'report.json')


@dataclass(frozen=True)
class Model:
    """Say which policies are loaded: a checkpoint with several gates, dense first."""

    checkpoint: str
    entries: tuple[Entry, ...]
    device: str = 'cpu'
    dtype: str = 'float32'
    images: Mapping[str, Any] | None = None


def run_bags(
    tasks: Sequence[Task],
    checkpoint: str,
    gates: Sequence[str],
    reuses: Sequence[float],
    out: Path,
    processes: int | None = None,
    device: str = 'cpu',
    dtype: str = 'float32',
    images: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """
    Evaluate gates on bags or data sets, write `OUTPUTS` to `out`, print the table.

    Returns the figures. gates: entries as `parse_entry` reads them; dense is always run beside
    them. processes: at a time; None for one per core, or one where the model is on a GPU. images:
    as of `Policy.from_pretrained`. Raises ValueError for what is wrong with the arguments, before
    anything is loaded.
    """
    model = replace(_model(checkpoint, gates, reuses, device, dtype), images=images)
    begin_folder(out, OUTPUTS)
    cores = hardware()['cores']
    processes = min(processes or (cores if device == 'cpu' else 1), len(tasks))
    results, failed = _run(tasks, model, processes, max(1, cores // processes))
    for path, reason in failed.items():
        print(f'{path}: not evaluated: {reason}', file=sys.stderr)
    if not results:
        return {'bags': [], 'failed': failed}
    figures = _figures(tasks, model, results, failed, processes)
    moments = [moment for result in results for moment in result.moments]
    moments = sorted(moments, key=lambda moment: -moment.found.normalized)[:COUNT]
    write_json(out / 'report.json', figures)
    write_page(out / 'report.html', figures, moments)
    print(f'images: {figures["images"]}')
    print(table(figures).text())
    for line in live_lines(figures):
        print(line)
    kind = 'bags' if isinstance(tasks[0], BagTask) else 'parts'
    for bag in figures['bags']:
        if bag['damage']:
            print(f'{bag["path"]}: damaged: {bag["damage"]}')
        if bag['compression']:
            print(f'{bag["path"]}: {bag["compression"]}')
        for note in colour_notes(bag['notes']):
            print(f'{bag["path"]}: {note}')
    print(
        f'{figures["observations"]} observations of {figures["episodes"]} episodes in '
        f'{len(results)} of {len(tasks)} {kind}; distances over the actions '
        f'executed between two looks ({figures["execute_steps"]})'
    )
    if figures['gates'][0]['recorded']:
        print('to recorded: how far the same actions are from those in the data set')
    for name in OUTPUTS:
        print(out / name)
    return figures


def _model(
    checkpoint: str, gates: Sequence[str], reuses: Sequence[float], device: str, dtype: str
) -> Model:
    entries = [entry for entry in expand(gates, reuses) if entry.gate != DENSE]
    if dtype not in DTYPES:
        raise ValueError(f'dtype: expected one of {", ".join(DTYPES)}, got {dtype!r}')
    check_device(device)
    check_dtype(DTYPES[dtype], device)
    path = resolve(checkpoint)
    for entry in entries:
        name, folder = split_gate(entry.gate_argument, entry.reuse)
        if name in LEARNED:
            find_gate(folder or path / FOLDER)
    return Model(checkpoint, (Entry(DENSE, DENSE), *entries), device, dtype)


def _figures(
    tasks: Sequence[Task],
    model: Model,
    results: Sequence[BagResult],
    failed: Mapping[str, str],
    processes: int,
) -> dict[str, Any]:
    folder, bags = resolve(model.checkpoint), isinstance(tasks[0], BagTask)
    figures = bag_figures(results, [entry.name for entry in model.entries])
    for gate, entry in zip(figures['gates'], model.entries, strict=True):
        gate.update(entry.definition(folder))
    return {
        'checkpoint': folder.resolve().name,
        'checkpoint_fingerprint': fingerprint(folder),
        'execute_steps': tasks[0].executed,
        'state': tasks[0].state,
        'cadence': asdict(tasks[0].cadence),
        'topics': asdict(tasks[0].topics) if bags else {},
        'keys': {} if bags else asdict(tasks[0].keys),
        'images': results[0].images,
        'device': model.device,
        'dtype': model.dtype,
        'processes': processes,
        **figures,
        'failed': dict(failed),
        **measured_on(),
    }


def _run(
    tasks: Sequence[Task], model: Model, processes: int, threads: int
) -> tuple[list[BagResult], dict[str, str]]:
    """Return the results in the order of the tasks, and why the others failed."""
    spawn = multiprocessing.get_context('spawn')  # a forked torch may deadlock
    begin = {'initializer': _begin, 'initargs': (model, threads)}
    if processes == 1:  # in this process, which has loaded torch already
        executor = ThreadPoolExecutor(1, **begin)
    else:
        executor = ProcessPoolExecutor(processes, spawn, **begin)
    with executor as pool:
        futures = [pool.submit(_work, task) for task in tasks]
        try:
            for _ in tqdm(as_completed(futures), total=len(futures), unit='recording'):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    results: list[BagResult] = []
    failed: dict[str, str] = {}
    for task, future in zip(tasks, futures, strict=True):
        error = future.exception()
        if error is None:
            results.append(future.result())
        else:
            reason = ' '.join(str(error).split()) or type(error).__name__
            failed[task.name] = reason.removeprefix(f'{task.path}: ')
    return results, failed


_worker: dict[str, Any] = {}  # what all bags of a process share


def _begin(model: Model, threads: int) -> None:
    torch.set_num_threads(min(threads, torch.get_num_threads()))
    _worker.clear()
    _worker['model'] = model


def _work(task: Task) -> BagResult:
    if 'policies' not in _worker:  # here, so that an error belongs to a bag and is told
        model: Model = _worker['model']
        _worker['policies'] = {
            entry: load_policy(entry, model.checkpoint, model.device, model.dtype, model.images)
            for entry in model.entries
        }
    return run_bag(task, _worker['policies'], multiprocessing.parent_process() is None)
