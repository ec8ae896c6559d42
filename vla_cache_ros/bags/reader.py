# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read rosbag2 recordings, MCAP or SQLite, in the order of recording and without ROS.

A good bag is read by rosbags; of a damaged one everything that can be read is, and `damage` says
what could not. Holds one chunk at a time, never a bag. Does not know what the messages mean.
"""

from collections import Counter
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
import re
from tempfile import TemporaryDirectory
from typing import Any

from rosbags.rosbag2 import Reader
from vla_cache_ros.bags.records import Deserializer
from vla_cache_ros.bags.records import Record
from vla_cache_ros.bags.salvage.mcap import mcap_records
from vla_cache_ros.bags.salvage.sqlite import plain
from vla_cache_ros.bags.salvage.sqlite import sqlite_records
from vla_cache_ros.bags.salvage.sqlite import write_ahead_log
from vla_cache_ros.bags.unfolding import AT_ONCE
from vla_cache_ros.bags.unfolding import at_once
from vla_cache_ros.bags.unfolding import bound_rosbags
from vla_cache_ros.bags.unfolding import unfold_file
import yaml

SUFFIXES = ('.mcap', '.db3', '.mcap.zstd', '.db3.zstd')
METADATA = 2**20  # bytes; YAML takes a hundred times as much memory
_ALIAS = re.compile(r'(?:^|[\s:,\[{-])[*&]\w', re.MULTILINE)

bound_rosbags()


@dataclass(frozen=True)
class BagMessage:
    """A deserialised message; time: when it was recorded, ns."""

    topic: str
    time: int
    message: Any


class Bag:
    """
    A rosbag2 folder, or one .mcap or .db3 file.

    topics: name -> message type. counts: messages by topic, as far as known.
    """

    path: Path
    topics: Mapping[str, str]
    counts: Mapping[str, int]

    def __init__(self, path: str | Path):
        """
        Find out what the bag holds; a damaged one is read through once for that.

        Raises FileNotFoundError where there is nothing, ValueError where nothing can be read.
        """
        self.path = Path(path)
        self._files = _files(self.path)
        self._deserialize = Deserializer()
        self._notes: Counter[str] = Counter()  # about the files
        self._lost: Counter[str] = Counter()  # while messages were read
        self._folded: TemporaryDirectory | None = None
        self._unfold()
        self._whole = self._open()
        if not self._whole:
            self._scan()

    @property
    def damage(self) -> str:
        """Return what could not be read, in one line; complete once the messages were read."""
        notes = {**self._notes, **self._lost}
        told = '; '.join(f'{n} times: {note}' if n > 1 else note for note, n in notes.items())
        return ' '.join(told.split())

    def messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """Yield the messages of topics as they were recorded; one that is broken is left out."""
        self._lost.clear()
        for record in self._records(topics):
            try:
                yield BagMessage(record.topic, record.time, self._deserialize(record))
            except ValueError as error:
                if not self._lost[note := f'{record.topic}: a message that is broken']:
                    self._lost[f'first broken one: {error}'] += 1
                self._lost[note] += 1

    def _unfold(self) -> None:
        """Put what files that were compressed as a whole hold in their place."""
        for place, file in enumerate(self._files):
            if file.suffix == '.zstd':
                self._folded = self._folded or TemporaryDirectory(prefix='vla_cache_ros')
                self._files[place] = Path(self._folded.name) / file.stem
                try:
                    unfold_file(file, self._files[place])
                except Exception as error:  # noqa: BLE001 - garbage raises anything
                    self._notes[f'{file.name}: does not decompress ({_line(error)})'] += 1

    def _open(self) -> bool:
        """Read topics and counts; return False, noting why, if the bag is damaged."""
        if self.path.is_dir() and not (self.path / 'metadata.yaml').exists():
            self._notes['metadata.yaml is missing'] += 1
            return False
        if any(write_ahead_log(file) for file in self._files):
            return False
        try:
            if not _suits_rosbags(self.path, self._files):
                return False
            with Reader(self.path) as reader:
                storages = getattr(reader.storage, 'storages', [reader.storage])
                if any(at_once(getattr(one, 'chunks', ())) > AT_ONCE for one in storages):
                    raise ValueError('its chunks overlap in time')
                found = [c for c in reader.connections if c.ext.serialization_format == 'cdr']
                if not all(type(text) is str for c in found for text in (c.topic, c.msgtype)):
                    raise ValueError('a topic whose name or type is no text')
                self.topics = {c.topic: c.msgtype for c in found}
                counts = Counter()
                for connection in found:
                    counts[connection.topic] += connection.msgcount
                self.counts = dict(counts)
        except Exception as error:  # noqa: BLE001 - what garbage raises depends on where it is
            self._notes[f'not opened as a whole ({_line(error)})'] += 1
            return False
        return True

    def _scan(self) -> None:
        kinds: dict[str, str] = {}
        counts: Counter[str] = Counter()
        for record in self._salvaged(self._notes):
            kinds.setdefault(record.topic, record.kind)
            counts[record.topic] += 1
        if not kinds:
            raise ValueError(
                f'{self.path}: expected a rosbag2 recording, got one of which nothing can be '
                f'read ({self.damage})'
            )
        self.topics, self.counts = kinds, dict(counts)

    def _records(self, topics: Collection[str]) -> Iterator[Record]:
        last = -1
        if self._whole:
            try:
                with Reader(self.path) as reader:
                    chosen = [c for c in reader.connections if c.topic in topics]
                    for connection, time, data in reader.messages(chosen) if chosen else ():
                        if type(time) is not int or not isinstance(data, bytes | memoryview):
                            raise ValueError('a row that is no message')
                        last, definition = time, connection.msgdef
                        topic, kind = connection.topic, connection.msgtype
                        yield Record(topic, kind, definition, last, bytes(data))
                return
            except Exception as error:  # noqa: BLE001 - a generator's user raises elsewhere
                self._lost[f'damaged on the way ({_line(error)})'] += 1
        for record in self._salvaged(self._lost):
            if record.topic in topics and record.time > last:
                yield record

    def _salvaged(self, notes: Counter) -> Iterator[Record]:
        for file in self._files:
            read = sqlite_records if file.suffix == '.db3' else mcap_records
            yield from read(file, notes)


def _files(path: Path) -> list[Path]:
    """Return the storage files in the order in which they were recorded."""
    if not path.exists():
        raise FileNotFoundError(f'{path}: expected a rosbag2 folder or file, there is nothing')
    files = [path] if path.is_file() else sorted(path.iterdir(), key=_number)
    files = [file for file in files if file.name.endswith(SUFFIXES) and file.is_file()]
    if not files:
        hint = ''
        if path.suffix == '.bag':
            hint = '; convert a bag of ROS 1 with rosbags-convert'
        elif path.is_dir() and (inside := sorted(p.parent for p in path.glob('*/metadata.yaml'))):
            hint = f'; there are bags in it, such as {inside[0]}'
        raise ValueError(
            f'{path}: expected a rosbag2 folder or a file that ends with '
            f'{", ".join(SUFFIXES)}{hint}'
        )
    return files


def _suits_rosbags(path: Path, files: list[Path]) -> bool:
    """
    Say whether rosbags may read a bag; it does not bound what it decompresses by itself.

    Raises ValueError for metadata, or a database, that could ask for any amount of memory.
    """
    if path.is_dir() and not _plain_metadata(path, files):
        return False
    for file in files:
        if file.suffix == '.db3' and not plain(file):
            raise ValueError(f'{file.name} is no database of plain tables')
    return not path.name.endswith('.zstd')


def _plain_metadata(path: Path, files: list[Path]) -> bool:
    """Say whether nothing was compressed but chunks; raises ValueError for odd metadata."""
    metadata = path / 'metadata.yaml'
    if not metadata.is_file() or metadata.stat().st_size > METADATA:
        raise ValueError(f'metadata.yaml: expected a file of at most {METADATA} bytes')
    text = metadata.read_text(encoding='utf-8')
    if _ALIAS.search(text):  # a line that names the one before ten times, and so on
        raise ValueError('metadata.yaml: expected no aliases')
    content = yaml.load(text, getattr(yaml, 'CSafeLoader', yaml.SafeLoader))
    content = content['rosbag2_bagfile_information']
    if str(content.get('compression_mode') or 'none').lower() != 'none':
        return False
    if not set(content['relative_file_paths']) <= {file.name for file in files}:
        raise ValueError('metadata.yaml: expected the names of recordings beside it')
    return True


def _number(path: Path) -> list:
    """Return a key that sorts name_10 after name_9."""
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', path.name)]


def _line(error: Exception) -> str:
    return ' '.join(str(error).split())[:200] or type(error).__name__
