# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Collect labelled frames of LIBERO-Object, to shards on disk.

As in demonstrations.py: every frame is labelled by rolling the expert out from that very state and
going back, whoever drives. Initial states are drawn as the published ones were, which evaluations
keep to themselves. Knows the simulator's privileged state and nothing of how frames are used.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from tqdm import tqdm
from vla_cache_ros.environments.environment import Setup
from vla_cache_ros.environments.libero import CAMERAS
from vla_cache_ros.environments.libero import IMAGE_PATH
from vla_cache_ros.environments.libero import Libero
from vla_cache_ros.environments.libero import RENDER_SIZE
from vla_cache_ros.policy import Policy
from vla_cache_ros.training.frames import ShardWriter
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.config import IMAGE_SIZE
from vla_cache_ros.vla.config import PATCHES_PER_IMAGE

from recipes.domains import LIBERO_OBJECT
from recipes.libero_object.expert import Expert
from recipes.patch_shares import patch_shares

SUITE = 'libero_object'
SEEN = CAMERAS[: LIBERO_OBJECT.cameras]
CHUNK = 8
NOISE = 0.08  # of the executed actions, in the controller's input of -1 to 1
HELPED = 0.3  # share of a student's decisions that the expert takes, to come to the later ones
IN_A_ROW = 4  # episodes of a task
PUSHED = 0.3  # share of the decisions after which the arm is pushed somewhere
# observation, the expert's chunk, whether an episode begins -> actions, ages of the visual tokens
Actor = Callable[[Observation, np.ndarray, bool], tuple[np.ndarray, np.ndarray]]


class ExpertRollout:
    """Say what the expert would do for a chunk from here, and leave everything as it was."""

    def __init__(self, env: Libero) -> None:
        """Prepare for the present task of the environment."""
        self._env, self._expert = env, Expert(env.sim_env)

    def chunk(self) -> np.ndarray:
        """Return the expert's next actions [8, 7]."""
        before = snapshot(self._env)
        actions = np.empty((CHUNK, 7))
        for step in range(CHUNK):
            actions[step] = self._expert.action()
            self._env.step(actions[step])
        restore(self._env, before)
        return actions


def snapshot(env: Libero) -> tuple[Any, ...]:
    """Return all that an episode goes on from, for restore()."""
    inner = env.sim_env.env
    model, data = inner.sim.model._model, inner.sim.data._data
    kind = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.empty(mujoco.mj_stateSize(model, kind))
    mujoco.mj_getState(model, data, state, kind)
    robot = inner.robots[0]
    controller = {
        name: np.copy(value) if isinstance(value, np.ndarray) else value
        for name, value in vars(robot.controller).items()
    }
    observables = {n: dict(vars(o)) for n, o in inner._observables.items()}
    times = inner.timestep, inner.cur_time, inner.done
    own = env._last, env._since, env._done, set(env._seen)
    return state, controller, np.copy(robot.gripper.current_action), observables, times, own


