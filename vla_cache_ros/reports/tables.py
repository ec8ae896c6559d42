# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Print a table: aligned for a terminal, or in GitHub's Markdown. Formats no number."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Hold column names and rows of cells that are already formatted."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, str]]) -> 'Table':
        """Return a table of one or more rows that say which cell belongs to which column."""
        return cls(list(rows[0]), [list(row.values()) for row in rows])

    def text(self) -> str:
        """Return it for a terminal: the first column to the left, the others to the right."""
        return self._print('simple')

    def markdown(self) -> str:
        """Return it in GitHub's Markdown, aligned as `text` is."""
        return self._print('pipe')

    def _print(self, form: str) -> str:
        # here: `make gpu` imports this file in an environment that may lack it
        from tabulate import tabulate

        sides = ['left', *['right'] * (len(self.columns) - 1)]
        return tabulate(
            self.rows,
            self.columns,
            form,
            colalign=sides,
            headersalign=sides,
            disable_numparse=True,
        )
