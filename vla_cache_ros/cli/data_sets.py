# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which features of a LeRobot data set are taken: options that two verbs have."""

from dataclasses import dataclass
from pathlib import Path

from vla_cache_ros.bags.corrections import Choice
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.datasets.cadence import cadence_note
from vla_cache_ros.datasets.info import read_info
from vla_cache_ros.datasets.keys import DataSetKeys
from vla_cache_ros.datasets.layout import STATE
from vla_cache_ros.settings import Settings


@dataclass(frozen=True, kw_only=True)
class DataSetOptions(Settings):
    """With --dataset: the features."""

    image_key: tuple[str, ...] = ()
    """--dataset: camera, with or without observation.images.; one per camera of the checkpoint,
    primary first; its own names if not given."""
    state_key: str = STATE
    """--dataset: feature that is the robot's state."""
    poses: bool = False
    """--dataset: actions are a translation in m, a rotation vector in rad and the gripper."""

    def keys(self, instruction: str, corrections: Choice) -> DataSetKeys:
        """Return these names; instruction: in place of the tasks."""
        return DataSetKeys(
            images=self.image_key,
            state=self.state_key,
            text=instruction.strip(),
            corrections=corrections,
        )


def cadence_of(path: Path, frames: int, period: float | None) -> Cadence:
    """
    Return when observations are taken from a data set, and print what is used if it is not that.

    frames: from one to the next where no period, s, is given. Raises ValueError for what is no
    data set.
    """
    fps = read_info(path).fps
    cadence = Cadence(frames / fps if period is None else period)
    if note := cadence_note(cadence, fps):
        print(f'{path}: {note}')
    return cadence
