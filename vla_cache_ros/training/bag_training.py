# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Train a gate on bags from start to end: record, train, and report on the held-out episodes.

Joins what the others do. Knows where recordings come from, and not how a gate learns.
"""

from pathlib import Path
import sys
import time

from vla_cache_ros.evaluation.closed_loop import write_json
from vla_cache_ros.reports.hardware import hardware
from vla_cache_ros.reports.hardware import versions
from vla_cache_ros.training import gate_curve
from vla_cache_ros.training.bag_recordings import BagSource
from vla_cache_ros.training.bag_recordings import facts_of
from vla_cache_ros.training.bag_recordings import record_bags
from vla_cache_ros.training.gate import GateTrainer
from vla_cache_ros.training.gate_page import as_text
from vla_cache_ros.training.gate_page import write_page
from vla_cache_ros.training.gate_report import before_and_after
from vla_cache_ros.training.gate_run import model_to_train_through
from vla_cache_ros.training.gate_settings import GateTraining
from vla_cache_ros.training.processes import join_processes
from vla_cache_ros.training.processes import mean_over_processes
from vla_cache_ros.training.recordings import Recordings

HELD_OUT = 0.2  # share of the episodes: they are few, and the report is on them alone


def train_on_bags(
    checkpoint: str,
    source: BagSource,
    out: Path,
    training: GateTraining,
    held_out: int | None = None,
    unnorm_key: str | None = None,
) -> None:
    """
    Train a gate on bags; write OUT/recordings, OUT/gate, OUT/report.html and OUT/report.json.

    held_out: how many of the last episodes, HELD_OUT of them if None. unnorm_key: data set
    whose statistics scale state and actions.
    """
    began = [time.perf_counter()]
    vla = model_to_train_through(checkpoint, unnorm_key)
    needs_state = vla.model.proprio_projector is not None
    arguments = (source, vla.config.cameras, needs_state, out / 'recordings')
    rank, world = join_processes()
    if rank == 0:
        record_bags(*arguments)
    mean_over_processes((0.0,), world)  # waits for all
    folders = record_bags(*arguments)
    bags = [facts_of(folder) for folder in folders]
    count = sum(bag['episodes'] for bag in bags)
    if held_out is None:
        held_out = max(1, round(HELD_OUT * count))
    recordings = Recordings(folders, held_out)
    began.append(time.perf_counter())
    trainer = GateTrainer(vla, recordings, out, training)
    began.append(time.perf_counter())
    trainer.train()
    began.append(time.perf_counter())
    if rank > 0:
        return
    figures = before_and_after(vla, recordings, out / 'gate', training.execute_steps)
    began.append(time.perf_counter())
    stages = ('recording', 'walks', 'training', 'report')
    spans = (end - begin for begin, end in zip(began, began[1:], strict=False))
    figures |= {
        'parameter': f'learned@{out / "gate"}',
        'checkpoint': checkpoint,
        'fingerprint': vla.fingerprint,
        'training': vars(training),
        'training_episodes': recordings.episodes,
        'held_out_episodes': recordings.held_out_episodes,
        'digest': recordings.digest,
        'bags': bags,
        'period': source.cadence.period,
        'offsets': source.offsets,
        'curve': gate_curve.first_stage(out / 'gate.csv'),
        'seconds': dict(zip(stages, spans, strict=True)),
        'processes': world,
        'command': ' '.join(['vla-cache', *sys.argv[1:]]),
        'hardware': hardware(),
        'versions': versions(),
    }
    write_json(out / 'report.json', figures)
    write_page(out / 'report.html', figures)
    print(
        f'\n{as_text(figures)}\n\nreport {out / "report.html"}\n'
        f'in the parameter file: gate: {figures["parameter"]}'
    )
