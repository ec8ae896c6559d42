# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The verb `vla-cache paper`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Paper:
    """Print the paper's tables, ours beside them and how to fill them; or add a measurement."""

    add: tuple[Path, ...] = ()
    """compare.json, bench.json or the --json of evaluate, to add to the book; repeat."""
    book: Path | None = None
    """Markdown file of all records: docs/benchmarks.md where there is one, else benchmarks.md."""
    commit: str | None = None
    """--add: what a file was measured at that does not say so itself."""

    def __call__(self) -> None:
        from vla_cache_ros.evaluation.paper import run_paper

        run_paper(self.add, self.book, self.commit)
