# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Collect labelled frames of a LIBERO suite, to shards on disk.

As on the tabletop, every frame is labelled by rolling the expert out from that very state and
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

from recipes.domains import Domain
from recipes.libero.expert import Expert
from recipes.patch_shares import patch_shares
from recipes.patch_targets import frame_targets
from recipes.turns import InTurns

CAMERA = CAMERAS[0]
CHUNK = 8
NOISE = 0.08  # of the executed actions, in the controller's input of -1 to 1
HELPED = 0.3  # share of a student's decisions that the expert takes, to come to the later ones
PUSHED = 0.3  # share of the decisions after which the arm is pushed somewhere
# observation, the expert's chunk, whether an episode begins -> actions, ages of the visual tokens
Actor = Callable[[Observation, np.ndarray, bool], tuple[np.ndarray, np.ndarray]]


class ExpertRollout:
    """Say what the expert would do for a chunk from here, and leave everything as it was."""

    def __init__(self, env: Libero) -> None:
        """Prepare for the present task of the environment."""
        self._env, self.expert = env, Expert(env.sim_env, env.task.name)

    def chunk(self) -> np.ndarray:
        """Return the expert's next actions [8, 7]."""
        before = snapshot(self._env)
        actions = np.empty((CHUNK, 7))
        for step in range(CHUNK):
            actions[step] = self.expert.action()
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
        return actions, np.zeros(PATCHES_PER_IMAGE, np.uint8)

    return act


def model_actor(policy: Policy | InTurns, rng: np.random.Generator) -> Actor:
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


def collect(
    directory: Path,
    frames: int,
    seed: int,
    actor: Actor,
    domain: Domain,
    suite: str,
    tasks: tuple[str, ...] = (),
    shard: int = 250,
) -> float:
    """
    Run episodes over a suite's tasks in turn, store frames and return the share that succeeded.

    A frame: images uint8 [1, 224, 224, 3], proprio float32 [8], actions float32 [8, 7], task int,
    episode int, instruction, shares uint8 [1, 256, classes], the columns of `frame_targets` in
    the world frame, and ages uint8 [256], frames since the actor's gate had each token computed.

    directory: of the shards. frames: to write. seed: of the first episode. actor: drives. domain:
    whose classes and instructions the columns number. tasks: names or numbers within the suite,
    all if empty; each takes 0.8 GB. shard: frames of one.

    Raises ValueError: a task is none of the domain.
    """
    # execute_steps is never reached: frames are looked at by `_look`
    env = Libero(suite, Setup('openvla-oft', 1, 10**6, 8, tasks))
    strange = [task.name for task in env.tasks if task.language not in domain.instructions]
    if strange:
        raise ValueError(
            f'--suite {suite}: expected tasks of --env {domain.name}, got {strange[0]}; choose '
            'the --env that has the suite'
        )
    writer = ShardWriter(Path(directory), shard)
    written = episode = successes = 0
    with tqdm(total=frames, unit='frame', mininterval=5) as progress:
        while written < frames:
            task = env.tasks[episode % len(env.tasks)]
            env.draw_state(task, seed + episode)
            rollout, scene = ExpertRollout(env), Scene(env, domain)
            steps = 0
            while steps < env.max_steps and not env.success() and written < frames:
                observation = env.observe()
                columns = scene.columns(rollout.expert)
                chunk = rollout.chunk()
                actions, ages = actor(observation, chunk, steps == 0)
                writer.add(
                    images=np.stack(observation.images),
                    proprio=observation.proprio.astype(np.float32),
                    actions=chunk.astype(np.float32),
                    task=np.int32(domain.instructions.index(task.language)),
                    episode=np.int32(seed + episode),
                    instruction=np.str_(task.language),
                    ages=ages,
                    **columns,
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


class Scene:
    """Say what each patch of the picture shows in the present task."""

    def __init__(self, env: Libero, domain: Domain) -> None:
        """Find the things of the domain's kinds."""
        inner = env.sim_env.env
        self._sim, model = inner.sim, inner.sim.model._model
        names = [*inner.objects_dict, *inner.fixtures_dict]
        self.things = [name for name in names if kind_of(name) in domain.objects]
        roots = [inner.get_object(name).root_body for name in self.things]
        self._bodies = [model.body(root).id for root in roots]
        self._ids = np.zeros(model.ngeom + 1, np.uint8)  # the last one: no geom
        for geom in range(model.ngeom):
            root = model.body(model.body_rootid[model.geom_bodyid[geom]]).name
            if root.startswith(('robot0', 'gripper0')):
                self._ids[geom] = 1
            elif root in roots:
                self._ids[geom] = 2 + roots.index(root)
        self._classes = [0, 1, *(domain.classes.index(kind_of(name)) for name in self.things)]
        self._count = len(domain.classes)
        size, side = IMAGE_SIZE, IMAGE_PATH.center_crop**0.5
        inside = (1 - side) / 2 * (size - 1) + np.arange(size) * side  # as center_crop samples
        self._pick = np.rint((inside + 0.5) * RENDER_SIZE / size - 0.5).astype(int)

    def columns(self, expert: Expert) -> dict[str, np.ndarray]:
        """Return shares uint8 [1, 256, classes] and `frame_targets` of the present state."""
        ids = self._sim.render(
            camera_name=CAMERA, width=RENDER_SIZE, height=RENDER_SIZE, segmentation=True
        )[..., 1]
        # rows come from the bottom as in the observations, which are turned by half a turn
        turned = ids[::-1, ::-1][self._pick][:, self._pick]
        each = patch_shares(turned, self._ids, 2 + len(self.things))[None]  # [1, 256, 2 + things]
        shares = np.zeros((*each.shape[:2], self._count), np.uint8)
        for column, kind in enumerate(self._classes):
            shares[..., kind] += each[..., column]
        aims = expert.aims()
        named = tuple(
            self.things.index(name) if name in self.things else -1
            for name in (aims.target, aims.destination)
        )
        positions = self._sim.data._data.xpos[self._bodies]  # [things, 3]
        return {'shares': shares} | frame_targets(each, positions, named, aims.points)


def kind_of(name: str) -> str:
    """Return 'milk' for 'milk_1'."""
    return name.rsplit('_', 1)[0]
