# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say what gates are run along, a bag or episodes of a LeRobot data set, and open it for a policy.

Opening checks that it has what the policy takes. Runs nothing.
"""

from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
import hashlib
from pathlib import Path
from typing import Any
from typing import ClassVar
from typing import TYPE_CHECKING

from vla_cache_ros.bags.compression import compression_of
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.steps import BagStep
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.bags.walk import walk
from vla_cache_ros.datasets.keys import check_actions
from vla_cache_ros.datasets.keys import DataSetKeys
from vla_cache_ros.datasets.keys import number_names
from vla_cache_ros.evaluation.recordings.steps import ActionNumbers
from vla_cache_ros.evaluation.recordings.steps import POSE

if TYPE_CHECKING:
    from vla_cache_ros.evaluation.comparison.entries import Entry
    from vla_cache_ros.evaluation.recordings.run import BagResult

RECORDED, MIDDLE = 'recorded', 'middle'  # where the robot's state comes from
BLOCK = 50  # episodes of a data set that are one task


@dataclass(frozen=True)
class Opened:
    """
    Hold what a task has for a policy.

    steps: walk through it; takes what was in the way. damage: what could not be read, complete
    once it was walked through. numbers: what those of an action are. compression: of pictures.
    """

    steps: Callable[[Counter[str]], Iterator[BagStep]]
    damage: Callable[[], str]
    numbers: ActionNumbers
    compression: str = ''


@dataclass(frozen=True)
class BagTask:
    """
    Say what is run on a bag.

    executed: actions of a chunk that are compared. state: MIDDLE feeds the middle of the
    checkpoint's range where a bag has no state. named_images: whether the user named the image
    topics; the usual ones are cut to the cameras of the checkpoint.
    """

    path: Path
    topics: BagTopics
    cadence: Cadence
    executed: int
    state: str = RECORDED
    named_images: bool = False
    kind: ClassVar[str] = 'bags'

    @property
    def name(self) -> str:
        """Return what the task is called in reports."""
        return str(self.path)

    def run(self, policies: Mapping['Entry', Any], progress: bool = False) -> 'BagResult':
        """Run the policies; see `run_bag`."""
        from vla_cache_ros.evaluation.recordings.run import run_bag

        return run_bag(self, policies, progress)

    def description(self) -> dict[str, Any]:
        """Return how bags are looked at, as JSON values for the report."""
        return {
            'execute_steps': self.executed,
            'state': self.state,
            'cadence': asdict(self.cadence),
            'topics': asdict(self.topics),
        }

    def identity(self) -> dict[str, Any]:
        """Return as JSON values what a result depends on, the bag's files by size and time."""
        files = [self.path] if self.path.is_file() else sorted(self.path.glob('*'))
        return {**asdict(self), 'path': str(self.path), 'files': _stamps(self.path, files)}

    def open(self, dense: Any) -> Opened:
        """Return what the bag has for a policy; raises ValueError for what it lacks."""
        topics = _topics_for(self, dense)
        bag = Bag(self.path)
        _check_executed(self, dense)
        _check_bag(bag, topics, self, dense)
        # a model whose state is that of joints acts in joints
        poses = len(dense.statistics.action) == len(POSE) and not topics.arm_joints
        return Opened(
            lambda notes: walk(bag, topics, self.cadence, notes),
            lambda: bag.damage,
            ActionNumbers(poses=poses),
            compression_of(bag, topics.recorded_images(bag)),
        )


