# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The embedded robot: reset to a seeded scene, move by actions or twists, look through its cameras.

Deterministic per seed for a given MuJoCo version. Knows nothing of models, caches or ROS.
"""

import weakref

import mujoco
import numpy as np
from vla_cache_ros.environments.tabletop.controller import rotation_error
from vla_cache_ros.environments.tabletop.controller import TwistController
from vla_cache_ros.environments.tabletop.randomize import Appearance
from vla_cache_ros.environments.tabletop.randomize import draw_scene
from vla_cache_ros.environments.tabletop.scene import build_xml
from vla_cache_ros.environments.tabletop.scene import CUBE_HALF
from vla_cache_ros.environments.tabletop.scene import HOME
from vla_cache_ros.environments.tabletop.scene import IMAGE_SIZE
from vla_cache_ros.environments.tabletop.scene import LINE_Y
from vla_cache_ros.environments.tabletop.scene import PLATE_HEIGHT
from vla_cache_ros.environments.tabletop.scene import PLATE_RADIUS
from vla_cache_ros.environments.tabletop.tasks import TASKS
from vla_cache_ros.types import Observation

CONTROL_FREQUENCY = 10.0  # Hz, one action per period
EXECUTE_STEPS = 4  # actions of a chunk that are executed before the next observation
SERVO_PERIOD = 0.02  # s between two inverse-kinematics solutions
CAMERAS = ('front', 'wrist')
_DOWN = np.diag([1.0, -1.0, -1.0])  # gripper axes in the base frame at yaw 0


class Tabletop:
    """Simulate one arm, a table and objects; one instance owns one OpenGL context."""

    execute_steps = EXECUTE_STEPS
    control_frequency = CONTROL_FREQUENCY

    def __init__(self, cameras: int = len(CAMERAS)):
        """
        Compile the scene; the renderer is made at the first image.

        cameras: how many observations have images of, from the first of CAMERAS on.
        """
        self._cameras = CAMERAS[:cameras]
        self.model = mujoco.MjModel.from_xml_string(build_xml())
        self.data = mujoco.MjData(self.model)
        self.task = next(iter(TASKS.values()))
        self.scene = None
        self._appearance = Appearance(self.model)
        self._controller = TwistController(self.model)
        self._renderer = None
        self._tcp = self.model.site('tcp').id
        self._substeps = round(SERVO_PERIOD / self.model.opt.timestep)
        self._pads = {self.model.body(f'finger_{side}').id for side in ('left', 'right')}

    @property
    def max_steps(self) -> int:
        """Return the step limit of the current task, in control periods."""
        return self.task.max_steps

    @property
    def time(self) -> float:
        """Return the simulated time since reset, s."""
        return self.data.time

    def reset(self, seed: int, task: str | None = None) -> Observation:
        """
        Start an episode and return its first observation.

        seed fixes the task (unless named), the scene and its appearance.
        Raises ValueError for an unknown task name.
        """
        self.reset_state(seed, task)
        return self.observe()

    def reset_state(self, seed: int, task: str | None = None) -> None:
        """Start an episode without rendering; see reset()."""
        rng = np.random.default_rng(seed)
        names = list(TASKS)
        drawn = names[rng.integers(len(names))]
        if task is not None and task not in TASKS:
            raise ValueError(f'unknown task {task!r}: expected one of {", ".join(names)}')
        self.task = TASKS[task or drawn]
        self.scene = draw_scene(rng, self.task)
        self._appearance.draw(rng)
        mujoco.mj_resetData(self.model, self.data)
        for index, name in enumerate(self.plate_names()):
            spot = self.scene.plates.get(name[6:])
            self.model.body(name).pos[:] = (*spot, 0) if spot else (-1.5, index, -0.3)
        for index, name in enumerate(self.cube_names()):
            spot = self.scene.cubes.get(name[5:])
            joint = self.data.joint(name)
            if spot:
                joint.qpos[:3] = spot[0], spot[1], CUBE_HALF
                joint.qpos[3:] = np.cos(spot[2] / 2), 0, 0, np.sin(spot[2] / 2)
            else:  # out of sight, on the floor
                joint.qpos[:3] = -1, index, -0.4 + CUBE_HALF
        self.place_gripper(self.scene.start, self.scene.start_yaw)
        for _ in range(5):
            self.apply_twist(np.zeros(3), np.zeros(3), 1.0, SERVO_PERIOD)
        self.data.time = 0.0

    def place_gripper(self, position: np.ndarray, yaw: float, opening: float = 1.0) -> None:
        """Teleport the arm: gripper at position [3] m, yaw rad, opening 0 to 1."""
        self._controller.start(np.array(HOME), opening)
        cos, sin = np.cos(yaw), np.sin(yaw)
        self._controller.rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ _DOWN
        self._controller.position = np.asarray(position, float).copy()
        for _ in range(25):
            target = self._controller.advance(
                np.zeros(3), np.zeros(3), self._controller.position, 0.0
            )
        self.data.qpos[:9] = target
        self.data.qvel[:9] = 0
        self.data.ctrl[:] = target
        mujoco.mj_forward(self.model, self.data)

    def step(self, action: np.ndarray) -> None:
        """
        Execute one action [7] over one control period.

        action: dx, dy, dz (m), drx, dry, drz (rad) per period in the base frame, gripper
        (1 open, 0 close).
        """
        action = np.asarray(action, float)
        self.apply_twist(
            action[:3] * CONTROL_FREQUENCY,
            action[3:6] * CONTROL_FREQUENCY,
            action[6],
            1.0 / CONTROL_FREQUENCY,
        )

    def apply_twist(self, linear, angular, gripper: float, duration: float) -> None:
        """Move by a twist (m/s, rad/s, base frame), gripper 1 open to 0 closed, for duration s."""
        self._controller.gripper = 1.0 if gripper > 0.5 else 0.0
        for _ in range(max(1, round(duration / SERVO_PERIOD))):
            self.data.ctrl[:] = self._controller.advance(
                np.asarray(linear), np.asarray(angular), self.tcp(), SERVO_PERIOD
            )
            mujoco.mj_step(self.model, self.data, self._substeps)

    def observe(self) -> Observation:
        """Render the cameras and read the proprioception."""
        images = tuple(self.render(camera) for camera in self._cameras)
        return Observation(images, self.task.instruction, self.proprio())

    def render(self, camera: str, segmentation: bool = False) -> np.ndarray:
        """Return an RGB image uint8 [224, 224, 3], or geom ids int32 [224, 224]."""
        if self._renderer is None:
            self._renderer = mujoco.Renderer(self.model, IMAGE_SIZE, IMAGE_SIZE)
            # Left to the garbage collector at exit, the context outlives its driver and complains.
            self._closer = weakref.finalize(self, self._renderer.close)
        if segmentation:
            self._renderer.enable_segmentation_rendering()
        self._renderer.update_scene(self.data, camera)
        image = self._renderer.render()
        if segmentation:
            self._renderer.disable_segmentation_rendering()
            return image[..., 0].copy()
        return image.copy()

    def proprio(self) -> np.ndarray:
        """Return float32 [8]: gripper xyz (m), axis-angle (rad), two finger positions (m)."""
        position, quaternion = self.end_effector_pose()
        vector = np.empty(3)
        mujoco.mju_quat2Vel(vector, quaternion[[3, 0, 1, 2]], 1.0)
        if vector[0] < 0:  # the gripper points down, half a turn about x: keep one sign of it
            vector = -vector * (2 * np.pi / np.linalg.norm(vector) - 1)
        return np.concatenate([position, vector, self.data.qpos[7:9]]).astype(np.float32)

    def end_effector_pose(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the gripper's position [3] (m) and quaternion [4] (x y z w), base frame."""
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, self.data.site_xmat[self._tcp])
        return self.tcp(), quaternion[[1, 2, 3, 0]]

    def joint_positions(self) -> dict[str, float]:
        """Return joint name -> position (rad; m for the two fingers)."""
        names = [self.model.joint(i).name for i in range(9)]
        return dict(zip(names, self.data.qpos[:9].tolist(), strict=True))

    def success(self) -> bool:
        """Say whether the instruction is fulfilled now."""
        cube = self.cube_position(self.task.cube)
        if self.task.kind == 'pick':
            return bool(cube[2] > 0.10 and np.linalg.norm(cube - self.tcp()) < 0.05)
        if self.task.kind == 'place':
            return self.on_plate(self.task.cube, self.task.plate) and not self.holds()
        return bool(cube[1] * self.task.side > LINE_Y and cube[2] < 0.06)

    def close(self) -> None:
        """Free the OpenGL context."""
        if self._renderer is not None:
            self._closer()
            self._renderer = None

    # Privileged state, for the expert, the training targets and the predicates only.

    def cube_names(self) -> list[str]:
        """Return the body names of all cubes."""
        return [n for n in self._body_names() if n.startswith('cube_')]

    def plate_names(self) -> list[str]:
        """Return the body names of all plates."""
        return [n for n in self._body_names() if n.startswith('plate_')]

    def tcp(self) -> np.ndarray:
        """Return the position [3] between the finger tips, m, base frame."""
        return self.data.site_xpos[self._tcp].copy()

    def yaw(self) -> float:
        """Return the gripper's yaw, rad."""
        matrix = self.data.site_xmat[self._tcp].reshape(3, 3)
        return float(-rotation_error(_DOWN, matrix)[2])

    def opening(self) -> float:
        """Return the distance between the fingers, m."""
        return float(self.data.qpos[7] + self.data.qpos[8])

    def cube_position(self, color: str) -> np.ndarray:
        """Return a cube's centre [3], m."""
        return self.data.body(f'cube_{color}').xpos.copy()

    def plate_position(self, color: str) -> np.ndarray:
        """Return a plate's centre [3] at table height, m."""
        return self.model.body(f'plate_{color}').pos.copy()

    def on_plate(self, cube: str, plate: str) -> bool:
        """Say whether a cube rests on a plate."""
        offset = self.cube_position(cube) - self.plate_position(plate)
        return bool(
            np.linalg.norm(offset[:2]) < PLATE_RADIUS - 0.01
            and abs(offset[2] - PLATE_HEIGHT - CUBE_HALF) < 0.01
        )

    def holds(self) -> bool:
        """Say whether both fingers touch the task's cube."""
        cube = self.model.body(f'cube_{self.task.cube}').id
        touching = set()
        for contact in self.data.contact[: self.data.ncon]:
            bodies = {self.model.geom_bodyid[contact.geom1], self.model.geom_bodyid[contact.geom2]}
            if cube in bodies:
                touching |= bodies & self._pads
        return len(touching) == 2

    def snapshot(self) -> tuple:
        """Return the full physical state, for restore()."""
        state = np.empty(mujoco.mj_stateSize(self.model, mujoco.mjtState.mjSTATE_INTEGRATION))
        mujoco.mj_getState(self.model, self.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        return state, self._controller.snapshot()

    def restore(self, snapshot: tuple) -> None:
        """Go back to a snapshot of the same episode."""
        state, controller = snapshot
        mujoco.mj_setState(self.model, self.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_forward(self.model, self.data)
        self._controller.restore(controller)

    def _body_names(self) -> list[str]:
        return [self.model.body(i).name for i in range(self.model.nbody)]
