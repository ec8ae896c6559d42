# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
SIMPLER's four WidowX tasks in ManiSkill's digital twins, and PickCube under the same paths.

Images and actions pass as in the evaluations of OpenVLA and CogACT on SIMPLER. Knows no model;
mani_skill is imported when an environment is made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any

import cv2
import numpy as np
from vla_cache_ros.environments.adaptive_ensemble import EnsembledActor
from vla_cache_ros.environments.environment import Actor
from vla_cache_ros.environments.environment import Setup
from vla_cache_ros.environments.simpler_actions import bridge_action
from vla_cache_ros.environments.simpler_assets import Assets
from vla_cache_ros.environments.simpler_assets import check_assets
from vla_cache_ros.types import Observation

FAMILIES = ('openvla', 'cogact')  # those with a published evaluation on SIMPLER
IMAGE_SIZE = 224
COGACT_STEPS = 120  # CogACT gives every bridge task as many


@dataclass(frozen=True)
class Twin:
    """
    Describe one task of mani_skill.

    name: its id there. max_steps: limit of an episode, control periods. frequency: of them, Hz.
    scale: `[7]`, from metres and radians to what its controller takes. sensors: settings of every
    camera. instruction: '' where mani_skill has one. assets: what it needs to be downloaded, None
    for nothing.
    """

    name: str
    max_steps: int
    frequency: float = 5.0
    camera: str = '3rd_view_camera'
    control_mode: str = 'arm_pd_ee_target_delta_pose_align2_gripper_pd_joint_pos'
    obs_mode: str = 'rgb+segmentation'
    scale: tuple[float, ...] = (1.0,) * 7
    sensors: tuple[tuple[str, int], ...] = ()
    instruction: str = ''
    assets: Assets | None = None


_TABLE = ('bridge_table_1_v1.glb', 'bridge_real_eval_1.png')
BRIDGE = (
    Twin(
        'PutCarrotOnPlateInScene-v1',
        60,
        assets=Assets(
            *_TABLE, ('bridge_carrot_generated_modified', 'bridge_plate_objaverse_larger')
        ),
    ),
    Twin(
        'PutSpoonOnTableClothInScene-v1',
        60,
        assets=Assets(
            *_TABLE, ('bridge_spoon_generated_modified', 'table_cloth_generated_shorter')
        ),
    ),
    Twin(
        'StackGreenCubeOnYellowCubeBakedTexInScene-v1',
        60,
        assets=Assets(
            *_TABLE,
            ('baked_green_cube_3cm', 'baked_yellow_cube_3cm'),
            'info_bridge_custom_baked_tex_v0.json',
        ),
    ),
    Twin(
        'PutEggplantInBasketScene-v1',
        120,
        assets=Assets(
            'bridge_table_1_v2.glb',
            'bridge_sink.png',
            ('eggplant', 'dummy_sink_target_plane', 'sink'),
        ),
    ),
)
# Panda's controller takes tenths of a metre, and tenths of a radian turned the other way round.
PICK_CUBE = Twin(
    'PickCube-v1',
    50,
    frequency=20.0,
    camera='base_camera',
    control_mode='pd_ee_target_delta_pose',
    obs_mode='rgb',
    scale=(10.0, 10.0, 10.0, -10.0, -10.0, -10.0, 1.0),
    sensors=(('width', 640), ('height', 480)),
    instruction='pick up the red cube',
)
TWINS = {'simpler_bridge': BRIDGE, 'maniskill_pick_cube': (PICK_CUBE,)}


