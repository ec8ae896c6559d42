# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Keep the curve of a gate's training in a file of its own, one line a segment."""

from collections.abc import Sequence
import csv
from pathlib import Path

FIELDS = ('stage', 'update', 'loss', 'covered', 'reuse', 'distance', 'price', 'seconds')


def append(path: Path, stage: int, update: int, figures: Sequence[float], seconds: float) -> None:
    """Add a line; figures: those from `loss` to `price`."""
    header = not path.exists()
    with path.open('a', newline='') as file:
        log = csv.writer(file)
        if header:
            log.writerow(FIELDS)
        log.writerow([stage, update, *(f'{v:.5f}' for v in figures), f'{seconds:.0f}'])


def first_stage(path: Path) -> list[dict[str, float]]:
    """Return update, loss and covered share of every segment of stage I."""
    with path.open(newline='') as file:
        rows = [row for row in csv.DictReader(file) if row['stage'] == '1']
    return [{name: float(row[name]) for name in ('update', 'loss', 'covered')} for row in rows]
