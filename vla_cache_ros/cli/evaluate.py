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
from vla_cache_ros.cli.bags import refuse
from vla_cache_ros.cli.bags import TopicOptions
from vla_cache_ros.cli.bags import usual_steps
from vla_cache_ros.cli.fleet import cluster
from vla_cache_ros.cli.fleet import RayAddress
from vla_cache_ros.cli.images import ImageOptions
from vla_cache_ros.evaluation.settings import Checkpoint
from vla_cache_ros.evaluation.settings import ClosedLoop
from vla_cache_ros.evaluation.settings import InLoop
from vla_cache_ros.evaluation.settings import Placed
from vla_cache_ros.settings import Count
from vla_cache_ros.settings import Share


@dataclass(frozen=True, kw_only=True)
class AlongBags(TopicOptions, ImageOptions):
    """With --bag: what is read, compared and written."""

    out: Path = Path('evaluation')
    """--bag: folder for report.html and report.json."""
    report_topic: str = BagTopics.report
    """--bag: a live node's step reports, which name the observations; '' chooses by time."""
    state: Literal['recorded', 'middle'] = 'recorded'
    """--bag: recorded, or the middle of the checkpoint's range where a bag has no state."""
    execute_steps: Count | None = None
    """--bag: actions of a chunk that are executed, hence compared (4; 1 for action tokens)."""
    period: float | None = None
    """--bag: s between two observations where no live node chose them (execute-steps / 10)."""
    processes: Count | None = None
    """--bag: bags at a time (one per core)."""
    ray: RayAddress = None
    """--bag: on a Ray cluster that this machine is a node of; without an address on the running
    one, else on one started here (docs/fleet.md)."""


@dataclass(frozen=True, kw_only=True)
class Evaluate(Placed, Checkpoint):
    """Evaluate gates: closed-loop episodes in process, or with --bag along recordings."""

    gate: tuple[str, ...] = ()
    """Gate that chooses which visual tokens to recompute.
    With --bag: [label=]gate[@folder][,recovery|first|reuse|towers=X]; repeat."""
    reuse: tuple[Share, ...] = ()
    """Share of visual tokens taken from the cache; the gate knows its own default.
    With --bag it may be repeated."""
    bag: tuple[Path, ...] = ()
    """rosbag2 folder, .mcap or .db3 file to evaluate on; repeat."""
    closed_loop: InLoop = InLoop()
    recordings: AlongBags = AlongBags()

    def __call__(self) -> bool:
        if self.bag:
            refuse(self.closed_loop, 'cannot be combined with --bag')
            return self._along_bags()
        refuse(self.recordings, 'needs --bag')
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

    def _along_bags(self) -> bool:
        from vla_cache_ros.bags.walk import Cadence
        from vla_cache_ros.evaluation.recordings.evaluate import run_bags
        from vla_cache_ros.evaluation.recordings.run import BagTask

        along = self.recordings
        topics = replace(along.named(along.report_topic), encoding_8uc3=along.encoding_8uc3)
        executed = along.execute_steps or usual_steps(self.checkpoint)
        period = executed / CONTROL_FREQUENCY if along.period is None else along.period
        tasks = [
            BagTask(bag, topics, Cadence(period), executed, along.state, bool(along.image_topic))
            for bag in self.bag
        ]
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
            f'{option}: expected it once, got it {len(values)} times; several gates go with --bag '
            'or vla-cache compare'
        )
    return values[0] if values else None
