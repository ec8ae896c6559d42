# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say on held-out recordings what a new gate is worth beside the rule and the gate before it.

Every gate is asked for the same mean reuse of the cached steps and sees the first step of a
recording whole, so only what it chooses differs. Lays nothing out: gate_page.py does.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from vla_cache_ros.action_distance import action_distance
from vla_cache_ros.action_distance import displacement
from vla_cache_ros.caching.gates import DenseGate
from vla_cache_ros.caching.gates import LearnedGate
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.caching.gates.gate_folder import FOLDER
from vla_cache_ros.caching.gates.gate_folder import load_gate_folder
from vla_cache_ros.caching.gates.gate_folder import SavedGate
from vla_cache_ros.policy import Policy
from vla_cache_ros.training.batches import instruction_embeddings
from vla_cache_ros.training.calibration import calibrate
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.training.sensitivity import precision
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.checkpoint import LoadedVLA

REUSES = (0.6, 0.85)  # measured beside the share that the new gate asks for by itself
DENSE, RULE, BEFORE, AFTER = 'dense', 'motion rule', 'before', 'after'
# Of n cached steps: the actions [n, C, A], normalised, and shares reused [n].
Answers = tuple[np.ndarray, np.ndarray]


def before_and_after(
    vla: LoadedVLA, recordings: Recordings, gate: Path, executed: int, poses: bool = True
) -> dict[str, Any]:
    """
    Return the figures of dense, rule, the checkpoint's own gate and the new one.

    gate: folder of the new gate. executed: actions of a chunk that count. poses: whether actions
    are, so that a displacement means something. Result: `rows`, one a
    gate and reuse; `episodes`, mean distance of each held-out episode at the default reuse;
    `default_reuse`.
    """
    folders = {BEFORE: vla.folder / FOLDER, AFTER: gate}
    config = vla.config
    model = {'fingerprint': vla.fingerprint, 'cameras': config.cameras, 'tokens': config.tokens}
    saved = {n: load_gate_folder(f, **model) for n, f in folders.items() if f.is_dir()}
    default, language = saved[AFTER].default_reuse, instruction_embeddings(vla, recordings)
    learned = {n: _recalibrated(gate, recordings, language) for n, gate in saved.items()}
    policy = Policy(vla, DenseGate())  # one for all gates: on a GPU it records every shape once
    dense = answers(policy, recordings, recordings.held_out)
    in_metres = vla.statistics().action.denormalize

    def row(name: str, reuse: float, found: Answers) -> dict[str, Any]:
        shown = None
        if poses:
            apart = displacement(in_metres(found[0]), in_metres(dense[0]), executed)
            shown = {'mean': float(apart.mean()), 'p90': float(np.quantile(apart, 0.9))}
        figures = summary(found, dense[0], executed)
        return {'gate': name, 'requested': reuse, **figures, 'displacement': shown}

    rows = [row(DENSE, 0.0, dense)]
    names = recordings.frames.table['episode']
    places = np.concatenate([names[run[1:]] for run in recordings.held_out])  # [n]
    errors: dict[str, np.ndarray] = {}
    for reuse in sorted({*REUSES, default}):
        gates = {RULE: make_gate('motion', reuse)}
        gates |= {name: LearnedGate(gate, reuse) for name, gate in learned.items()}
        for name, policy.gate in gates.items():
            found = answers(policy, recordings, recordings.held_out)
            rows.append(row(name, reuse, found))
            if reuse == default:
                errors[name] = action_distance(found[0], dense[0], executed)
    episodes = [
        {
            'instruction': recordings.instruction(np.flatnonzero(names == episode)[0]),
            'steps': int((places == episode).sum()),
            'distance': {n: float(error[places == episode].mean()) for n, error in errors.items()},
        }
        for episode in dict.fromkeys(places.tolist())
    ]
    return {'rows': rows, 'episodes': episodes, 'default_reuse': default}


def answers(policy: Policy, recordings: Recordings, runs: Sequence[np.ndarray]) -> Answers:
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
                actions.append(chunk.normalized)
                reuses.append(report.reuse)
    return np.stack(actions), np.array(reuses)


def summary(found: Answers, dense: np.ndarray, executed: int) -> dict[str, float]:
    """
    Return mean, median and 90th percentile of the distance, the share reused, the steps.

    dense: the dense model's actions `[n, C, A]`. weighed: the mean of the distance times how
    precise the motion has to be.
    """
    actions, reused = found
    distance = action_distance(actions, dense, executed)
    weights = precision(torch.from_numpy(dense[:, :executed])).numpy()
    return {
        'mean': float(distance.mean()),
        'weighed': float((distance * weights).mean()),
        'median': float(np.median(distance)),
        'p90': float(np.quantile(distance, 0.9)),
        'reused': float(reused.mean()),
        'steps': len(distance),
    }


def _recalibrated(saved: SavedGate, recordings: Recordings, language: dict) -> SavedGate:
    """Return a gate that reuses the same on these recordings as any other, first step whole."""
    calibration = calibrate(saved.network, recordings, language)
    return replace(saved, calibration=calibration, first_share=1.0)
