# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb `vla-cache report`."""

from dataclasses import dataclass
from pathlib import Path

from vla_cache_ros.evaluation.settings import Episodes
from vla_cache_ros.evaluation.settings import Gated
from vla_cache_ros.settings import Count


@dataclass(frozen=True, kw_only=True)
class Report(Gated, Episodes):
    """Show which tokens a gate recomputes in an episode, why, and what dense would have done."""

    out: Path
    """Folder for film strip, video, page and figures."""
    episodes: Count = 1
    """Several also give reuse in quiet and in contact phases."""

    def __call__(self) -> None:
        from vla_cache_ros.evaluation.episode.report import run_report

        run_report(self.checkpoint, self.gate, self.reuse, self.episodes, self.seed, self.out)
