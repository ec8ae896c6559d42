# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The parameters of vla_node: name, default, unit, range and description, each in this one place.

Knows neither ROS (declaration.py brings them to a node) nor what they are used for.
"""

from dataclasses import dataclass
from operator import lt

from vla_cache_ros.control.parameters import parameter


@dataclass(frozen=True)
class VLAParameters:
    """Parameters of vla_node. Those not marked live take effect at configure."""

    model_path: str = parameter(
        '', 'checkpoint folder, Hugging Face hub id, or the name of a shipped checkpoint'
    )
    unnorm_key: str = parameter(
        '', 'key of dataset_statistics.json that scales the actions; empty: the only one there'
    )
    device: str = parameter('cpu', 'torch device: cpu, cuda or cuda:N', pattern=r'cpu|cuda(:\d+)?')
    dtype: str = parameter(
        'float32',
        'type of the weights: float32, bfloat16, float16, int8, or fp8 on a GPU that has it',
        pattern='float32|bfloat16|float16|int8|fp8',
    )
    threads: int = parameter(
        0,
        'threads of a step on a CPU; 0: as many as other processes leave free at the moment, and '
        'on four cores or more at most three quarters of them',
        low=0,
        high=1024,
    )
    keep_warm: float = parameter(
        0.0,
        'time between two dummy steps on a GPU while nothing is inferred, so that its clocks stay '
        'up; an observation may have to wait for one to end; 0: none',
        unit='s',
        low=0.0,
        high=60.0,
    )
    gate: str = parameter(
        'dense',
        'which visual tokens are recomputed at a step: dense (all), random, motion, vla-cache, '
        'every (all at every n-th step), learned or learned-fixed; learned@FOLDER takes a gate '
        'from elsewhere',
        pattern='dense|random|motion|vla-cache|every|(learned|learned-fixed)(@.+)?',
    )
    reuse: float = parameter(
        -1.0,
        'share of visual tokens that a gate with a budget reuses, (n - 1) / n for every; below 0: '
        'its own default',
        low=-1.0,
        high=1.0,
    )
    image_topics: tuple[str, ...] = parameter(
        ('image_raw',),
        'image topics, in the order of the cameras the checkpoint expects',
        pattern=r'[~/\w]+',
    )
    image_transport: str = parameter(
        'raw',
        'raw (Image messages) or compressed (CompressedImage on <topic>/compressed)',
        pattern='raw|compressed',
    )
    finger_joints: tuple[str, ...] = parameter(
        ('finger_joint1', 'finger_joint2'),
        'joints of joint_states whose positions end the state vector, in this order',
        pattern='.+',
    )
    control_frequency: float = parameter(
        5.0,
        'rate the policy was trained at: an action is a displacement over 1/control_frequency',
        unit='Hz',
        low=0.1,
        high=200.0,
    )
    translation_scale: float = parameter(
        1.0,
        'metres that a 1 in the first three numbers of an action stands for',
        unit='m',
        low=1e-6,
        high=10.0,
    )
    rotation_scale: float = parameter(
        1.0,
        'radians that a 1 in numbers four to six (a rotation vector) stands for',
        unit='rad',
        low=1e-6,
        high=10.0,
    )
    gripper_open: float = parameter(
        1.0, 'seventh number of an action that means open', low=-10.0, high=10.0
    )
    gripper_closed: float = parameter(
        0.0, 'seventh number of an action that means closed', low=-10.0, high=10.0
    )
    frame_id: str = parameter(
        'base_link', 'stationary frame in which the actions are expressed', pattern=r'[/\w]+'
    )
    output: str = parameter(
        'twist',
        'twist (TwistStamped in m/s and rad/s on delta_twist_cmds) or pose (PoseStamped on '
        'target_pose, moved on from the measured end_effector_pose)',
        pattern='twist|pose',
    )
    gripper_output: str = parameter(
        'commands',
        'commands (Float64MultiArray on gripper/commands), parallel_gripper_command or '
        'gripper_command (actions of control_msgs on gripper_cmd), or none',
        pattern='commands|parallel_gripper_command|gripper_command|none',
    )
    gripper_joint: str = parameter(
        'finger_joint1', 'joint that a ParallelGripperCommand names', pattern='.+'
    )
    gripper_open_command: float = parameter(
        1.0, 'what the gripper driver is sent to open', low=-1000.0, high=1000.0
    )
    gripper_closed_command: float = parameter(
        0.0, 'what the gripper driver is sent to close', low=-1000.0, high=1000.0
    )
    execution: str = parameter(
        'synchronous',
        'synchronous (the arm waits while the policy infers), asynchronous (the next chunk is '
        'inferred while this one plays, and joins at the action that is due) or ensembled '
        '(asynchronous, and the actions of all chunks for the same instant are averaged)',
        pattern='synchronous|asynchronous|ensembled',
    )
    ensemble_decay: float = parameter(
        0.1,
        'ensembled: a chunk older by one inference weighs exp(-ensemble_decay) times as much',
        low=0.0,
        high=10.0,
    )
    execute_steps: int = parameter(
        1, 'actions of a chunk that are executed before the next observation', low=1, high=100
    )
    degrade: bool = parameter(
        True,
        'when inferences overrun the time of the executed actions: ask the gate for more reuse, '
        'then lower the control rate, then stop; false: only count it',
    )
    min_control_frequency: float = parameter(
        0.0,
        'rate down to which degrade lowers control_frequency; 0: half of it, or '
        '1/command_timeout where that is more',
        unit='Hz',
        low=0.0,
        high=200.0,
    )
    publish_rate: float = parameter(
        50.0, 'rate at which the held command is re-published', unit='Hz', low=1.0, high=500.0
    )
    command_timeout: float = parameter(
        0.25,
        'longest time a command is held without being renewed; afterwards zeros are sent',
        unit='s',
        low=0.01,
        high=10.0,
    )
    stop_pub_timeout: float = parameter(
        2.0,
        'time for which a stop is repeated; afterwards nothing is sent until its cause is gone',
        unit='s',
        low=0.1,
        high=60.0,
    )
    image_timeout: float = parameter(
        0.12,
        'age of the newest image at which the arm is stopped',
        unit='s',
        low=0.01,
        high=60.0,
        live=True,
    )
    state_timeout: float = parameter(
        0.12,
        'age of the newest joint state or pose at which the arm is stopped',
        unit='s',
        low=0.01,
        high=60.0,
        live=True,
    )
    inference_timeout: float = parameter(
        5.0,
        'longest inference whose result is still executed',
        unit='s',
        low=0.01,
        high=600.0,
        live=True,
    )
    sync_slop: float = parameter(
        0.1,
        'largest spread of the stamps of one set of images',
        unit='s',
        low=0.0,
        high=10.0,
        live=True,
    )
    max_gap: float = parameter(
        5.0,
        'time between two observations after which cached tokens are dropped',
        unit='s',
        low=0.1,
        high=3600.0,
        live=True,
    )
    max_linear_velocity: float = parameter(
        0.25, 'largest norm of the linear velocity', unit='m/s', low=0.0, high=5.0, live=True
    )
    max_angular_velocity: float = parameter(
        1.0, 'largest norm of the angular velocity', unit='rad/s', low=0.0, high=20.0, live=True
    )
    max_linear_acceleration: float = parameter(
        2.0,
        'largest norm of the change of the linear velocity; a stop is not slowed by it',
        unit='m/s^2',
        low=0.01,
        high=1000.0,
        live=True,
    )
    max_angular_acceleration: float = parameter(
        8.0,
        'largest norm of the change of the angular velocity; a stop is not slowed by it',
        unit='rad/s^2',
        low=0.01,
        high=1000.0,
        live=True,
    )
    deadband_linear_velocity: float = parameter(
        0.0005, 'norm below which a linear velocity is sent as zero', unit='m/s', low=0.0, high=1.0
    )
    deadband_angular_velocity: float = parameter(
        0.001,
        'norm below which an angular velocity is sent as zero',
        unit='rad/s',
        low=0.0,
        high=1.0,
    )
    workspace: tuple[float, ...] = parameter(
        (),
        'box in frame_id that the end effector is kept in: x, y, z of its lowest corner, then of '
        'its highest; empty: no box (a warning at configure). Needs end_effector_pose',
        unit='m',
        low=-100.0,
        high=100.0,
    )
    drift_threshold: float = parameter(
        0.25,
        'distance between what cached and dense steps would execute, mean absolute difference of '
        'normalised actions, above which they have parted; 0: they are not compared',
        low=0.0,
        high=2.0,
        live=True,
    )
    dry_run: bool = parameter(True, 'run the policy and report, but send no command', live=True)

    def slowest_frequency(self) -> float:
        """Return the rate (Hz) down to which the control rate may be lowered."""
        half = max(self.control_frequency / 2, 1 / self.command_timeout)
        return self.min_control_frequency or half

    def contradiction(self) -> str:
        """Return what two values have against each other, or an empty string."""
        if self.keep_warm and self.device == 'cpu':
            return f'keep_warm: expected 0 with device cpu, came {self.keep_warm:g}'
        if self.command_timeout * self.control_frequency < 1:
            return (
                f'command_timeout: expected at least one control period '
                f'({1 / self.control_frequency:g} s), came {self.command_timeout:g}'
            )
        if 0 < self.min_control_frequency * self.command_timeout < 1:
            return (
                f'command_timeout: expected at least one period of min_control_frequency '
                f'({1 / self.min_control_frequency:g} s), came {self.command_timeout:g}'
            )
        if self.min_control_frequency > self.control_frequency:
            return (
                f'min_control_frequency: expected at most control_frequency '
                f'({self.control_frequency:g} Hz), came {self.min_control_frequency:g}'
            )
        if self.publish_rate < self.control_frequency:
            return (
                f'publish_rate: expected at least control_frequency '
                f'({self.control_frequency:g} Hz), came {self.publish_rate:g}'
            )
        if self.gripper_open == self.gripper_closed:
            return (
                'gripper_open: expected another value than gripper_closed, '
                f'came {self.gripper_open:g} for both'
            )
        low, high = self.workspace[:3], self.workspace[3:]
        if self.workspace and not (len(high) == 3 and all(map(lt, low, high))):
            return (
                'workspace: expected six numbers, the lowest corner (x, y, z) and then the '
                f'highest, or none, came {list(self.workspace)}'
            )
        return ''
