# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Evaluate gates on recordings, several at a time, then write figures, page and table.

A recording that fails is reported, and the others go on; what each gave is kept in the folder, so
a second start does what is left. Knows no model and no recording: a task runs itself.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
import json
from pathlib import Path
import sys
from typing import Any
from typing import Protocol

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
from vla_cache_ros.evaluation.recordings.gathered import Gathered
from vla_cache_ros.evaluation.recordings.kept import FOLDER as RESULTS
from vla_cache_ros.evaluation.recordings.kept import KeptResults
from vla_cache_ros.evaluation.recordings.page import write_page
from vla_cache_ros.evaluation.recordings.run import BagResult
from vla_cache_ros.fleet.jobs import Job
from vla_cache_ros.fleet.jobs import Runner
from vla_cache_ros.fleet.local import LocalProcesses
from vla_cache_ros.reports.files import begin_folder
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.hardware import code
from vla_cache_ros.reports.hardware import hardware
from vla_cache_ros.reports.hardware import measured_on
from vla_cache_ros.vla.checkpoint import resolve
from vla_cache_ros.vla.device import check_device
from vla_cache_ros.vla.device import check_dtype
from vla_cache_ros.vla.quantized import DTYPES

OUTPUTS = ('report.html', 'report.json')


class Task(Protocol):
    """Say what is run on one recording, as a record of plain values."""

    path: Path

    def run(self, policies: Mapping[Entry, Any], progress: bool = False) -> BagResult:
        """Let the policies act along the recording; raises ValueError where they cannot."""
        ...

    def identity(self) -> dict[str, Any]:
        """Return as JSON values what the result depends on."""
        ...

    def description(self) -> dict[str, Any]:
        """Return as JSON values how recordings were looked at, for the report."""
        ...


