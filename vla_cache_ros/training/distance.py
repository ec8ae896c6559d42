# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure on held-out recordings how far cached actions are from the dense model's.

Quicker and less noisy than success, and needs no robot. Also measures two choosers that no robot
can have, which know each token's effect (`training/sensitivity.py`): what a gate could reach.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from vla_cache_ros.caching.gates import DenseGate
from vla_cache_ros.evaluation.closed_loop import write_json
from vla_cache_ros.policy import Policy
from vla_cache_ros.reports.hardware import hardware
from vla_cache_ros.reports.hardware import versions
from vla_cache_ros.training.masked import masked_step
from vla_cache_ros.training.masked import StaleCache
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.training.sensitivity import EXECUTED
from vla_cache_ros.training.sensitivity import precision
from vla_cache_ros.training.sensitivity import sensitivity
from vla_cache_ros.training.teacher import batch_inputs
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.checkpoint import resolve
from vla_cache_ros.vla.config import PATCHES_PER_IMAGE

# Where between the cached (0) and the new (1) keys and values the effect is measured.
KNOWING = {'effects': 0.5, 'effects-when-new': 1.0}
# Of n cached steps: the executed actions [n, E, A], normalised, and shares reused [n].
Answers = tuple[np.ndarray, np.ndarray]


def run_distance(
    checkpoint: str,
    directories: list[Path],
    gates: Sequence[str],
    reuses: Sequence[float],
    recordings: int,
    json_path: Path | None,
    executed: int = EXECUTED,
) -> list[dict[str, object]]:
    """
    Print and write the distance of each gate at each reuse over the first held-out recordings.

    gates: as for `vla-cache evaluate`, or one of KNOWING. Distances are mean absolute differences
    of the first `executed` actions, normalised, per cached step; a recording's first step is full.
    """
    held_out = Recordings(directories)
    runs = held_out.held_out[:recordings]
    vla = load_checkpoint(resolve(checkpoint))
    vla.model.requires_grad_(requires_grad=False)
    dense, _ = answers(Policy(vla, DenseGate()), held_out, runs, executed)
    rows = []
    for gate in gates:
        for reuse in reuses:
            if gate in KNOWING:
                found = knowing_answers(vla, held_out, runs, reuse, KNOWING[gate], executed)
            else:
                policy = Policy.from_pretrained(checkpoint, gate=gate, reuse=reuse)
                found = answers(policy, held_out, runs, executed)
            rows.append({'gate': gate, 'reuse': reuse, **summary(found, dense)})
            print(
                '{gate:<20} {reuse:.2f}  mean {mean:.4f}  median {median:.4f}  p90 {p90:.4f}  '
                'weighed {weighed:.4f}  '
                'reused {reused:.3f}  n {steps}'.format(**rows[-1]),
                flush=True,
            )
    if json_path is not None:
        facts = {'checkpoint': checkpoint, 'recordings': len(runs), 'digest': held_out.digest}
        write_json(
            json_path, {**facts, 'rows': rows, 'hardware': hardware(), 'versions': versions()}
        )
    return rows


def summary(found: Answers, dense: np.ndarray) -> dict[str, float]:
    """
    Return mean, median and 90th percentile of the distance, the share reused, the steps.

    dense: the dense model's actions `[n, E, A]`. weighed: the mean of the distance times how
    precise the motion has to be.
    """
    actions, reused = found
    distance = np.abs(actions - dense).mean((1, 2))
    weights = precision(torch.from_numpy(dense)).numpy()
    return {
        'mean': float(distance.mean()),
        'weighed': float((distance * weights).mean()),
        'median': float(np.median(distance)),
        'p90': float(np.quantile(distance, 0.9)),
        'reused': float(reused.mean()),
        'steps': len(distance),
    }


def answers(
    policy: Policy, recordings: Recordings, runs: Sequence[np.ndarray], executed: int
) -> Answers:
    """Return what a policy answers at every step but the recordings' first, as it runs live."""
    actions, reuses = [], []
    for run in runs:
        policy.reset()
        for place, frame in enumerate(run):
            observation = Observation(
                tuple(recordings.frames.images(np.array([frame]))[0]),
                recordings.instruction(frame),
                recordings.proprio(frame),
            )
            chunk, report = policy.act(observation)
            if place:
                actions.append(chunk.normalized[:executed])
                reuses.append(report.reuse)
    return np.stack(actions), np.array(reuses)


def knowing_answers(
    vla: LoadedVLA,
    recordings: Recordings,
    runs: Sequence[np.ndarray],
    reuse: float,
    at: float,
    executed: int,
) -> Answers:
    """Return what a chooser answers that knows the effects, measured at `at`."""
    noise = torch.Generator().manual_seed(0)
    actions, reuses = [], []
    for run in runs:
        cache = StaleCache()
        for place, frame in enumerate(run):
            inputs = batch_inputs(vla, recordings, np.array([frame]))
            full = torch.ones(1, vla.config.cameras * PATCHES_PER_IMAGE)
            if not place:
                with torch.no_grad():
                    masked_step(vla.model, *inputs, full, cache)
                continue
            effects = sum(
                sensitivity(vla.model, inputs, cache, noise, at, executed=executed)[0]
                for _ in range(4)
            )
            mask = torch.zeros_like(full)
            mask[0, effects[0].topk(round(full.numel() * (1 - reuse))).indices] = 1
            with torch.no_grad():
                found = masked_step(vla.model, *inputs, mask, cache)
            actions.append(found[0, :executed].numpy())
            reuses.append(1 - float(mask.mean()))
    return np.stack(actions), np.array(reuses)
