# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What a parameter is, and those of the simulated robots and the recorder.

Each has its name, default, unit, range and description in one place; vla_node's are in
vla_parameters.py.

Knows neither ROS (declaration.py brings them to a node) nor what they are used for.
"""

from dataclasses import dataclass
from dataclasses import field
from typing import Any


def parameter(
    default: Any,  # noqa: ANN401
    description: str,
    unit: str = '',
    bounds: tuple[float | None, float | None] = (None, None),
    *,
    pattern: str | None = None,
    live: bool = False,
) -> Any:  # noqa: ANN401
    """
    Return a dataclass field that describes one parameter.

    bounds: of a number, or of each in a list, inclusive. pattern: a regular expression that text
    (each entry, for lists) must match in full. live: may change while the node runs.
    """
    facts = {'description': description, 'unit': unit, 'pattern': pattern, 'live': live}
    return field(default=default, metadata=facts | dict(zip(('low', 'high'), bounds, strict=True)))


@dataclass(frozen=True)
class Parameters:
    """What the parameters of every node share."""

    def contradiction(self) -> str:
        """Return what two values have against each other, or an empty string."""
        return ''


@dataclass(frozen=True)
class DriverParameters(Parameters):
    """Parameters of whatever follows twists."""

    command_timeout: float = parameter(
        0.1, 'age at which a twist command lapses and the arm holds still', 's', (0.02, 10.0)
    )
    latency: float = parameter(
        0.04,
        'time after its stamp at which a twist is executed; one under way for longer loses what '
        'is past',
        's',
        (0.0, 1.0),
    )
    frame_id: str = parameter('base_link', 'frame of poses and twists', pattern=r'[/\w]+')


@dataclass(frozen=True)
class GzArmParameters(DriverParameters):
    """Parameters of gz_arm_node."""

    state_timeout: float = parameter(
        0.2,
        'age of the newest joint state at which the arm is sent no more targets',
        's',
        (0.02, 10.0),
    )


@dataclass(frozen=True)
class SimRobotParameters(DriverParameters):
    """Parameters of sim_robot_node."""

    seed: int = parameter(0, 'seed of the first scene', bounds=(0, 2**31 - 1))
    task: str = parameter('', 'name of the first task; empty: the seed draws one')
    image_topics: tuple[str, ...] = parameter(
        ('image_raw', 'wrist/image_raw'),
        'topics of the fixed and the wrist camera',
        pattern=r'[~/\w]+',
    )
    image_rate: float = parameter(20.0, 'rate of both cameras', 'Hz', (0.5, 50.0))
    speed: float = parameter(
        1.0,
        'simulated seconds in one second of the clock; twists are per simulated second, rates, '
        'stamps and timeouts by the clock',
        bounds=(1.0, 20.0),
    )


@dataclass(frozen=True)
class RecorderParameters(Parameters):
    """Parameters of recorder."""

    bag_path: str = parameter('', 'folder of the bag; must not exist yet')
    topics: tuple[str, ...] = parameter(
        ('image_raw', 'instruction', 'joint_states', 'end_effector_pose', 'delta_twist_cmds',
         'target_pose', 'joint_position_commands', 'joint_trajectory', 'gripper/commands',
         'estop', 'teleop_twist_cmds', '/diagnostics', 'vla_node/step_report',
         'vla_node/run_info', 'vla_node/control_mode'),
        'topics to record, each from the moment it has a publisher',
        pattern=r'[/\w]+',
    )  # fmt: skip

    def contradiction(self) -> str:
        """Return what is wrong with the values together, or an empty string."""
        return '' if self.bag_path else 'bag_path: expected a folder to be made, got nothing'


@dataclass(frozen=True)
class ViewParameters(Parameters):
    """Parameters of view."""

    path: str = parameter('', 'Rerun file to write; empty: open the viewer')


@dataclass(frozen=True)
class PictureSourceParameters(Parameters):
    """Parameters of picture_source."""

    image_topics: tuple[str, ...] = parameter(
        ('image_raw', 'wrist/image_raw'), 'topics of the cameras', pattern=r'[~/\w]+'
    )
    image_rate: float = parameter(30.0, 'rate of all cameras', 'Hz', (1.0, 200.0))
    width: int = parameter(640, 'width of the pictures', 'px', (128, 4096))
    height: int = parameter(480, 'height of the pictures', 'px', (128, 4096))
