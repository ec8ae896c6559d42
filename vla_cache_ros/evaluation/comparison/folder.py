# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Keep the episodes of a comparison in a folder that several processes may fill at once.

`comparison.json` says what was compared; `episodes/` has one file of JSON lines per process, first
its machine and then an episode a line. A process claims a seed by a lock that goes with it. Knows
no policy, no environment and no figure.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import fcntl
import json
import os
from pathlib import Path
import sys
import time
from typing import Any

from vla_cache_ros.evaluation.closed_loop import Episode
from vla_cache_ros.evaluation.comparison.entries import Entry
from vla_cache_ros.evaluation.comparison.entries import entry_name
from vla_cache_ros.evaluation.turns import turn_order
from vla_cache_ros.reports.files import write_text

Key = tuple[str, float | None, int]  # label, requested reuse, seed

_MANIFEST = 'comparison.json'
_EPISODES = 'episodes'
_LOCK = '.claims'  # byte 0: the folder as a whole, byte 1 + seed: that seed


@dataclass(frozen=True)
class Record:
    """
    Hold one episode of one entry.

    run: names the process that ran it. threads: of torch. began, ended: Unix time, s.
    """

    run: str
    label: str
    requested_reuse: float | None
    episode: Episode
    threads: int
    began: float
    ended: float

    @property
    def entry(self) -> tuple[str, float | None]:
        """Return what names the entry that it is of."""
        return self.label, self.requested_reuse

    def line(self) -> dict[str, Any]:
        """Return the record as JSON values; times per inference to 0.01 ms."""
        episode = self.episode
        stages = episode.latency_ms[0] if episode.latency_ms else ()
        return {
            'label': self.label,
            'requested_reuse': self.requested_reuse,
            'seed': episode.seed,
            'task': episode.task,
            'success': episode.success,
            'steps': episode.steps,
            'seconds': round(episode.seconds, 4),
            'reuse': [round(value, 6) for value in episode.reuse],
            'refreshes': episode.refreshes,
            'age_counts': episode.age_counts,
            'action_error': [round(value, 7) for value in episode.action_error],
            'latency_ms': {s: [round(v[s], 2) for v in episode.latency_ms] for s in stages},
            'threads': self.threads,
            'began': round(self.began, 2),
            'ended': round(self.ended, 2),
        }

    @classmethod
    def from_line(cls, run: str, line: Mapping[str, Any]) -> 'Record':
        """Return the record that `line` wrote; raises KeyError or TypeError if it did not."""
        stages, columns = tuple(line['latency_ms']), line['latency_ms'].values()
        episode = Episode(
            seed=line['seed'],
            task=line['task'],
            success=line['success'],
            steps=line['steps'],
            reuse=tuple(line['reuse']),
            latency_ms=tuple(
                dict(zip(stages, row, strict=True)) for row in zip(*columns, strict=True)
            ),
            refreshes=tuple(line['refreshes']),
            seconds=line['seconds'],
            age_counts=tuple(line['age_counts']),
            action_error=tuple(line['action_error']),
        )
        rest = (line[name] for name in ('threads', 'began', 'ended'))
        return cls(run, line['label'], line['requested_reuse'], episode, *rest)


