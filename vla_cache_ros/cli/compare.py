# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb `vla-cache compare`."""

from dataclasses import dataclass

from vla_cache_ros.evaluation.settings import Comparison


@dataclass(frozen=True, kw_only=True)
class Compare(Comparison):
    """Compare gates on the same seeds, by turns; several processes may share one folder."""

    summary: bool = False
    """Run nothing, only write the figures of the folder."""

    def __call__(self) -> None:
        from vla_cache_ros.evaluation.comparison.compare import run_compare
        from vla_cache_ros.evaluation.comparison.compare import run_summary

        if self.summary:
            run_summary(self.out)
        else:
            run_compare(self)
