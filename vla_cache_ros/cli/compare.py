# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb `vla-cache compare`."""

from dataclasses import dataclass

from vla_cache_ros.cli.fleet import cluster
from vla_cache_ros.cli.fleet import RayAddress
from vla_cache_ros.evaluation.settings import Comparison


@dataclass(frozen=True, kw_only=True)
class Compare(Comparison):
    """Compare gates on the same seeds, by turns; several processes may share one folder."""

    summary: bool = False
    """Run nothing, only write the figures of the folder."""
    ray: RayAddress = None
    """Run the episodes on a Ray cluster that this machine is a node of; without an address on the
    running one, else on one started here (docs/fleet.md)."""

    def __call__(self) -> bool:
        from vla_cache_ros.evaluation.comparison.compare import run_compare
        from vla_cache_ros.evaluation.comparison.compare import run_summary

        if self.summary:
            run_summary(self.out)
            return True
        with cluster(self.ray, self.device) as runner:
            return 'failed' not in run_compare(self, runner)
