# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Load the policies of a comparison, warm them, and run one episode of one of them.

Knows no folder: who runs what, and where results go, is decided elsewhere.
"""

from collections.abc import Mapping
import time
from typing import Any

import torch
from vla_cache_ros.environments import Actor
from vla_cache_ros.environments import Environment
from vla_cache_ros.evaluation.closed_loop import run_episode
from vla_cache_ros.evaluation.closed_loop import WARMUP_INFERENCES
from vla_cache_ros.evaluation.comparison.entries import Entry
from vla_cache_ros.evaluation.comparison.folder import Record
from vla_cache_ros.reports.hardware import measured_on

GATE_SEED = 0  # of the gates' random numbers: the same in every process of a comparison


def load_policy(
    entry: Entry,
    checkpoint: str,
    device: str = 'cpu',
    dtype: str = 'float32',
    images: Mapping[str, Any] | None = None,
) -> Actor:
    """
    Load the policy of an entry; raises ValueError naming the entry.

    images: as of `Policy.from_pretrained`.
    """
    from vla_cache_ros.policy import Policy

    try:
        policy = Policy.from_pretrained(
            checkpoint,
            gate=entry.gate_argument,
            device=device,
            dtype=dtype,
            reuse=entry.reuse,
            seed=GATE_SEED,
            reuse_towers=None if entry.towers is None else bool(entry.towers),
            images=images,
        )
    except ValueError as error:
        raise ValueError(f'{entry.name}: {error}') from error
    for name, value in (('recovery', entry.recovery), ('first_share', entry.first)):
        if value is None:
            continue
        if not hasattr(policy.gate, name):
            raise ValueError(f'{entry.name}: expected a gate with {name}, got {entry.gate!r}')
        setattr(policy.gate, name, value)
    return policy


def warmed(policies: Mapping[Entry, Actor], world: Environment, seed: int) -> dict[Entry, Actor]:
    """Return the policies wrapped for a world; buffers are allocated, libraries' caches filled."""
    actors = {entry: world.wrap(policy) for entry, policy in policies.items()}
    for actor in actors.values():
        observation = world.reset(seed)
        for _ in range(WARMUP_INFERENCES):
            actor.act(observation)
    return actors


def machine_of(world: Environment) -> dict[str, Any]:
    """Return what a process says of itself and its world, once for all of its episodes."""
    return {
        **measured_on(),
        'facts': dict(world.facts()),
        'execute_steps': world.execute_steps,
        'control_frequency': world.control_frequency,
    }


def record_of(
    entry: Entry, actor: Actor, world: Environment, seed: int, shadow: Actor | None = None
) -> Record:
    """Run an episode of an entry and return its record, which names no process yet."""
    began = time.time()
    episode = run_episode(actor, world, seed, shadow)
    return Record('', *entry.key, episode, torch.get_num_threads(), began, time.time())