class ComparisonFolder:
    """
    Read and extend the folder of one comparison; one object per process and folder.

    records: all episodes read so far. machines: run -> its hardware and versions.
    """

    def __init__(self, path: Path) -> None:
        """Open a folder that has a comparison; raises ValueError for one that has none."""
        self.path = path
        if not (path / _MANIFEST).is_file():
            raise ValueError(
                f'{path}: expected a folder of `vla-cache compare`, found no {_MANIFEST}'
            )
        # opened once: closing any handle of the file would drop all locks of the process
        self._lock = (path / _LOCK).open('w')
        self._run = f'{time.strftime("%Y%m%dT%H%M%S")}-{os.getpid()}-{time.time_ns() % 10**9:09d}'
        self._offsets: dict[str, int] = {}
        self.records: dict[Key, Record] = {}
        self.machines: dict[str, dict[str, Any]] = {}
        for name in self.refresh():
            print(f'{path / _EPISODES / name}: ignored an incomplete last line', file=sys.stderr)

    @classmethod
    def join(cls, path: Path, settings: Mapping[str, Any]) -> 'ComparisonFolder':
        """
        Start a comparison in an empty or new folder, or join the one that is there.

        settings: what must be equal for results to be comparable, name -> JSON value. Raises
        ValueError naming the first that differs, or for a folder with other files.
        """
        path.mkdir(parents=True, exist_ok=True)
        others = sorted(item.name for item in path.iterdir() if not item.name.startswith('.'))
        manifest = path / _MANIFEST
        if others and not manifest.is_file():
            raise ValueError(
                f'{path}: expected an empty folder or that of a comparison, found {others[0]!r}'
            )
        with (path / _LOCK).open('w') as lock:  # closed before the folder's own handle opens
            fcntl.lockf(lock, fcntl.LOCK_EX, 1, 0)
            if not manifest.is_file():
                write_text(manifest, json.dumps({**settings, 'entries': []}, indent=1) + '\n')
        found = _read_manifest(manifest)
        for name, value in settings.items():
            if found.get(name) != value:
                raise ValueError(
                    f'{path}: made with {name.replace("_", " ")} {found.get(name)!r}, '
                    f'not {value!r}; choose another folder'
                )
        return cls(path)

    def close(self) -> None:
        """Give up the locks."""
        self._lock.close()

    def manifest(self) -> dict[str, Any]:
        """Return what the comparison is of: the settings, and `entries` by definition."""
        return _read_manifest(self.path / _MANIFEST)

    def register(self, definitions: Sequence[Mapping[str, Any]]) -> None:
        """
        Add entries, each a mapping with `label` and `requested_reuse`, unless known.

        Raises ValueError where a known one is defined otherwise.
        """
        with self.locked():
            entries = self.check(definitions)
            manifest = {**self.manifest(), 'entries': entries}
            write_text(self.path / _MANIFEST, json.dumps(manifest, indent=1) + '\n')

    def check(self, definitions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return all entries with these added; raises ValueError as `register` does."""
        entries = self.manifest()['entries']
        known = {(d['label'], d['requested_reuse']): d for d in entries}
        for definition in definitions:
            key = definition['label'], definition['requested_reuse']
            for name, value in known.setdefault(key, dict(definition)).items():
                if definition[name] != value:
                    raise ValueError(
                        f'{self.path}: {entry_name(*key)!r} was run with '
                        f'{name.replace("_", " ")} {value!r}, not {definition[name]!r}; '
                        'choose another label'
                    )
        return list(known.values())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder as a whole, waiting for another process that does."""
        fcntl.lockf(self._lock, fcntl.LOCK_EX, 1, 0)
        try:
            yield
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, 0)

    @contextmanager
    def claim(self, seed: int) -> Iterator[bool]:
        """Yield whether this process has the seed to itself; if so, records are up to date."""
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 1 + seed)
        except OSError:
            yield False
            return
        try:
            self.refresh()
            yield True
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, 1 + seed)

    def append(self, record: Record, machine: Mapping[str, Any], worker: str = '') -> None:
        """
        Write a record to this process's own file, or that of a worker whose results it writes.

        machine: first line of that file, once.
        """
        run = f'{self._run}-{worker}' if worker else self._run
        path = self.path / _EPISODES / f'{run}.jsonl'
        lines = [record.line()]
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            lines.insert(0, {'machine': machine})
        text = ''.join(json.dumps(line, allow_nan=False) + '\n' for line in lines)
        with path.open('ab', buffering=0) as stream:
            stream.write(text.encode())  # one write: other processes see whole lines

    def refresh(self) -> list[str]:
        """Read what was added since the last call; return the files that end within a line."""
        torn = []
        for path in sorted((self.path / _EPISODES).glob('*.jsonl')):
            start = self._offsets.get(path.name, 0)
            with path.open('rb') as stream:
                stream.seek(start)
                data = stream.read()
            end = data.rfind(b'\n') + 1
            for line in data[:end].splitlines():
                self._read(path, line)
            self._offsets[path.name] = start + end
            if end < len(data):
                torn.append(path.name)
        return torn

    def _read(self, path: Path, line: bytes) -> None:
        try:
            values = json.loads(line)
            if 'machine' in values:
                self.machines[path.stem] = values['machine']
                return
            record = Record.from_line(path.stem, values)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{path}: expected an episode, found {line[:80]!r}') from error
        self.records.setdefault((*record.entry, record.episode.seed), record)


def missing(folder: ComparisonFolder, entries: Sequence[Entry], seed: int) -> list[Entry]:
    """Return the entries without an episode of this seed, in the order of their turns."""
    ordered = (entries[index] for index in turn_order(len(entries), seed))
    return [entry for entry in ordered if (*entry.key, seed) not in folder.records]


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path}: expected JSON, found {error}') from error
