# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Remove the shared memory that killed processes have left, as `fastdds shm clean` does.

Fast DDS gives each process a segment of half a megabyte and a lock file beside it; both outlive a
process that is killed, and nothing else removes them. Whose lock is free has no owner. Another
middleware leaves no such files, and nothing happens.
"""

import fcntl
from pathlib import Path
import re
import time

FOLDER = Path('/dev/shm')  # noqa: S108 - where Linux keeps shared memory
AGE = 10.0  # s; a younger lock file may not have been locked yet by who makes it
_LOCK = re.compile(r'fastrtps_[0-9a-f]{16}_el')


def dead_segments(age: float = 0.0) -> list[Path]:
    """Return the segments whose processes are gone and that are at least so old (s)."""
    found, latest = [], time.time() - age
    for lock in FOLDER.glob('fastrtps_*_el'):
        try:
            if _LOCK.fullmatch(lock.name) and lock.stat().st_mtime <= latest:
                with lock.open('rb') as file:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                found.append(lock.with_name(lock.name.removesuffix('_el')))
        except OSError:  # held, another user's, or just removed by somebody else
            continue
    return found


def remove_dead_segments() -> None:
    """Remove dead segments, and their locks, unless they are very young."""
    for segment in dead_segments(AGE):
        for path in (segment, segment.with_name(f'{segment.name}_el')):
            try:
                path.unlink(missing_ok=True)
            except OSError:  # another user's
                continue
