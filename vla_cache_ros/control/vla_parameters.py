# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The parameters of vla_node: name, default, unit, range and description, each in this one place.

Knows neither ROS (declaration.py brings them to a node) nor what they are used for.
"""

from dataclasses import dataclass
from operator import lt

from vla_cache_ros.control.chunk_parameters import ChunkParameters
from vla_cache_ros.control.gripper_parameters import GripperParameters
from vla_cache_ros.control.image_parameters import ImageParameters
from vla_cache_ros.control.joint_parameters import joint_contradiction
from vla_cache_ros.control.parameters import parameter
from vla_cache_ros.control.remote_parameters import RemoteParameters


@dataclass(frozen=True)
class VLAParameters(RemoteParameters, ChunkParameters, GripperParameters, ImageParameters):
    """Parameters of vla_node. Those not marked live take effect at configure."""

    model_path: str = parameter(
        '',
        'checkpoint folder, Hugging Face hub id, or the name of a shipped checkpoint; '
        'FOLDER,num_images=1,chunk=25 says what an OpenVLA-OFT folder does not',
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
        bounds=(0, 1024),
    )
    keep_warm: float = parameter(
        0.0,
        'time between two dummy steps on a GPU while nothing is inferred, so that its clocks stay '
        'up; an observation may have to wait for one to end; 0: none',
        's',
        (0.0, 60.0),
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
        bounds=(-1.0, 1.0),
    )
    finger_joints: tuple[str, ...] = parameter(
        ('finger_joint1', 'finger_joint2'),
        'joints of joint_states whose positions end the state vector, in this order',
        pattern='.+',
    )
    finger_scale: tuple[float, ...] = parameter(
        (),
        'what each position of finger_joints is multiplied by, -1 to turn its sign; empty: 1',
        bounds=(-1e6, 1e6),
    )
    finger_offset: tuple[float, ...] = parameter(
        (),
        'what is added to each scaled position of finger_joints; empty: 0',
        bounds=(-1e6, 1e6),
    )
    state_space: str = parameter(
        'end_effector',
        'what the state vector begins with: end_effector (position and axis-angle in frame_id) or '
        'joints (the positions of arm_joints)',
        pattern='end_effector|joints',
    )
    arm_joints: tuple[str, ...] = parameter(
        (),
        'joints of joint_states, of the arm, in the order the model and the driver take them',
        pattern='.+',
    )
    joint_scale: tuple[float, ...] = parameter(
        (),
        "rad that a 1 in the model's number of each of arm_joints stands for, in state and "
        'action, -1 to turn its sign; empty: 1, the numbers are rad',
        'rad',
        (-100.0, 100.0),
    )
    joint_offset: tuple[float, ...] = parameter(
        (),
        "position of each of arm_joints at which the model's number is 0; empty: 0",
        'rad',
        (-100.0, 100.0),
    )
    ee_frame: str = parameter(
        '',
        'frame of the end effector in /tf, whose pose in frame_id is used; empty: '
        'end_effector_pose says it',
        pattern=r'[/\w]*',
    )
    control_frequency: float = parameter(
        5.0,
        'rate the policy was trained at: an action is a displacement over 1/control_frequency',
        'Hz',
        (0.1, 200.0),
    )
    translation_scale: float = parameter(
        1.0,
        'metres that a 1 in the first three numbers of an action stands for',
        'm',
        (1e-6, 10.0),
    )
    rotation_scale: float = parameter(
        1.0,
        'radians that a 1 in numbers four to six (a rotation vector) stands for',
        'rad',
        (1e-6, 10.0),
    )
    frame_id: str = parameter(
        'base_link', 'stationary frame in which the actions are expressed', pattern=r'[/\w]+'
    )
    output: str = parameter(
        'twist',
        'twist (TwistStamped in m/s and rad/s on delta_twist_cmds), pose (PoseStamped on '
        'target_pose, moved on from the measured end_effector_pose) or, for a model whose actions '
        'are those of joints, joint_positions (Float64MultiArray on joint_position_commands) or '
        'joint_trajectory (JointTrajectory on joint_trajectory)',
        pattern='twist|pose|joint_positions|joint_trajectory',
    )
    joint_actions: str = parameter(
        'absolute',
        'joint outputs: what the numbers of arm_joints are, absolute (targets) or delta (changes '
        'over 1/control_frequency)',
        pattern='absolute|delta',
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
        'Hz',
        (0.0, 200.0),
    )
    publish_rate: float = parameter(
        50.0, 'rate at which the held command is re-published', 'Hz', (1.0, 500.0)
    )
    command_timeout: float = parameter(
        0.25,
        'longest time a command is held without being renewed; afterwards zeros are sent',
        's',
        (0.01, 10.0),
    )
    stop_pub_timeout: float = parameter(
        2.0,
        'time for which a stop is repeated; afterwards nothing is sent until its cause is gone',
        's',
        (0.1, 60.0),
    )
    takeover_timeout: float = parameter(
        0.0, 'rest after which a device gives the arm back; 0: take_over does', 's', (0.0, 3600.0)
    )
    image_timeout: float = parameter(
        0.12, 'age of the newest image at which the arm is stopped', 's', (0.01, 60.0), live=True
    )
    frozen_image: bool = parameter(
        True,
        'stop where a camera sends the same picture for longer than image_timeout while the arm '
        'moves; false: for a simulated camera that does not see the arm',
        live=True,
    )
    state_timeout: float = parameter(
        0.12,
        'age of the newest joint state or pose at which the arm is stopped',
        's',
        (0.01, 60.0),
        live=True,
    )
    inference_timeout: float = parameter(
        5.0, 'longest inference whose result is still executed', 's', (0.01, 600.0), live=True
    )
    sync_slop: float = parameter(
        0.1, 'largest spread of the stamps of one set of images', 's', (0.0, 10.0), live=True
    )
    max_gap: float = parameter(
        5.0,
        'time between two observations after which cached tokens are dropped',
        's',
        (0.1, 3600.0),
        live=True,
    )
    max_linear_velocity: float = parameter(
        0.25, 'largest norm of the linear velocity', 'm/s', (0.0, 5.0), live=True
    )
    max_angular_velocity: float = parameter(
        1.0, 'largest norm of the angular velocity', 'rad/s', (0.0, 20.0), live=True
    )
    max_linear_acceleration: float = parameter(
        2.0,
        'largest norm of the change of the linear velocity; a stop is not slowed by it',
        'm/s^2',
        (0.01, 1000.0),
        live=True,
    )
    max_angular_acceleration: float = parameter(
        8.0,
        'largest norm of the change of the angular velocity; a stop is not slowed by it',
        'rad/s^2',
        (0.01, 1000.0),
        live=True,
    )
    max_joint_velocity: tuple[float, ...] = parameter(
        (0.5,),
        'joint outputs: largest velocity of a joint, one number for all or one for each of '
        'arm_joints; all joints are slowed alike',
        'rad/s',
        (0.001, 20.0),
        live=True,
    )
    max_joint_acceleration: tuple[float, ...] = parameter(
        (5.0,),
        'joint outputs: largest change of the velocity of a joint, one number for all or one for '
        'each of arm_joints; a stop is not slowed by it',
        'rad/s^2',
        (0.01, 1000.0),
        live=True,
    )
    joint_lower: tuple[float, ...] = parameter(
        (),
        'joint outputs: lowest position of each of arm_joints',
        'rad',
        (-100.0, 100.0),
    )
    joint_upper: tuple[float, ...] = parameter(
        (),
        'joint outputs: highest position of each of arm_joints',
        'rad',
        (-100.0, 100.0),
    )
    deadband_linear_velocity: float = parameter(
        0.0005, 'norm below which a linear velocity is sent as zero', 'm/s', (0.0, 1.0)
    )
    deadband_angular_velocity: float = parameter(
        0.001, 'norm below which an angular velocity is sent as zero', 'rad/s', (0.0, 1.0)
    )
    workspace: tuple[float, ...] = parameter(
        (),
        'box in frame_id that the end effector is kept in: x, y, z of its lowest corner, then of '
        'its highest; empty: no box (a warning at configure). Needs end_effector_pose',
        'm',
        (-100.0, 100.0),
    )
    drift_threshold: float = parameter(
        0.25,
        'distance between what cached and dense steps would execute, mean absolute difference of '
        'normalised actions, above which they have parted; 0: they are not compared',
        bounds=(0.0, 2.0),
        live=True,
    )
    dry_run: bool = parameter(True, 'run the policy and report, but send no command', live=True)

    def slowest_frequency(self) -> float:
        """Return the rate (Hz) down to which the control rate may be lowered."""
        half = max(self.control_frequency / 2, 1 / self.command_timeout)
        return self.min_control_frequency or half

    @property
    def joint_output(self) -> bool:
        """Say whether the arm is commanded by its joints."""
        return self.output.startswith('joint')

    @property
    def action_size(self) -> int:
        """Return how many numbers an action must have, the gripper's included."""
        return (len(self.arm_joints) if self.joint_output else 6) + self.gripper_apart

    def contradiction(self) -> str:
        """Return what two values have against each other, or an empty string."""
        low, high = self.workspace[:3], self.workspace[3:]
        boxed = not self.workspace or (len(high) == 3 and all(map(lt, low, high)))
        rate, slowest = self.control_frequency, self.min_control_frequency
        held, published = self.command_timeout, self.publish_rate
        for holds, name, expected in (
            (not self.keep_warm or self.device != 'cpu', 'keep_warm', '0 with device cpu'),
            (held * rate >= 1, 'command_timeout', f'at least one control period ({1 / rate:g} s)'),
            (
                slowest * held >= 1 or not slowest,
                'command_timeout',
                f'at least one period of min_control_frequency ({slowest:g} Hz)',
            ),
            (slowest <= rate, 'min_control_frequency', f'at most control_frequency ({rate:g} Hz)'),
            (published >= rate, 'publish_rate', f'at least control_frequency ({rate:g} Hz)'),
            (
                self.gripper_open != self.gripper_closed,
                'gripper_open',
                'another value than gripper_closed',
            ),
            (
                boxed,
                'workspace',
                'six numbers, the lowest corner (x, y, z) and then the highest, or none',
            ),
            (
                self.arm_joints or self.state_space != 'joints',
                'arm_joints',
                'the joints that the state begins with (state_space: joints)',
            ),
            (0 not in self.joint_scale, 'joint_scale', 'numbers other than 0'),
            (
                self.gripper_apart or self.joint_output,
                'gripper_output',
                'joint_positions or joint_trajectory as output with joint',
            ),
        ):
            if not holds:
                value = getattr(self, name)
                got = f'{value:g}' if isinstance(value, float) else value
                got = list(value) if isinstance(value, tuple) else got
                return f'{name}: expected {expected}, got {got}'
        joints = joint_contradiction(self) if self.joint_output else ''
        return joints or self.remote_contradiction() or super().contradiction()
