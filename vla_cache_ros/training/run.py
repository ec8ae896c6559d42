# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Train a gate from start to end: load the model, keep frames, train, report on held-out episodes.

Joins what the others do. Knows where recordings come from, and not how a gate learns.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import csv
from dataclasses import replace
from pathlib import Path
import sys
import time
from typing import Any

import torch
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.hardware import measured_on
from vla_cache_ros.training.bag_recordings import Elsewhere
from vla_cache_ros.training.bag_recordings import facts_of
from vla_cache_ros.training.bag_recordings import record_bags
from vla_cache_ros.training.bag_recordings import Source
from vla_cache_ros.training.gate import GateTrainer
from vla_cache_ros.training.gate_page import as_text
from vla_cache_ros.training.gate_page import write_page
from vla_cache_ros.training.gate_report import before_and_after
from vla_cache_ros.training.loop import join_processes
from vla_cache_ros.training.loop import own_device
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.training.settings import GateTraining
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import LoadedVLA

HELD_OUT = 0.2  # share of the episodes: they are few, and the report is on them alone


def train_on_demonstrations(
    checkpoint: str,
    directories: Sequence[Path],
    out: Path,
    training: GateTraining,
    device: str = 'cpu',
) -> None:
    """Train a gate on folders of demonstrations and write OUT/gate."""
    place = own_device(join_processes(device), device)
    vla = as_recorded(model_to_train_through(checkpoint, device=place))
    GateTrainer(vla, Recordings(directories), out, training).train()


def train_on_bags(
    checkpoint: str,
    source: Source,
    out: Path,
    training: GateTraining,
    held_out: int | None = None,
    unnorm_key: str | None = None,
    device: str = 'cpu',
    images: Mapping[str, Any] | None = None,
    elsewhere: Elsewhere | None = None,
) -> None:
    """
    Train a gate on recordings; write OUT/recordings, OUT/gate and OUT/report.html and .json.

    held_out: how many of the last episodes, HELD_OUT of them if None. unnorm_key: data set
    whose statistics scale state and actions. images: as of `Policy.from_pretrained`. elsewhere:
    records bags in place of this process.
    """
    began = [time.perf_counter()]
    accelerator = join_processes(device)
    place = own_device(accelerator, device)
    vla = model_to_train_through(checkpoint, unnorm_key, place, images)
    config, poses = vla.config, source.poses(len(vla.statistics().action))
    source = replace(source, paths=vla.images.walked)
    source = source.fitted(config.cameras, vla.camera_names, config.proprio_dim)
    needs_state = config.proprio_dim > 0
    with accelerator.main_process_first():
        into = out / 'recordings'
        folders = record_bags(source, config.cameras, needs_state, into, elsewhere)
    bags = [facts_of(folder) for folder in folders]
    count = sum(bag['episodes'] for bag in bags)
    if held_out is None:
        held_out = max(1, round(HELD_OUT * count))
    recordings, seen = Recordings(folders, held_out), str(vla.images)
    vla = as_recorded(vla)
    began.append(time.perf_counter())
    trainer = GateTrainer(vla, recordings, out, training)
    began.append(time.perf_counter())
    trainer.train()
    began.append(time.perf_counter())
    if not accelerator.is_main_process:
        return
    figures = before_and_after(vla, recordings, out / 'gate', training.execute_steps, poses)
    began.append(time.perf_counter())
    stages = ('recording', 'walks', 'training', 'report')
    spans = (end - begin for begin, end in zip(began, began[1:], strict=False))
    figures |= {
        'parameter': f'learned@{out / "gate"}',
        'checkpoint': checkpoint,
        'fingerprint': vla.fingerprint,
        'training': vars(trainer.training),
        'training_episodes': recordings.episodes,
        'held_out_episodes': recordings.held_out_episodes,
        'digest': recordings.digest,
        'bags': bags,
        'images': seen,
        'period': bags[0]['cadence']['period'],
        'offsets': source.offsets,
        'curve': _first_stage(out / 'gate.csv'),
        'seconds': dict(zip(stages, spans, strict=True)),
        'processes': accelerator.num_processes,
        'device': str(place),
        'command': ' '.join(['vla-cache', *sys.argv[1:]]),
        **measured_on(),
    }
    write_json(out / 'report.json', figures)
    write_page(out / 'report.html', figures)
    print(
        f'\n{as_text(figures)}\n\nreport {out / "report.html"}\n'
        f'in the parameter file: gate: {figures["parameter"]}'
    )


def as_recorded(vla: LoadedVLA) -> LoadedVLA:
    """Return the model for frames of recordings, which have its image path behind them."""
    return replace(vla, images=vla.images.as_seen())


def model_to_train_through(
    checkpoint: str,
    unnorm_key: str | None = None,
    device: str | torch.device = 'cpu',
    images: Mapping[str, Any] | None = None,
) -> LoadedVLA:
    """
    Load a model, frozen, with the statistics of one data set.

    Raises ValueError where its actions cannot be taught with, CheckpointError where the key is
    needed.
    """
    vla = load_checkpoint(checkpoint, device=str(device), images=images)
    found = None
    if vla.config.head is not None and vla.config.flow is None:
        found = f'the head of {vla.family}'
    elif vla.model.action_head is None and vla.config.oft is not None:
        found = 'tokens in chunks'
    elif vla.config.film:
        found = 'FiLM, whose towers depend on the instruction'
    if found:
        raise ValueError(
            f'{checkpoint}: expected an L1 action head, action tokens one after the other or '
            f'a flow, and towers without FiLM, found {found}'
        )
    key = vla.statistics(unnorm_key).key
    return replace(vla, norm_stats={key: vla.norm_stats[key]})


def _first_stage(curve: Path) -> list[dict[str, float]]:
    """Return update, loss and covered share of every segment of stage I; [] without one."""
    if not curve.exists():
        return []
    with curve.open(newline='') as file:
        rows = [row for row in csv.DictReader(file) if row['stage'] == '1']
    return [{name: float(row[name]) for name in ('update', 'loss', 'covered')} for row in rows]
