# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Collect labelled frames from the embedded robot, to shards on disk.

Every frame is labelled by rolling the expert out from that very state and going back, so the
label is exact whoever drives: the expert with disturbances, or the model being trained (DAgger).
Knows the simulator's privileged state; knows nothing of how the frames are used.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm
from vla_cache_ros.environments.tabletop.robot import CAMERAS
from vla_cache_ros.environments.tabletop.robot import EXECUTE_STEPS
from vla_cache_ros.environments.tabletop.robot import Tabletop
from vla_cache_ros.environments.tabletop.tasks import TASKS
from vla_cache_ros.policy import Policy
from vla_cache_ros.training.frames import ShardWriter
from vla_cache_ros.types import Observation

from recipes.domains import TABLETOP
from recipes.patch_shares import patch_shares
from recipes.patch_targets import frame_targets
from recipes.tabletop.expert import expert_action
from recipes.tabletop.expert import MAX_STEP
from recipes.turns import InTurns

CHUNK = 8
TASK_NAMES = tuple(TASKS)
Actor = Callable[[Tabletop, Observation, np.ndarray], np.ndarray]


def geom_classes(env: Tabletop) -> np.ndarray:
    """Return the class index of every geom id; see `patch_shares`."""
    table = np.zeros(env.model.ngeom + 1, np.uint8)
    for geom in range(env.model.ngeom):
        name = env.model.geom(geom).name
        if name in TABLETOP.objects:
            table[geom] = TABLETOP.classes.index(name)
        elif env.model.geom_group[geom] == 1:
            table[geom] = TABLETOP.classes.index('arm')
    return table


def expert_chunk(env: Tabletop) -> np.ndarray:
    """Return the expert's next actions [8, 7] from here, leaving the simulation as it was."""
    before = env.snapshot()
    actions = np.empty((CHUNK, 7))
    for step in range(CHUNK):
        actions[step] = expert_action(env)
        env.step(actions[step])
    env.restore(before)
    return actions


def disturbed_expert(rng: np.random.Generator) -> Actor:
    """Return an actor that follows the expert, but is often pushed somewhere else."""

    def act(env: Tabletop, observation: Observation, chunk: np.ndarray) -> np.ndarray:
        actions = chunk[: rng.integers(2, EXECUTE_STEPS + 1)].copy()
        actions[:, :3] += rng.normal(0, 0.003, (len(actions), 3))
        if rng.random() < 0.25:
            direction = rng.normal(size=3) * [1, 1, 0.7]
            push = direction / np.linalg.norm(direction) * MAX_STEP * rng.uniform(0.2, 1.2)
            actions[:, :3] = push
            actions[:, 5] = rng.uniform(-0.05, 0.05)
            if rng.random() < 0.25:
                actions[:, 6] = rng.integers(2)
        return actions

    return act


def model_actor(policy: Policy | InTurns, rng: np.random.Generator) -> Actor:
    """Return an actor that follows the model being trained, slightly disturbed (DAgger)."""

    def act(env: Tabletop, observation: Observation, chunk: np.ndarray) -> np.ndarray:
        if env.time == 0.0:
            policy.reset()
        seen = replace(observation, images=observation.images[: policy.num_images])
        actions = policy.act(seen)[0].actions[:EXECUTE_STEPS].copy()
        actions[:, :3] += rng.normal(0, 0.002, (len(actions), 3))
        return actions

    return act


def collect(
    directory: Path, frames: int, seed: int, actor: Actor, shard: int = 500, first: int = 0
) -> float:
    """
    Run episodes from seed on, store frames and return the share of episodes that succeeded.

    A frame: images uint8 [2, 224, 224, 3], proprio float32 [8], actions float32 [8, 7], task int,
    episode int, instruction, shares uint8 [2, 256, 10] and the columns of `frame_targets`, in the
    base frame.
    """
    env = Tabletop()
    classes, count = geom_classes(env), len(TABLETOP.classes)
    writer = ShardWriter(Path(directory), shard, first)
    written = episode = successes = 0
    with tqdm(total=frames, unit='frame', mininterval=5) as progress:
        while written < frames:
            env.reset_state(seed + episode)
            steps = 0
            while steps < env.max_steps and not env.success() and written < frames:
                observation = env.observe()
                chunk = expert_chunk(env)
                shares = np.stack(
                    [patch_shares(env.render(c, True), classes, count) for c in CAMERAS]
                )
                writer.add(
                    images=np.stack(observation.images),
                    proprio=observation.proprio,
                    actions=chunk.astype(np.float32),
                    task=np.int32(TASK_NAMES.index(env.task.name)),
                    episode=np.int32(seed + episode),
                    instruction=np.str_(env.task.instruction),
                    shares=shares,
                    **_targets(env, shares),
                )
                written += 1
                progress.update()
                for action in actor(env, observation, chunk):
                    env.step(action)
                    steps += 1
            successes += env.success()
            episode += 1
    env.close()
    return successes / max(1, episode)


def _targets(env: Tabletop, shares: np.ndarray) -> dict[str, np.ndarray]:
    places = np.stack([env.data.body(name).xpos for name in TABLETOP.objects])
    names = f'cube_{env.task.cube}', f'plate_{env.task.plate}'
    aims = tuple(TABLETOP.objects.index(n) if n in TABLETOP.objects else -1 for n in names)
    points = [places[aim] if aim >= 0 else np.full(3, np.nan) for aim in aims]
    return frame_targets(shares, places, aims, np.stack(points))
