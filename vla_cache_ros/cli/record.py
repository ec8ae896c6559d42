# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb `vla-cache record`."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from vla_cache_ros.cli.view import Viewed


@dataclass(frozen=True, kw_only=True)
class Record(Viewed):
    """Record the running graph into a rosbag2 (MCAP) folder until Ctrl-C."""

    out: Path
    """Folder of the bag; must not exist yet."""
    topic: tuple[str, ...] = ()
    """Topic to record; a robot's usual ones if none is given; repeat."""

    def __call__(self) -> None:
        from vla_cache_ros.ros.recorder import run_record

        with ExitStack() as stack:
            if self.view is not None:
                from vla_cache_ros.live.view import viewing

                stack.enter_context(viewing(self.view))
            run_record(self.out, self.topic)
