# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The verb `vla-cache evaluate`: in closed loop in a simulator, or along recordings.

Both share checkpoint and gates. An option of the one is refused with the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any
from typing import Literal

from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.cli.bags import CONTROL_FREQUENCY
from vla_cache_ros.cli.bags import ONLY_BAGS
from vla_cache_ros.cli.bags import refuse
from vla_cache_ros.cli.bags import TopicOptions
from vla_cache_ros.cli.bags import usual_steps
from vla_cache_ros.cli.data_sets import cadence_of
from vla_cache_ros.cli.data_sets import DataSetOptions
from vla_cache_ros.cli.fleet import cluster
from vla_cache_ros.cli.fleet import RayAddress
from vla_cache_ros.cli.images import ImageOptions
from vla_cache_ros.datasets.layout import ACTION
from vla_cache_ros.evaluation.settings import Checkpoint
from vla_cache_ros.evaluation.settings import ClosedLoop
from vla_cache_ros.evaluation.settings import InLoop
from vla_cache_ros.evaluation.settings import Placed
from vla_cache_ros.settings import Count
from vla_cache_ros.settings import Share


@dataclass(frozen=True, kw_only=True)
class AlongBags(TopicOptions, ImageOptions):
    """With --bag or --dataset: what is read, compared and written."""

    out: Path = Path('evaluation')
    """--bag, --dataset: folder for report.html and report.json."""
    report_topic: str = BagTopics.report
    """--bag: a live node's step reports, which name the observations; '' chooses by time."""
    state: Literal['recorded', 'middle'] = 'recorded'
    """--bag, --dataset: recorded, or the middle of the checkpoint's range where there is none."""
    execute_steps: Count | None = None
    """--bag, --dataset: actions of a chunk that are executed, hence compared (4; 1 for action
    tokens)."""
    period: float | None = None
    """--bag, --dataset: s between two observations where no live node chose them (execute-steps
    / 10; of a data set, as many frames)."""
    processes: Count | None = None
    """--bag, --dataset: bags, or parts of 50 episodes, at a time (one per core)."""
    ray: RayAddress = None
    """--bag, --dataset: on a Ray cluster that this machine is a node of; without an address on
    the running one, else on one started here (docs/fleet.md)."""


@dataclass(frozen=True, kw_only=True)
class AlongDataSets(DataSetOptions):
    """With --dataset: what is compared with."""

    action_key: str = ACTION
    """--dataset: feature that is the recorded action; '' compares with none."""


@dataclass(frozen=True, kw_only=True)
class Evaluate(Placed, Checkpoint):
    """Evaluate gates: episodes in closed loop, or along recordings (--bag, --dataset)."""

    gate: tuple[str, ...] = ()
    """Gate that chooses which visual tokens to recompute.
    Along recordings: [label=]gate[@folder][,recovery|first|reuse|towers=X]; repeat."""
    reuse: tuple[Share, ...] = ()
    """Share of visual tokens taken from the cache; the gate knows its own default.
    Along recordings it may be repeated."""
    bag: tuple[Path, ...] = ()
    """rosbag2 folder, .mcap or .db3 file to evaluate on; repeat."""
    dataset: tuple[Path, ...] = ()
    """Folder of a LeRobotDataset v3.0 to evaluate on; repeat."""
    closed_loop: InLoop = InLoop()
    recordings: AlongBags = AlongBags()
    data_sets: AlongDataSets = AlongDataSets()

    def __call__(self) -> bool:
        if self.bag and self.dataset:
            raise ValueError('expected bags (--bag) or data sets (--dataset), got both')
        if not self.dataset:
            refuse(self.data_sets, 'needs --dataset')
        if self.bag:
            refuse(self.closed_loop, 'cannot be combined with --bag')
            return self._along(self._bag_tasks())
        if self.dataset:
            refuse(self.closed_loop, 'cannot be combined with --dataset')
            refuse(self.recordings, 'needs --bag', ONLY_BAGS)
            return self._along(self._data_set_tasks())
        refuse(self.recordings, 'needs --bag or --dataset')
        from vla_cache_ros.evaluation.closed_loop import run_evaluate

        run_evaluate(
            ClosedLoop(
                checkpoint=self.checkpoint,
                gate=_one(self.gate, '--gate') or ClosedLoop.gate,
                reuse=_one(self.reuse, '--reuse'),
                device=self.device,
                dtype=self.dtype,
                **vars(self.closed_loop),
            )
        )
        return True

    def _bag_tasks(self) -> list[Any]:
        from vla_cache_ros.bags.steps import Cadence
        from vla_cache_ros.evaluation.recordings.tasks import BagTask

        along, executed = self.recordings, self._executed()
        topics = replace(along.named(along.report_topic), encoding_8uc3=along.encoding_8uc3)
        period = executed / CONTROL_FREQUENCY if along.period is None else along.period
        return [
            BagTask(bag, topics, Cadence(period), executed, along.state, bool(along.image_topic))
            for bag in self.bag
        ]

    def _data_set_tasks(self) -> list[Any]:
        """Return the tasks; one that cannot be read is told with the others' results."""
        from vla_cache_ros.bags.steps import Cadence
        from vla_cache_ros.evaluation.recordings.tasks import data_set_tasks
        from vla_cache_ros.evaluation.recordings.tasks import DataSetTask

        along, executed = self.recordings, self._executed()
        keys = self.data_sets.keys(along.instruction, along.corrections)
        keys = replace(keys, action=self.data_sets.action_key)
        tasks, broken = [], []
        for path in self.dataset:
            task = DataSetTask(
                path, keys, Cadence(executed), executed, along.state, self.data_sets.poses
            )
            try:
                cadence = cadence_of(path, executed, along.period)
                tasks += data_set_tasks(replace(task, cadence=cadence))
            except (ValueError, OSError) as error:
                broken.append(error)
                tasks.append(task)  # which fails with the same words
        if len(broken) == len(self.dataset):
            raise broken[0]
        return tasks

    def _executed(self) -> int:
        return self.recordings.execute_steps or usual_steps(self.checkpoint)

    def _along(self, tasks: Sequence[Any]) -> bool:
        from vla_cache_ros.evaluation.recordings.evaluate import run_bags

        along = self.recordings
        with cluster(along.ray, self.device, along.processes) as runner:
            figures = run_bags(
                tasks,
                self.checkpoint,
                self.gate or ['learned'],
                self.reuse,
                along.out,
                along.processes,
                self.device,
                self.dtype,
                along.images(),
                runner,
            )
        return bool(figures['bags'])


def _one(values: Sequence[Any], option: str) -> Any:
    if len(values) > 1:
        raise ValueError(
            f'{option}: expected it once, got it {len(values)} times; several gates go with '
            '--bag, --dataset or vla-cache compare'
        )
    return values[0] if values else None
