# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb `vla-cache export`: recordings become a LeRobotDataset."""

from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Annotated
from typing import Literal

from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.cli.bags import TopicOptions
from vla_cache_ros.settings import Bounds
from vla_cache_ros.settings import Count


@dataclass(frozen=True, kw_only=True)
class Export(TopicOptions):
    """Write bags as a LeRobotDataset v3.0, which lerobot, evaluate and train gate read."""

    bag: tuple[Path, ...]
    """rosbag2 folder, .mcap or .db3 file; repeat."""
    out: Path
    """Folder of the data set; must not exist yet, or be empty."""
    fps: Count | None = None
    """Frames a second (the median rate of the first camera, rounded)."""
    images: Literal['video', 'png'] = 'video'
    """How pictures are stored: H.264, or PNG in the tables, without loss."""
    crf: Annotated[int, Bounds(0, 51)] = 18
    """With video: H.264's rate factor; 0 is best, 51 worst."""
    camera_name: tuple[str, ...] = ()
    """Name of a camera, in place of one from its topic; repeat, primary first."""
    action_topic: str = ''
    """What the arm was commanded: twists, poses, joint positions or trajectories (the first of
    delta_twist_cmds, target_pose, joint_position_commands, joint_trajectory that is there)."""
    gripper_topic: str = '/gripper/commands'
    """What the gripper was commanded; ends the action where it was recorded."""
    command_timeout: Annotated[float, Bounds(0.01, 10)] = 0.25
    """s for which a twist holds without being renewed; zeros follow."""
    max_gap: Annotated[float, Bounds(0.1, 3600)] = 5.0
    """s without a complete observation, or without commands, at which an episode ends."""
    report_topic: str = BagTopics.report
    """A live node's step reports, which say where its episodes begin; '' passes them over."""
    encoding_8uc3: Literal['', 'bgr8', 'rgb8'] = ''
    """What images of encoding 8UC3, whose order of colours nothing says, are."""
    robot_type: str = ''
    """What info.json calls the robot."""

    def __call__(self) -> bool:
        from vla_cache_ros.bags.walk import Cadence
        from vla_cache_ros.datasets.commands import Commands
        from vla_cache_ros.datasets.export import Export as Task
        from vla_cache_ros.datasets.export import export_bags

        topics = replace(self.named(self.report_topic), encoding_8uc3=self.encoding_8uc3)
        commands = Commands(
            self.action_topic, self.gripper_topic, self.arm_joint, self.command_timeout
        )
        origin = export_bags(
            self.bag,
            self.out,
            Task(
                topics,
                commands,
                self.fps,
                self.camera_name,
                self.images == 'video',
                self.crf,
                self.robot_type,
                Cadence(1.0, max_gap=self.max_gap),
            ),
        )
        print(f'{self.out}: {origin["frames"]} frames at {origin["fps"]} fps')
        return True