@dataclass(frozen=True)
class Model:
    """
    Say which policies are loaded: a checkpoint with several gates, dense first.

    threads: of torch, in each process. progress: whether one shows how far it is with a recording.
    """

    checkpoint: str
    entries: tuple[Entry, ...]
    device: str = 'cpu'
    dtype: str = 'float32'
    images: Mapping[str, Any] | None = None
    threads: int = 1
    progress: bool = False


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
    runner: Runner | None = None,
) -> dict[str, Any]:
    """
    Evaluate gates on bags or data sets, write `OUTPUTS` to `out`, print the table.

    Returns the figures. What each task gave is kept in `out` too, and not measured again.

    gates: entries as `parse_entry` reads them; dense is always run beside them. processes: at a
    time; None for one per core, or one where the model is on a GPU. images: as of
    `Policy.from_pretrained`. runner: where bags are run, in place of processes here. Raises
    ValueError for what is wrong with the arguments, before anything is loaded.
    """
    model = _model(checkpoint, gates, reuses, device, dtype, here=runner is None)
    model = replace(model, images=images)
    begin_folder(out, OUTPUTS)
    if runner is None:
        cores = hardware()['cores']
        processes = min(processes or (cores if device == 'cpu' else 1), len(tasks))
        model = replace(model, threads=max(1, cores // processes), progress=processes == 1)
        runner = LocalProcesses(processes)
    placed = {'device': device, 'dtype': dtype, 'images': images}
    kept = KeptResults(out / RESULTS, {**_same(model), **placed})
    gathered = _run(tasks, model, kept, runner)
    results, failed = gathered.results(), gathered.failed([task.name for task in tasks])
    for path, reason in failed.items():
        print(f'{path}: not evaluated: {reason}', file=sys.stderr)
    if not results:
        return {'bags': [], 'failed': failed}
    figures = _figures(tasks, model, gathered, failed, runner.processes)
    write_json(out / 'report.json', figures)
    write_page(out / 'report.html', figures, gathered.moments())
    print(f'images: {figures["images"]}')
    print(table(figures).text())
    for line in live_lines(figures):
        print(line)
    for bag in figures['bags']:
        if bag['damage']:
            print(f'{bag["path"]}: damaged: {bag["damage"]}')
        if bag['compression']:
            print(f'{bag["path"]}: {bag["compression"]}')
        for note in colour_notes(bag['notes']):
            print(f'{bag["path"]}: {note}')
    print(
        f'{figures["observations"]} observations of {figures["episodes"]} episodes in '
        f'{len(results)} of {len(tasks)} {tasks[0].kind}; distances over the actions '
        f'executed between two looks ({figures["execute_steps"]})'
    )
    if figures['gates'][0]['recorded']:
        print('to recorded: how far the same actions are from those in the data set')
    for name in OUTPUTS:
        print(out / name)
    return figures


def _model(
    checkpoint: str,
    gates: Sequence[str],
    reuses: Sequence[float],
    device: str,
    dtype: str,
    here: bool,
) -> Model:
    """Return what is loaded; here: whether in this machine, which is looked at then."""
    entries = [entry for entry in expand(gates, reuses) if entry.gate != DENSE]
    if dtype not in DTYPES:
        raise ValueError(f'dtype: expected one of {", ".join(DTYPES)}, got {dtype!r}')
    if here:
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
    gathered: Gathered,
    failed: Mapping[str, str],
    processes: int,
) -> dict[str, Any]:
    folder, results = resolve(model.checkpoint), gathered.results()
    figures = bag_figures(results, [entry.name for entry in model.entries])
    for gate, entry in zip(figures['gates'], model.entries, strict=True):
        gate.update(entry.definition(folder))
    return {
        'checkpoint': folder.resolve().name,
        'checkpoint_fingerprint': fingerprint(folder),
        **tasks[0].description(),
        'images': results[0].images,
        'device': model.device,
        'dtype': model.dtype,
        'processes': processes,
        **figures,
        'failed': dict(failed),
        **gathered.measured(),
    }


def _run(tasks: Sequence[Task], model: Model, kept: KeptResults, runner: Runner) -> Gathered:
    """Run the tasks of which no result was kept; keep what they give."""
    gathered, left = Gathered(), []
    identities = [task.identity() for task in tasks]
    for index, identity in enumerate(identities):
        found = kept.find(identity)
        if found is None:
            left.append(index)
        else:
            gathered.add(index, *found)
    if len(left) < len(tasks):
        print(
            f'{len(tasks) - len(left)} of {len(tasks)} {tasks[0].kind} were evaluated before: '
            f'remove {kept.folder} to run them again'
        )
    job = Job(model, _begin, _work, _same, gpu=model.device != 'cpu')
    outcomes = runner.run(job, [tasks[index] for index in left]) if left else ()
    with tqdm(outcomes, total=len(left), unit='recording', disable=not left) as bar:
        for outcome in bar:
            bar.set_postfix_str(runner.status)
            index = left[outcome.index]
            if outcome.error:
                gathered.fail(index, outcome.error)
                continue
            result, machine = outcome.result
            gathered.add(index, result, machine)
            kept.keep(identities[index], result, machine)
    return gathered


def _same(model: Model) -> dict[str, str]:
    """Return what a result depends on beside its task: versions, weights and gates."""
    folder = resolve(model.checkpoint)
    gates = [entry.definition(folder) for entry in model.entries]
    return {
        **code(),
        'checkpoint fingerprint': fingerprint(folder),
        'gates': json.dumps(gates),
    }


def _begin(model: Model) -> tuple[Model, dict[Entry, Any]]:
    torch.set_num_threads(min(model.threads, torch.get_num_threads()))
    return model, {
        entry: load_policy(entry, model.checkpoint, model.device, model.dtype, model.images)
        for entry in model.entries
    }


def _work(shared: tuple[Model, dict[Entry, Any]], task: Task) -> Iterator[Any]:
    model, policies = shared
    yield task.run(policies, model.progress), measured_on()
