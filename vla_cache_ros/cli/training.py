# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb `vla-cache train gate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from vla_cache_ros.cli.bags import CONTROL_FREQUENCY
from vla_cache_ros.cli.bags import refuse
from vla_cache_ros.cli.bags import TopicOptions
from vla_cache_ros.cli.bags import usual_steps
from vla_cache_ros.settings import Bounds
from vla_cache_ros.settings import Count
from vla_cache_ros.settings import Index
from vla_cache_ros.settings import Settings


@dataclass(frozen=True, kw_only=True)
class OfBags(TopicOptions):
    """With --bag: what is read, and how."""

    period: float | None = None
    """--bag: s between two inferences: execute_steps / rate of the node (4, or 1, / 10)."""
    offsets: Count = 4
    """--bag: walks through each episode, each begun later."""
    held_out: Count | None = None
    """--bag: how many of the last episodes are held out; a fifth if not given."""
    unnorm_key: str | None = None
    """--bag: data set whose statistics scale state and actions."""


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
    loss: str = 'distill'
    """distill (no labels needed) or demonstrations."""
    target: float | None = 0.77
    """Mean reuse to hold; see --price."""
    price: Annotated[float, Bounds(0)] | None = None
    """Fixed price of recomputing (lambda) instead of a target."""
    predictor: str = 'regressed'
    """regressed, or relaxed as in the paper."""
    stage1: Index = 4000
    """Updates of stage I."""
    stage2: Index = 0
    """Updates of stage II; see docs/method.md."""
    align: str = 'effects'
    """What stage I teaches: effects, or attention as in the paper."""
    walks: Count = 24
    """Pieces of about 270 samples that effects are taken from."""
    batch: Count = 8
    """Frames per update and process."""
    relative: bool = True
    """Let an action error count by how slow the motion is."""
    peak: Annotated[float, Bounds(0)] = 2e-3
    """Peak learning rate."""
    language: bool = True
    """Let the gate see the instruction."""
    first_share: float | None = None
    """Share of the tokens that an episode's first step computes; 0.75, with bags 1."""
    execute_steps: Count = 4
    """Actions of a chunk that the robot carries out."""
    from_gate: Path | None = None
    """Folder of a gate of this model to begin with."""
    seed: Index = 0
    """Seed of everything random."""
    of_bags: OfBags = OfBags()

    def __call__(self) -> None:
        if bool(self.data) == bool(self.bag):
            got = 'both' if self.data else 'neither'
            raise ValueError(f'expected demonstrations (--data) or bags (--bag), got {got}')
        if self.data:
            refuse(self.of_bags, 'needs --bag')
        from vla_cache_ros.training.gate_settings import GateTraining

        usual = 0.75 if self.data else 1.0
        first_share = usual if self.first_share is None else self.first_share
        target = self.target if self.price is None else None
        start = None if self.from_gate is None else str(self.from_gate)
        own = {'out', 'data', 'bag', 'checkpoint', 'of_bags', 'from_gate', 'first_share', 'target'}
        shared = {name: value for name, value in vars(self).items() if name not in own}
        training = GateTraining(first_share=first_share, target=target, start=start, **shared)
        if self.data:
            from vla_cache_ros.training.gate_run import train_on_demonstrations

            train_on_demonstrations(self.checkpoint, self.data, self.out, training)
            return
        from vla_cache_ros.bags.steps import Cadence
        from vla_cache_ros.training.bag_recordings import BagSource
        from vla_cache_ros.training.bag_training import train_on_bags

        of = self.of_bags
        period = usual_steps(self.checkpoint) / CONTROL_FREQUENCY
        cadence = Cadence(period if of.period is None else of.period)
        source = BagSource(self.bag, of.named(), cadence, of.offsets)
        train_on_bags(self.checkpoint, source, self.out, training, of.held_out, of.unnorm_key)
