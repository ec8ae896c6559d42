# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb `vla-cache demo`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vla_cache_ros.cli.view import Viewed
from vla_cache_ros.evaluation.settings import Episodes
from vla_cache_ros.evaluation.settings import Gated
from vla_cache_ros.settings import Count


@dataclass(frozen=True, kw_only=True)
class Demo(Viewed, Gated, Episodes):
    """Drive the simulated arm over real ROS 2, dense and then cached, and show what it saved."""

    episodes: Count = 3
    """Number of episodes."""
    out: Path = Path('demo_out')
    """Folder for report, video and bag."""
    execution: Literal['synchronous', 'asynchronous', 'ensembled'] = 'synchronous'
    """What the robot does while a step is computed; see docs/bring-up.md."""

    def __call__(self) -> None:
        from vla_cache_ros.live.demo import run_demo

        run_demo(**vars(self))
