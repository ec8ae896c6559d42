# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb `vla-cache record`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Record:
    """Record the running graph into a rosbag2 (MCAP) folder until Ctrl-C."""

    out: Path
    """Folder of the bag; must not exist yet."""
    topic: tuple[str, ...] = ()
    """Topic to record; a robot's usual ones if none is given; repeat."""

    def __call__(self) -> None:
        from vla_cache_ros.ros.recorder import run_record

        run_record(self.out, self.topic)
