# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb `vla-cache verify`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Compare a checkpoint with the golden outputs in its folder, array by array."""

    golden: Path
    """Folder with a checkpoint and golden outputs."""
    json: Path | None = None
    """File for the figures."""

    def __call__(self) -> bool:
        from vla_cache_ros.evaluation.verify import run_verify

        return run_verify(self.golden, self.json)