def restore(env: Libero, before: tuple[Any, ...]) -> None:
    """Go back to a snapshot of the same episode."""
    inner = env.sim_env.env
    model, data = inner.sim.model._model, inner.sim.data._data
    state, controller, gripper, observables, times, own = before
    mujoco.mj_setState(model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
    mujoco.mj_forward(model, data)
    robot = inner.robots[0]
    for name, value in controller.items():
        setattr(robot.controller, name, value)
    robot.gripper.current_action = gripper
    for name, values in observables.items():
        vars(inner._observables[name]).update(values)
    inner.timestep, inner.cur_time, inner.done = times
    env._last, env._since, env._done, env._seen = own


def disturbed_expert(rng: np.random.Generator) -> Actor:
    """Return an actor that follows the expert, but is often pushed somewhere else."""

    def act(
        observation: Observation, chunk: np.ndarray, begins: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        actions = chunk[: rng.integers(2, CHUNK + 1)].copy()
        actions[:, :3] += rng.normal(0, NOISE, (len(actions), 3))
        if rng.random() < PUSHED:
            direction = rng.normal(size=3) * [1, 1, 0.7]
            actions[:, :3] = direction / np.linalg.norm(direction) * rng.uniform(0.2, 1.0)
            actions[:, 5] = rng.uniform(-0.3, 0.3)
            if rng.random() < 0.2:
                actions[:, 6] = rng.integers(2)
        return actions, np.zeros(len(SEEN) * PATCHES_PER_IMAGE, np.uint8)

    return act


def model_actor(policy: Policy, rng: np.random.Generator) -> Actor:
    """Return an actor that follows the model being trained, slightly disturbed (DAgger)."""

    def act(
        observation: Observation, chunk: np.ndarray, begins: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        if begins:
            policy.reset()
        own, report = policy.act(observation)  # helped or not: a gate looks at every observation
        actions = chunk if rng.random() < HELPED else own.actions
        actions = actions[: rng.integers(6, CHUNK + 1)].copy()
        actions[:, :3] += rng.normal(0, NOISE / 2, (len(actions), 3))
        return actions, report.ages.clip(max=255).astype(np.uint8)

    return act


def collect(directory: Path, frames: int, seed: int, actor: Actor, shard: int = 250) -> float:
    """
    Run episodes from seed on, over all tasks in turn, and store frames.

    A frame: images uint8 [cams, 224, 224, 3], proprio float32 [8], actions float32 [8, 7], task
    int, episode int, instruction, shares uint8 [cams, 256, classes], objects float32 [objects, 3]
    (m, world frame; NaN when absent), ages uint8 [cams * 256], frames since the actor's gate had
    each token computed. Returns the share of episodes that succeeded.
    """
    # execute_steps is never reached: frames are looked at by `_look`
    env = Libero(SUITE, Setup('openvla-oft', len(SEEN), 10**6, 8))
    writer = ShardWriter(Path(directory), shard)
    written = episode = successes = 0
    with tqdm(total=frames, unit='frame', mininterval=5) as progress:
        while written < frames:
            task = env.tasks[episode // IN_A_ROW % len(env.tasks)]
            if episode % IN_A_ROW == 0:
                env.close()  # a simulator takes 0.8 GB
            env.draw_state(task, seed + episode)
            expert = ExpertRollout(env)
            steps = 0
            while steps < env.max_steps and not env.success() and written < frames:
                observation = env.observe()
                chunk = expert.chunk()
                actions, ages = actor(observation, chunk, steps == 0)
                writer.add(
                    images=np.stack(observation.images),
                    proprio=observation.proprio.astype(np.float32),
                    actions=chunk.astype(np.float32),
                    task=np.int32(env.tasks.index(task)),
                    episode=np.int32(seed + episode),
                    instruction=np.str_(task.language),
                    shares=_shares(env),
                    objects=_positions(env),
                    ages=ages,
                )
                written += 1
                progress.update()
                for action in actions[:-1]:
                    env.step(action)
                env.look_next()
                env.step(actions[-1])
                steps += len(actions)
            successes += env.success()
            episode += 1
    env.close()
    writer.flush()
    return successes / max(1, episode)


def _positions(env: Libero) -> np.ndarray:
    """Return the objects' places float32 [objects, 3], m."""
    inner = env.sim_env.env
    places = np.full((len(LIBERO_OBJECT.objects), 3), np.nan, np.float32)
    for name, item in inner.objects_dict.items():
        body = inner.sim.model._model.body(item.root_body).id
        places[LIBERO_OBJECT.objects.index(kind_of(name))] = inner.sim.data._data.xpos[body]
    return places


def _shares(env: Libero) -> np.ndarray:
    """Return how many pixels of each patch show each class, uint8 [cams, 256, classes]."""
    sim = env.sim_env.env.sim
    model = sim.model._model
    classes = np.zeros(model.ngeom + 1, np.uint8)  # the last one: no geom
    for geom in range(model.ngeom):
        root = model.body(model.body_rootid[model.geom_bodyid[geom]]).name
        if root.startswith(('robot0', 'gripper0')):
            classes[geom] = LIBERO_OBJECT.classes.index('arm')
        elif kind_of(root) in LIBERO_OBJECT.objects:
            classes[geom] = LIBERO_OBJECT.classes.index(kind_of(root))
    size, side = IMAGE_SIZE, IMAGE_PATH.center_crop**0.5
    inside = (1 - side) / 2 * (size - 1) + np.arange(size) * side  # as center_crop samples
    pick = np.rint((inside + 0.5) * RENDER_SIZE / size - 0.5).astype(int)
    parts = []
    for camera in SEEN:
        ids = sim.render(
            camera_name=camera, width=RENDER_SIZE, height=RENDER_SIZE, segmentation=True
        )[..., 1]
        # rows come from the bottom as in the observations, which are turned by half a turn
        turned = ids[::-1, ::-1][pick][:, pick]
        parts.append(patch_shares(turned, classes, len(LIBERO_OBJECT.classes)))
    return np.stack(parts)


def kind_of(name: str) -> str:
    """Return 'milk' for 'milk_1' or 'milk_1_main'."""
    return name.removesuffix('_main').rsplit('_', 1)[0]
