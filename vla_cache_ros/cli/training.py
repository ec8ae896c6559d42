# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb `vla-cache train gate`: on demonstrations, or on bags of one's own robot."""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vla_cache_ros.cli.bags import CONTROL_FREQUENCY
from vla_cache_ros.cli.bags import refuse
from vla_cache_ros.cli.bags import TopicOptions
from vla_cache_ros.cli.bags import usual_steps
from vla_cache_ros.cli.fleet import cluster
from vla_cache_ros.cli.fleet import RayAddress
from vla_cache_ros.cli.images import ImageOptions
from vla_cache_ros.settings import Count
from vla_cache_ros.settings import Settings
from vla_cache_ros.training.settings import GateTraining


@dataclass(frozen=True, kw_only=True)
class FromBags(TopicOptions, ImageOptions):
    """With --bag: what is recorded, and what is held out."""

    period: float | None = None
    """--bag: seconds between two inferences; 0.4, or 0.1 for a model of action tokens."""
    offsets: Count = 4
    """--bag: walks through each episode, each begun later."""
    held_out: Count | None = None
    """--bag: how many of the last episodes are held out; a fifth if not given."""
    unnorm_key: str | None = None
    """--bag: data set whose statistics scale state and actions."""
    ray: RayAddress = None
    """--bag: record on a Ray cluster that this machine is a node of; without an address on the
    running one, else on one started here (docs/fleet.md). The training itself stays here."""


@dataclass(frozen=True, kw_only=True)
class TrainGate(Settings):
    """Teach a gate what to recompute, through the frozen model; `torchrun` shares the work."""

    out: Path
    """Folder for weights and curves; a run there goes on."""
    data: tuple[Path, ...] = ()
    """Folder of demonstrations; repeat."""
    bag: tuple[Path, ...] = ()
    """Bag of your robot, no labels; repeat."""
    checkpoint: str = 'tabletop'
    """Model to train through, frozen."""
    device: str = 'cpu'
    """Torch device: cpu, cuda or cuda:N."""
    training: GateTraining = GateTraining()
    along: FromBags = FromBags()

    def __call__(self) -> None:
        """Train; raises ValueError for demonstrations and bags at once, or neither."""
        if bool(self.data) == bool(self.bag):
            got = 'both' if self.data else 'neither'
            raise ValueError(f'expected demonstrations (--data) or bags (--bag), got {got}')
        training, along = self.training, self.along
        if training.price is not None:
            training = replace(training, target=None)
        if self.data:
            refuse(along, 'needs --bag: see vla-cache train gate --help')
            from vla_cache_ros.training.run import train_on_demonstrations

            train_on_demonstrations(self.checkpoint, self.data, self.out, training, self.device)
            return
        from vla_cache_ros.bags.steps import Cadence
        from vla_cache_ros.training.bag_recordings import BagSource
        from vla_cache_ros.training.run import train_on_bags

        period = along.period
        if period is None:
            period = usual_steps(self.checkpoint) / CONTROL_FREQUENCY
        topics = replace(along.named(), encoding_8uc3=along.encoding_8uc3)
        source = BagSource(self.bag, topics, Cadence(period), along.offsets)
        train_on_bags(
            self.checkpoint,
            source,
            self.out,
            training,
            along.held_out,
            along.unnorm_key,
            self.device,
            along.images(),
            None if along.ray is None else partial(_record_far, along.ray),
        )


def _record_far(address: str, recordings: Sequence[Any]) -> None:
    from vla_cache_ros.training.far.bags import record_far

    with cluster(address) as runner:
        record_far(recordings, runner)
