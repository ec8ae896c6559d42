# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Give every step on a CPU as many threads as the machine has to spare at this moment.

A step meets at a barrier hundreds of times. A thread that shares its core with another process
keeps all others waiting there, so a thread more makes such a step slower, many times over. How
much of the cores others use is read before a step; nothing has to go wrong first.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import math
import os
import time

import torch

WINDOW = 0.1  # s; the kernel counts in hundredths
TAKEN = 0.4  # share of a core beyond which others have it: idle machines read below 0.2
HOLD = 1.0  # s that a core has to be free before it is used again
_LINE = 128  # bytes that a core's line of /proc/stat has at most
_TICKS = os.sysconf('SC_CLK_TCK')  # of its clock, a second
_SPARE = 4  # a machine with so many cores leaves one in so many to drivers


@dataclass(frozen=True)
class Load:
    """Hold what was used up to `wall` (s): `busy` by all on `cores`, `own` by this process."""

    wall: float
    busy: float
    own: float
    cores: int


class Threads:
    """
    Choose the threads of one policy's steps.

    count: exactly so many; 0: as many as torch has been given, of which a machine with four cores
    or more leaves a quarter alone, but no more than others leave free. read: returns the load,
    None where the system does not tell. Raises ValueError for a negative count.
    """

    def __init__(self, count: int = 0, read: Callable[[], Load | None] | None = None) -> None:
        if count < 0:
            raise ValueError(f'threads: expected 0 (automatic) or more, got {count}')
        self._count = count
        self._read = read or read_load
        self._last = None if count else self._read()
        self._free: int | None = None  # cores, None: nobody has been seen on them
        self._waiting: tuple[float, int] | None = None  # since when so many were free, s

    @contextmanager
    def step(self) -> Iterator[None]:
        """Run what is inside on the threads of the moment; torch has its number back after."""
        given = torch.get_num_threads()
        chosen = self.choose(given)
        if chosen == given:
            yield
            return
        torch.set_num_threads(chosen)
        try:
            yield
        finally:
            torch.set_num_threads(given)

    def choose(self, given: int) -> int:
        """Return the threads of the step that begins now; given: how many torch may use."""
        if self._count or given == 1:
            return self._count or 1
        last = self._last
        load = self._read()
        if load is None:
            return given
        if last is None or load.cores != last.cores:
            self._last, self._free, self._waiting = load, None, None
        elif load.wall - last.wall >= WINDOW:
            self._last = load
            self._note(last, load)
        most = load.cores - (load.cores // _SPARE if load.cores >= _SPARE else 0)
        return max(1, min(given, most, load.cores if self._free is None else self._free))

    def _note(self, last: Load, load: Load) -> None:
        """Give a taken core up at once, take it back once it was free for a while."""
        others = (load.busy - last.busy - load.own + last.own) / (load.wall - last.wall)
        free = math.floor(load.cores - max(others, 0.0) + TAKEN)
        if self._free is None or free <= self._free:
            self._free, self._waiting = free, None
            return
        since, fewest = self._waiting or (last.wall, free)
        self._waiting = since, min(fewest, free)
        if load.wall - since >= HOLD:
            self._free, self._waiting = self._waiting[1], None


def read_load() -> Load | None:
    """Return the load of the cores that this thread may use, from /proc/stat."""
    try:
        cores = os.sched_getaffinity(0)
        file = os.open('/proc/stat', os.O_RDONLY)
    except (AttributeError, OSError):
        return None
    try:  # not the whole of it: long lines about interrupts follow
        text = os.read(file, _LINE * (2 + max(cores)))
    finally:
        os.close(file)
    ticks, found = 0, 0
    for line in text.split(b'\n')[1:]:
        name, *values = line.split()[:9]
        if not name.startswith(b'cpu'):
            break
        if int(name[3:]) in cores:
            user, nice, system, _, _, irq, softirq, stolen = map(int, values)
            ticks += user + nice + system + irq + softirq + stolen
            found += 1
    if found != len(cores):
        return None
    return Load(time.perf_counter(), ticks / _TICKS, time.process_time(), found)
