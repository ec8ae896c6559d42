# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The parameters of every node: name, default, unit, range and description, each in this one place.

Knows neither ROS (declaration.py brings them to a node) nor what they are used for.
"""

from dataclasses import dataclass
from dataclasses import field
from typing import Any


def parameter(
    default: Any,  # noqa: ANN401
    description: str,
    *,
    unit: str = '',
    low: float | None = None,
    high: float | None = None,
    pattern: str | None = None,
    live: bool = False,
) -> Any:  # noqa: ANN401
    """
    Return a dataclass field that describes one parameter.

    low and high bound numbers (inclusive); pattern is a regular expression that text (each
    entry, for lists) must match in full; live parameters may change while the node runs.
    """
    facts = {
        'description': description,
        'unit': unit,
        'low': low,
        'high': high,
        'pattern': pattern,
        'live': live,
    }
    return field(default=default, metadata=facts)


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
        'floating-point type of the model: float32, bfloat16 or float16',
        pattern='float32|bfloat16|float16',
    )
    gate: str = parameter(
        'dense',
        'which visual tokens are recomputed at a step: dense (all), random, motion, vla-cache, '
        'learned or learned-fixed; learned@FOLDER takes a gate from elsewhere',
        pattern='dense|random|motion|vla-cache|(learned|learned-fixed)(@.+)?',
    )
    reuse: float = parameter(
        0.5, 'share of visual tokens that a gate with a budget reuses', low=0.0, high=1.0
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
    execute_steps: int = parameter(
        1, 'actions of a chunk that are executed before the next observation', low=1, high=100
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
    image_timeout: float = parameter(
        0.5,
        'age of the newest image at which the arm is stopped',
        unit='s',
        low=0.01,
        high=60.0,
        live=True,
    )
    state_timeout: float = parameter(
        0.5,
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
    frame_id: str = parameter(
        'base_link', 'stationary frame in which the actions are expressed', pattern=r'[/\w]+'
    )
    dry_run: bool = parameter(False, 'run the policy and report, but send no command', live=True)

    def contradiction(self) -> str:
        """Return what two values have against each other, or an empty string."""
        if self.command_timeout * self.control_frequency < 1:
            return (
                f'command_timeout: expected at least one control period '
                f'({1 / self.control_frequency:g} s), came {self.command_timeout:g}'
            )
        if self.publish_rate < self.control_frequency:
            return (
                f'publish_rate: expected at least control_frequency '
                f'({self.control_frequency:g} Hz), came {self.publish_rate:g}'
            )
        return ''


@dataclass(frozen=True)
class SimRobotParameters:
    """Parameters of sim_robot_node."""

    seed: int = parameter(0, 'seed of the first scene', low=0, high=2**31 - 1)
    task: str = parameter('', 'name of the first task; empty: the seed draws one')
    image_topics: tuple[str, ...] = parameter(
        ('image_raw', 'wrist/image_raw'),
        'topics of the fixed and the wrist camera',
        pattern=r'[~/\w]+',
    )
    image_rate: float = parameter(20.0, 'rate of both cameras', unit='Hz', low=0.5, high=50.0)
    command_timeout: float = parameter(
        0.1,
        'age at which a twist command lapses and the arm holds still',
        unit='s',
        low=0.02,
        high=10.0,
    )
    frame_id: str = parameter('base_link', 'frame of poses and twists', pattern=r'[/\w]+')

    def contradiction(self) -> str:
        """Return what two values have against each other, or an empty string."""
        return ''


@dataclass(frozen=True)
class RecorderParameters:
    """Parameters of recorder."""

    bag_path: str = parameter('', 'folder of the bag; must not exist yet')
    topics: tuple[str, ...] = parameter(
        (
            'image_raw',
            'instruction',
            'joint_states',
            'end_effector_pose',
            'delta_twist_cmds',
            'gripper/commands',
            '/diagnostics',
            'vla_node/step_report',
        ),
        'topics to record, each from the moment it has a publisher',
        pattern=r'[/\w]+',
    )

    def contradiction(self) -> str:
        """Return what two values have against each other, or an empty string."""
        return '' if self.bag_path else 'bag_path: expected a folder to be made, came nothing'
