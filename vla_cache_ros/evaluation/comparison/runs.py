# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Let policies take turns on the same seeds, and share the seeds with other processes.

Taking turns lets whatever else the machine does fall on all policies alike; the order changes from
seed to seed, so that what one leaves in the processor's caches does too. Knows no model.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import time

import torch
from tqdm import tqdm
from vla_cache_ros.environments import Actor
from vla_cache_ros.environments import Environment
from vla_cache_ros.evaluation.closed_loop import run_episode
from vla_cache_ros.evaluation.closed_loop import WARMUP_INFERENCES
from vla_cache_ros.evaluation.comparison.entries import Entry
from vla_cache_ros.evaluation.comparison.folder import ComparisonFolder
from vla_cache_ros.evaluation.comparison.folder import Record
from vla_cache_ros.evaluation.turns import turn_order
from vla_cache_ros.reports.hardware import hardware
from vla_cache_ros.reports.hardware import versions


def missing(folder: ComparisonFolder, entries: Sequence[Entry], seed: int) -> list[Entry]:
    """Return the entries without an episode of this seed, in the seed's order."""
    ordered = (entries[index] for index in turn_order(len(entries), seed))
    return [entry for entry in ordered if (*entry.key, seed) not in folder.records]


def warm_up(policies: Sequence[Actor], env: Environment, seed: int) -> None:
    """Let every policy allocate its buffers and fill the caches of the libraries."""
    for policy in policies:
        observation = env.reset(seed)
        for _ in range(WARMUP_INFERENCES):
            policy.act(observation)


def share_seeds(
    folder: ComparisonFolder,
    policies: Mapping[Entry, Actor],
    env: Environment,
    seeds: Sequence[int],
    shadow: Actor | None = None,
    shadowed: int = 0,
) -> int:
    """
    Run what is missing of every seed that no other process holds; return how many were held.

    shadow: acts along on the first `shadowed` seeds, for the action error.
    """
    machine = {
        'hardware': hardware(),
        'versions': versions(),
        'facts': dict(env.facts()),
        'execute_steps': env.execute_steps,
        'control_frequency': env.control_frequency,
    }
    entries = list(policies)
    held = 0
    with tqdm(seeds, unit='seed') as bar:
        for index, seed in enumerate(bar):
            with folder.claim(seed) as mine:
                if not mine:
                    held += 1
                    continue
                for entry in missing(folder, entries, seed):
                    bar.set_postfix_str(f'{seed}: {entry.name}')
                    began = time.time()
                    episode = run_episode(
                        policies[entry],
                        env,
                        seed,
                        shadow if index < shadowed else None,
                    )
                    record = Record(
                        run='',
                        label=entry.label,
                        requested_reuse=entry.reuse,
                        episode=episode,
                        threads=torch.get_num_threads(),
                        began=began,
                        ended=time.time(),
                    )
                    folder.append(record, machine)
    return held
