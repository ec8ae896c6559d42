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
from vla_cache_ros.bags.records import NO_DEFINITION
from vla_cache_ros.bags.records import Record
from vla_cache_ros.bags.salvage.mcap import FORMATS
from vla_cache_ros.bags.unfolding import LARGEST
from vla_cache_ros.bags.unfolding import unfold_message

_GIVE_UP = 20  # unreadable places in a row, each skipping twice as many rows as the one before


def write_ahead_log(path: Path) -> bool:
    """Say whether there are rows that only the write-ahead log holds."""
    log = path.with_name(f'{path.name}-wal')
    return log.exists() and log.stat().st_size > 0


def sqlite_records(path: Path, notes: Counter) -> Iterator[Record]:
    """Yield the records of a .db3 file; notes: takes what could not be read."""
    try:
        with closing(_open(path, notes)) as database:
            check_tables(database)
            topics = _topics(database)
            for topic, time, data in _rows(database, path.name, notes):
                if topic not in topics:
                    continue
                try:
                    data = unfold_message(data)
                except Exception:  # noqa: BLE001 - garbage, or more than is of use
                    notes[f'{path.name}: a message that does not decompress'] += 1
                    continue
                yield Record(*topics[topic], time, data)
    except sqlite3.DatabaseError as error:
        notes[f'{path.name}: no database that can be read ({error})'] += 1


def check_tables(database: sqlite3.Connection) -> None:
    """
    Raise sqlite3.DatabaseError unless everything that is read is in plain tables.

    A view or a generated column computes what it gives: any amount of it, without an end.
    """
    kinds = dict(database.execute('SELECT name, type FROM pragma_table_list').fetchall())
    for table in {'messages', 'topics', 'message_definitions', 'schema'} & set(kinds):
        columns = database.execute('SELECT hidden FROM pragma_table_xinfo(?)', (table,))
        if kinds[table] != 'table' or any(hidden for (hidden,) in columns):
            raise sqlite3.DatabaseError(f'{table} is no plain table')


def plain(path: Path) -> bool:
    """Say whether a file is a database of plain tables."""
    try:
        with closing(_connect(path, 'immutable=1')) as database:
            check_tables(database)
    except sqlite3.DatabaseError:
        return False
    return True


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    database = sqlite3.connect(f'file:{quote(str(path.resolve()))}?{mode}', uri=True)
    database.execute('PRAGMA trusted_schema=OFF')
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST)
    return database


def _open(path: Path, notes: Counter) -> sqlite3.Connection:
    if write_ahead_log(path):
        notes[f'{path.name}: was not closed; read with its write-ahead log'] += 1
        try:
            database = _connect(path, 'mode=ro')
            database.execute('SELECT count(*) FROM topics')
            return database
        except sqlite3.DatabaseError as error:
            notes[f'{path.name}: read without its write-ahead log ({error})'] += 1
    # immutable: neither a journal nor a lock of the recorder that died is in the way
    database = _connect(path, 'immutable=1')
    # Else a file that is shorter than its header says is refused before a row is read.
    database.execute('PRAGMA writable_schema=ON')
    return database


def _topics(database: sqlite3.Connection) -> dict[int, tuple[str, str, MessageDefinition]]:
    definitions = {}
    try:
        for kind, encoding, text in database.execute(
            'SELECT topic_type, encoding, encoded_message_definition FROM message_definitions'
        ):
            if encoding in FORMATS and isinstance(text, str):
                definitions[kind] = MessageDefinition(FORMATS[encoding], text)
    except sqlite3.DatabaseError:
        pass  # a format that is older than the table, or the Jazzy types must do
    rows = database.execute("SELECT id, name, type FROM topics WHERE serialization_format = 'cdr'")
    return {
        row[0]: (row[1], row[2], definitions.get(row[2], NO_DEFINITION))
        for row in rows
        if isinstance(row[1], str) and isinstance(row[2], str)
    }


def _rows(
    database: sqlite3.Connection, name: str, notes: Counter
) -> Iterator[tuple[int, int, bytes]]:
    last, failures = -1, 0
    while failures < _GIVE_UP:
        rows = database.execute(
            'SELECT id, topic_id, timestamp, data FROM messages WHERE id > ? ORDER BY id', (last,)
        )
        try:
            for number, topic, time, data in rows:
                if type(number) is not int:
                    notes[f'{name}: rows without a number'] += 1
                    return
                last, failures = number, 0
                if type(topic) is int and type(time) is int and type(data) is bytes:
                    yield topic, time, data
                else:
                    notes[f'{name}: rows that are no messages'] += 1
            return
        except sqlite3.DatabaseError as error:
            notes[f'{name}: rows that cannot be read ({error})'] += 1
            last = min(last + 2**failures, 2**63 - 1)
            failures += 1