@dataclass(frozen=True)
class DataSetTask:
    """
    Say what is run on episodes of a LeRobot data set.

    executed, state: as of a bag. poses: whether the user says that actions are poses. episodes:
    the first, and the one after the last; None for all.
    """

    path: Path
    keys: DataSetKeys
    cadence: Cadence
    executed: int
    state: str = RECORDED
    poses: bool = False
    episodes: tuple[int, int] | None = None
    kind: ClassVar[str] = 'parts of data sets'

    @property
    def name(self) -> str:
        """Return what the task is called in reports."""
        if self.episodes is None:
            return str(self.path)
        first, end = self.episodes
        return f'{self.path}, episodes {first} to {end - 1}'

    def run(self, policies: Mapping['Entry', Any], progress: bool = False) -> 'BagResult':
        """Run the policies; see `run_bag`."""
        from vla_cache_ros.evaluation.recordings.run import run_bag

        return run_bag(self, policies, progress)

    def description(self) -> dict[str, Any]:
        """Return how data sets are looked at, as JSON values for the report."""
        return {
            'execute_steps': self.executed,
            'state': self.state,
            'cadence': asdict(self.cadence),
            'keys': asdict(self.keys),
        }

    def identity(self) -> dict[str, Any]:
        """Return as JSON values what a result depends on, all its files by size and time."""
        files = sorted(file for file in self.path.rglob('*') if file.is_file())
        return {**asdict(self), 'path': str(self.path), 'files': _stamps(self.path, files)}

    def open(self, dense: Any) -> Opened:
        """Return what the data set has for a policy; raises ValueError for what it lacks."""
        from vla_cache_ros.datasets.dataset import DataSet
        from vla_cache_ros.datasets.walk import walk as walk_data_set

        _check_executed(self, dense)
        data = DataSet(self.path)
        info, size = data.info, len(dense.statistics.action)
        needs = dense.proprio_size
        if self.state == MIDDLE and self.keys.state not in info.features:
            needs = 0
        try:
            keys = self.keys.fitted(data.path, info, dense.num_images, dense.camera_names, needs)
        except ValueError as error:
            if needs and self.state != MIDDLE and self.keys.state not in info.features:
                raise ValueError(f'{error}{_INSTEAD}') from None
            raise
        keys = replace(keys, action=check_actions(data.path, info, keys.action, size))
        names = number_names(info.features.get(keys.action))
        if self.poses and size != len(POSE):
            raise ValueError(
                f'--poses: expected actions of {len(POSE)} numbers ({", ".join(POSE)}), got '
                f'{size}: leave it out'
            )
        chosen = None if self.episodes is None else range(*self.episodes)
        ahead = self.executed if keys.action else 0
        return Opened(
            lambda notes: walk_data_set(data, keys, self.cadence, notes, chosen, ahead),
            lambda: data.damage,
            ActionNumbers(poses=self.poses, names=() if self.poses else names),
            data.compression(keys.images),
        )


Task = BagTask | DataSetTask
_INSTEAD = '; this checkpoint takes a state: --state middle feeds the middle of its range instead'


def data_set_tasks(task: DataSetTask) -> list[DataSetTask]:
    """
    Return a task for each BLOCK of episodes of a data set, the task itself if they are few.

    Raises ValueError, in one line, where its episodes cannot be listed.
    """
    from vla_cache_ros.datasets.dataset import DataSet

    indices = [episode.index for episode in DataSet(task.path).episodes()]
    if len(indices) <= BLOCK:
        return [task]
    firsts = indices[::BLOCK]
    ends = [*firsts[1:], indices[-1] + 1]
    return [replace(task, episodes=block) for block in zip(firsts, ends, strict=True)]


def _stamps(folder: Path, files: Sequence[Path]) -> str:
    """Return what tells files from others that were written in their place."""
    digest = hashlib.sha256()
    for file in files:
        stat, name = file.stat(), file.relative_to(folder)
        digest.update(f'{name} {stat.st_size} {stat.st_mtime_ns}\n'.encode())
    return digest.hexdigest()


def _check_executed(task: Task, dense: Any) -> None:
    if task.executed > dense.chunk:
        raise ValueError(
            f'expected --execute-steps of at most {dense.chunk}, the actions that this checkpoint '
            f'gives at a time, got {task.executed}'
        )


def _topics_for(task: BagTask, dense: Any) -> BagTopics:
    topics = task.topics
    if not task.named_images and len(topics.images) > dense.num_images:
        return replace(topics, images=topics.images[: dense.num_images])
    if len(topics.images) != dense.num_images:
        raise ValueError(
            f'expected {dense.num_images} --image-topic for this checkpoint, primary camera '
            f'first, got {len(topics.images)} ({", ".join(topics.images)})'
        )
    return topics


def _check_bag(bag: Bag, topics: BagTopics, task: BagTask, dense: Any) -> None:
    if dense.proprio_size and (task.state != MIDDLE or topics.states(bag)):
        topics.layout.check(dense.proprio_size)
    topics.check(bag, needs_state=False)
    try:
        topics.check(bag, needs_state=dense.proprio_size > 0 and task.state != MIDDLE)
    except ValueError as error:
        raise ValueError(f'{error}{_INSTEAD}') from None
