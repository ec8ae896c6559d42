# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Record bags on a Ray cluster: a bag is read where there is room, its shards are written here.

A shard is larger than what may travel at once, so it comes in pieces. Knows no model.
"""

from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
import re
import shutil
import sys
from tempfile import TemporaryDirectory
from typing import Any
from typing import Protocol

from tqdm import tqdm
from vla_cache_ros.fleet.jobs import Job
from vla_cache_ros.fleet.jobs import Outcome
from vla_cache_ros.reports.hardware import code
from vla_cache_ros.training.recording.one import Recording

PIECE = 4 * 2**20  # bytes
_FILE = re.compile(r'[0-9]{4,}(\.images\.npy|\.npz)')  # of a shard


class PieceRunner(Protocol):
    """Run tasks that yield more than their result."""

    def run(self, job: Job, tasks: Sequence[Any], piece: Any) -> Iterator[Outcome]:
        """Yield an outcome for each task; piece: is given (index, try, what was yielded)."""
        ...

    @property
    def status(self) -> str:
        """Return what a line of progress says beside the count."""
        ...


def record_far(recordings: Sequence[Recording], runner: PieceRunner) -> None:
    """
    Have bags recorded elsewhere and write what comes to their folders.

    Raises ValueError where one could not be recorded; the others are complete then.
    """
    tries: dict[int, int] = {}

    def piece(index: int, number: int, value: tuple[str, bytes]) -> None:
        name, content = value
        if not _FILE.fullmatch(name):
            raise ValueError(f'expected a file of a shard, got {name!r}')
        folder = recordings[index].folder
        if tries.get(index) != number:  # what an interrupted or lost one left
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            tries[index] = number
        with (folder / name).open('ab') as file:
            file.write(content)

    failed: list[str] = []
    job = Job(None, _begin, _work, _same)
    with tqdm(runner.run(job, recordings, piece), total=len(recordings), unit='bag') as bar:
        for outcome in bar:
            bar.set_postfix_str(runner.status)
            recording = recordings[outcome.index]
            if outcome.error:
                failed.append(f'{recording.path}: {outcome.error}')
                print(f'{recording.path}: not recorded: {outcome.error}', file=sys.stderr)
            else:
                recording.finish(outcome.result)
    if failed:
        raise ValueError(
            f'bags: expected all to be recorded, {len(failed)} of {len(recordings)} were not, the '
            f'first {failed[0]}; mend them or leave them out, the others are not read again'
        )


def _same(_: None) -> dict[str, str]:
    return code()


def _begin(_: None) -> None:
    """Share nothing."""


def _work(_: None, recording: Recording) -> Iterator[Any]:
    """Yield (file name, bytes) of the shards, then the facts."""
    with TemporaryDirectory() as place:
        folder = Path(place) / 'shards'
        facts = recording.write(folder)
        for path in sorted(folder.glob('*')):
            with path.open('rb') as file:
                while content := file.read(PIECE):
                    yield path.name, content
    yield facts
