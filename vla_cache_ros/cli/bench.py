# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb `vla-cache bench`; the method is in docs/measured/performance.md."""

from dataclasses import dataclass

from vla_cache_ros.evaluation.settings import Benchmark


@dataclass(frozen=True, kw_only=True)
class Bench(Benchmark):
    """Time the plain Hugging Face loop and every variant of the engine, by turns."""

    def __call__(self) -> bool:
        from vla_cache_ros.evaluation.bench.bench import run_bench

        return run_bench(self)['checks']['ok']
