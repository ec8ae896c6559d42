# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb `vla-cache train gate`: on demonstrations, one's own bags, or LeRobot data sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

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
from vla_cache_ros.settings import Count
from vla_cache_ros.settings import Settings
from vla_cache_ros.training.settings import GateTraining


@dataclass(frozen=True, kw_only=True)
class FromBags(TopicOptions, ImageOptions):
    """With --bag or --dataset: what is recorded, and what is held out."""

    period: float | None = None
    """--bag, --dataset: seconds between two inferences; 0.4, or 0.1 for a model of action tokens;
    of a data set 4 frames, or 1."""
    offsets: Count = 4
    """--bag, --dataset: walks through each episode, each begun later."""
    held_out: Count | None = None
    """--bag, --dataset: how many of the last episodes are held out; a fifth if not given."""
    unnorm_key: str | None = None
    """--bag, --dataset: data set whose statistics scale state and actions."""
    ray: RayAddress = None
    """--bag, --dataset: record on a Ray cluster that this machine is a node of; without an address
    on the running one, else on one started here (docs/fleet.md). The training stays here."""


@dataclass(frozen=True, kw_only=True)
class TrainGate(Settings):
    """Teach a gate what to recompute, through the frozen model; `torchrun` shares the work."""

    out: Path
    """Folder for weights and curves; a run there goes on."""
    data: tuple[Path, ...] = ()
    """Folder of demonstrations; repeat."""
    bag: tuple[Path, ...] = ()
    """Bag of your robot, no labels; repeat."""
    dataset: tuple[Path, ...] = ()
    """Folder of a LeRobotDataset v3.0, its actions are not used; repeat."""
    checkpoint: str = 'tabletop'
    """Model to train through, frozen."""
    device: str = 'cpu'
    """Torch device: cpu, cuda or cuda:N."""
    training: GateTraining = GateTraining()
    along: FromBags = FromBags()
    data_sets: DataSetOptions = DataSetOptions()

    def __call__(self) -> None:
        """Train; raises ValueError for several kinds of recordings at once, or none."""
        given = [f'--{name}' for name in ('data', 'bag', 'dataset') if getattr(self, name)]
        if len(given) != 1:
            got = ' and '.join(given) or 'none'
            raise ValueError(f'expected one of --data, --bag and --dataset, got {got}')
        training = self.training
        if training.price is not None:
            training = replace(training, target=None)
        if not self.dataset:
            refuse(self.data_sets, 'needs --dataset')
        if self.data:
            refuse(self.along, 'needs --bag or --dataset: see vla-cache train gate --help')
            from vla_cache_ros.training.run import train_on_demonstrations

            train_on_demonstrations(self.checkpoint, self.data, self.out, training, self.device)
            return
        from vla_cache_ros.training.run import train_on_bags

        train_on_bags(
            self.checkpoint,
            self._bags() if self.bag else self._data_sets(),
            self.out,
            training,
            self.along.held_out,
            self.along.unnorm_key,
            self.device,
            self.along.images(),
            None if self.along.ray is None else partial(_record_far, self.along.ray),
        )

    def _bags(self) -> Any:
        from vla_cache_ros.bags.steps import Cadence
        from vla_cache_ros.training.bag_recordings import BagSource

        along, period = self.along, self.along.period
        if period is None:
            period = usual_steps(self.checkpoint) / CONTROL_FREQUENCY
        topics = replace(along.named(), encoding_8uc3=along.encoding_8uc3)
        return BagSource(self.bag, topics, Cadence(period), along.offsets)

    def _data_sets(self) -> Any:
        refuse(self.along, 'needs --bag', ONLY_BAGS)
        from vla_cache_ros.training.bag_recordings import DataSetSource

        along, frames = self.along, usual_steps(self.checkpoint)
        keys = self.data_sets.keys(along.instruction, along.corrections)
        cadences = [cadence_of(path, frames, along.period) for path in self.dataset]
        return DataSetSource(self.dataset, keys, cadences, along.offsets, self.data_sets.poses)


def _record_far(address: str, recordings: Sequence[Any]) -> None:
    from vla_cache_ros.training.recording.far import record_far

    with cluster(address) as runner:
        record_far(recordings, runner)
