# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read what can be read of an SQLite bag, row by row in the order of recording, without its index.

Takes a write-ahead log (-wal) into account, which a recording that was not closed leaves.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
import sqlite3
from urllib.parse import quote

from rosbags.interfaces import MessageDefinition
import zstandard

from .mcap_salvage import FORMATS
from .records import NO_DEFINITION
from .records import Record

_GIVE_UP = 20  # unreadable places in a row, each skipping twice as many rows as the one before
_ZSTD = b'\x28\xb5\x2f\xfd'


def write_ahead_log(path: Path) -> bool:
    """Say whether there are rows that only the write-ahead log holds."""
    log = path.with_name(f'{path.name}-wal')
    return log.exists() and log.stat().st_size > 0


def sqlite_records(path: Path, notes: Counter) -> Iterator[Record]:
    """Yield the records of a .db3 file; notes: takes what could not be read."""
    try:
        with closing(_open(path, notes)) as database:
            topics = _topics(database)
            for topic, time, data in _rows(database, path.name, notes):
                if topic in topics:
                    if data[:4] == _ZSTD:
                        data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
                    yield Record(*topics[topic], time, data)
    except sqlite3.DatabaseError as error:
        notes[f'{path.name}: no database that can be read ({error})'] += 1


def _open(path: Path, notes: Counter) -> sqlite3.Connection:
    address = f'file:{quote(str(path.resolve()))}'
    if write_ahead_log(path):
        notes[f'{path.name}: was not closed; read with its write-ahead log'] += 1
        try:
            database = sqlite3.connect(f'{address}?mode=ro', uri=True)
            database.execute('SELECT count(*) FROM topics')
            return database
        except sqlite3.DatabaseError as error:
            notes[f'{path.name}: read without its write-ahead log ({error})'] += 1
    # immutable: neither a journal nor a lock of the recorder that died is in the way
    database = sqlite3.connect(f'{address}?immutable=1', uri=True)
    # Else a file that is shorter than its header says is refused before a row is read.
    database.execute('PRAGMA writable_schema=ON')
    return database


def _topics(database: sqlite3.Connection) -> dict[int, tuple[str, str, MessageDefinition]]:
    definitions = {}
    try:
        for kind, encoding, text in database.execute(
            'SELECT topic_type, encoding, encoded_message_definition FROM message_definitions'
        ):
            if encoding in FORMATS:
                definitions[kind] = MessageDefinition(FORMATS[encoding], text)
    except sqlite3.DatabaseError:
        pass  # a format that is older than the table, or the Jazzy types must do
    rows = database.execute("SELECT id, name, type FROM topics WHERE serialization_format = 'cdr'")
    return {row[0]: (row[1], row[2], definitions.get(row[2], NO_DEFINITION)) for row in rows}


def _rows(
    database: sqlite3.Connection, name: str, notes: Counter
) -> Iterator[tuple[int, int, bytes]]:
    last, failures = -1, 0
    while failures < _GIVE_UP:
        rows = database.execute(
            'SELECT id, topic_id, timestamp, data FROM messages WHERE id > ? ORDER BY id', (last,)
        )
        try:
            for last, topic, time, data in rows:  # noqa: B007 - where to go on after an error
                failures = 0
                yield topic, time, data
            return
        except sqlite3.DatabaseError as error:
            notes[f'{name}: rows that cannot be read ({error})'] += 1
            last += 2**failures
            failures += 1