class SimplerEnvironment:
    """
    Run episodes of tasks in mani_skill, on its CPU physics.

    A seed stands for task `seed % n` of n tasks and episode `seed // n` of that task's grid of
    initial states, which begins anew after its last one.
    """

    execute_steps = 1

    def __init__(self, twins: tuple[Twin, ...], family: str) -> None:
        """Remember the tasks; a simulator starts with a task's first episode."""
        self._twins, self._family = twins, family
        self._simulators: dict[str, Any] = {}
        self._steps, self._done, self._image = 0, False, np.empty(0)
        self.task = twins[0]

    @property
    def max_steps(self) -> int:
        """Return the limit of the present episode, control periods."""
        bridge = self.task.assets is not None
        return COGACT_STEPS if bridge and self._family == 'cogact' else self.task.max_steps

    @property
    def control_frequency(self) -> float:
        """Return the actions a second of the present episode, Hz."""
        return self.task.frequency

    def wrap(self, actor: Actor) -> Actor:
        """Return what acts in the published evaluation: for CogACT, its chunks blended."""
        return EnsembledActor(actor) if self._family == 'cogact' else actor

    def reset(self, seed: int) -> Observation:
        """Start the episode that a seed stands for; raises ValueError for a negative one."""
        if seed < 0:
            raise ValueError(f'seed: expected at least 0, got {seed}')
        episode, index = divmod(seed, len(self._twins))
        self.task = self._twins[index]
        if self.task.name not in self._simulators:
            self._simulators[self.task.name] = self._start(self.task)
        self._steps, self._done = 0, False
        frames, _ = self._simulator.reset(seed=episode, options={'episode_id': episode})
        self._see(frames)
        return self.observe()

    def observe(self) -> Observation:
        """Return the camera's image, as the family's evaluation gives it to the model."""
        named = self.task.instruction
        instruction = named or self._simulator.unwrapped.get_language_instruction()[0]
        return Observation((model_image(self._image, self._family),), instruction)

    def step(self, action: np.ndarray) -> None:
        """Execute one action `[7]` of BridgeData V2, un-normalised: m, rad, gripper 0 to 1."""
        scaled = (bridge_action(action) * self.task.scale).astype(np.float32)
        frames, _, _, _, info = self._simulator.step(scaled)
        self._steps += 1
        self._done = bool(info['success'][0])
        self._see(frames)

    def success(self) -> bool:
        """Say whether the task is done at the last step, which is what SIMPLER counts."""
        return self._done and self._steps >= self.max_steps

    def facts(self) -> Mapping[str, str]:
        """Return the versions of the simulator, and what renders."""
        return {
            'mani_skill': version('mani_skill'),
            'sapien': version('sapien'),
            'physics': 'physx_cpu',
            'rendering': rendering_device(),
        }

    def close(self) -> None:
        """Close every simulator that was started."""
        while self._simulators:
            self._simulators.popitem()[1].close()

    @property
    def _simulator(self) -> Any:  # noqa: ANN401
        return self._simulators[self.task.name]

    def _see(self, frames: Mapping[str, Any]) -> None:
        image = frames['sensor_data'][self.task.camera]['rgb'][0]  # [H, W, 3], torch
        self._image = image.cpu().numpy().astype(np.uint8)

    def _start(self, twin: Twin) -> Any:  # noqa: ANN401
        base = import_module('mani_skill.envs.tasks.digital_twins.base_env').BaseDigitalTwinEnv
        # mani_skill keeps these on the class: a second twin would get the first one's background
        base._rgb_overlay_images = {}
        base._objects_to_remove_from_greenscreen = []
        simulator = import_module('gymnasium').make(
            twin.name,
            obs_mode=twin.obs_mode,
            control_mode=twin.control_mode,
            sim_backend='physx_cpu',
            render_backend=_render_backend(),
            sensor_configs=dict(twin.sensors),
        )
        unwrapped = simulator.unwrapped
        if twin.assets is not None:
            unwrapped._rgb_overlay_images = dict(unwrapped._rgb_overlay_images)
        return simulator


def model_image(image: np.ndarray, family: str) -> np.ndarray:
    """
    Return a camera image uint8 `[H, W, 3]` as the family's evaluation on SIMPLER gives it.

    OpenVLA: 224 x 224 by OpenCV's area average, no crop. CogACT: as it is; its image processor
    resizes.
    """
    if family == 'cogact':
        return image
    return cv2.resize(image, (IMAGE_SIZE, IMAGE_SIZE), interpolation=cv2.INTER_AREA)


def rendering_device() -> str:
    """Return the name of the Vulkan device; raises OSError naming packages if none is there."""
    render = import_module('sapien').render
    try:
        summary = str(render.get_device_summary())
    except RuntimeError as error:
        raise OSError(
            f'Vulkan: expected a device to render with, found none ({error}). A GPU needs its '
            'driver. Debian 12 without one: apt install -t bookworm-backports '
            'mesa-vulkan-drivers libvulkan1 (Mesa 25; the 22.3 of bookworm itself is refused); '
            'newer Debian or Ubuntu: apt install mesa-vulkan-drivers libvulkan1'
        ) from error
    names = [line.partition(':')[2].strip() for line in summary.splitlines() if 'GPU:' in line]
    return ', '.join(names)


def _render_backend() -> str:
    device = import_module('sapien').Device
    try:
        return 'sapien_cuda' if device('cuda').can_render() else 'sapien_cpu'
    except RuntimeError:  # no CUDA at all
        return 'sapien_cpu'


def make(name: str, setup: Setup) -> SimplerEnvironment:
    """
    Return an environment of `TWINS`.

    Raises ValueError for a policy or a task that does not fit, FileNotFoundError naming missing
    assets, ModuleNotFoundError without the extra, OSError without a Vulkan device.
    """
    _check_setup(name, setup)
    known = {twin.name: twin for twin in TWINS[name]}
    for task in setup.tasks:
        if task not in known:
            raise ValueError(f'tasks: expected some of {", ".join(known)}, got {task!r}')
    twins = tuple(known[task] for task in setup.tasks or known)
    check_assets(twin.assets for twin in twins if twin.assets is not None)
    import_module('mani_skill.envs')  # registers the tasks with gymnasium
    rendering_device()
    return SimplerEnvironment(twins, setup.family)


def _check_setup(name: str, setup: Setup) -> None:
    if setup.family not in FAMILIES:
        raise ValueError(
            f'{name}: expected a checkpoint of {" or ".join(FAMILIES)}, for which SIMPLER '
            f'evaluations were published, got {setup.family}'
        )
    if setup.cameras != 1 or setup.proprio:
        raise ValueError(
            f'{name}: expected a checkpoint with 1 camera and no robot state, got '
            f'{setup.cameras} and {setup.proprio} values'
        )
