# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb `vla-cache paper`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Paper:
    """Print the paper's tables with our measured rows, and the command for every open one."""

    results: tuple[Path, ...] = ()
    """A compare.json, bench.json or --json file of evaluate to print too; repeat."""

    def __call__(self) -> None:
        from vla_cache_ros.evaluation.paper import run_paper

        run_paper(self.results)
