# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A recording that a stranger made is read as far as it is one, in bounded memory and time."""

from functools import cache
import os
import re
import shutil
import sqlite3
import struct

from bag_samples import mcap_record
from bag_samples import mcap_text
from bag_samples import MS
from bag_samples import read
from bag_samples import recording
from bag_samples import START
from bag_samples import storage_file
from bag_samples import STORE
from bag_samples import string
from bag_samples import write_bag
from headroom import headroom
from lz4.frame import compress as lz4
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
import pytest
from rosbags.rosbag2 import CompressionFormat
from rosbags.rosbag2 import CompressionMode
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from vla_cache_ros.bags import reader
from vla_cache_ros.bags import unfolding
from vla_cache_ros.bags.reader import Bag
import zstandard

HELLO = STORE.serialize_cdr(string('hello'), 'std_msgs/msg/String')


@cache
def zeros(kind, megabytes):
    return {'zstd': zstandard.compress, 'lz4': lz4}[kind](bytes(megabytes * 2**20))


def open_bag(path, megabytes=300):
    """Return what of a bag is read, and what is said of the rest, in bounded memory."""
    with headroom(megabytes):
        try:
            bag = Bag(path)
            found = read(bag)
        except ValueError as error:
            found, told = [], str(error)
        else:
            told = bag.damage
    assert '\n' not in told and len(told) < 2000 and 'Memory' not in told
    return found, told


def bomb(path, kind='zstd', megabytes=512, size=None, indexed=True, copies=1):
    """Write an MCAP file of a good message and chunks that unfold to so many megabytes."""
    schema = 'string data'
    with path.open('wb') as file:
        writer = McapWriter(file, compression=CompressionType.NONE, use_chunking=False)
        writer.start('ros2')
        number = writer.register_schema('std_msgs/msg/String', 'ros2msg', schema.encode())
        channel = writer.register_channel('/instruction', 'cdr', number)
        writer.add_message(channel, START, bytes(HELLO), START)
        writer.finish()
    whole = path.read_bytes()
    end = whole.index(mcap_record(0x0F, bytes(4))[:9])
    packed = zeros(kind, megabytes)
    size = megabytes * 2**20 if size is None else size
    head = struct.pack('<QQQI', START, START, size, 0) + mcap_text(kind.encode())
    chunk = mcap_record(6, head + struct.pack('<Q', len(packed)) + packed)
    summary = b''
    if indexed:
        for copy in range(copies):
            at = end + copy * len(chunk)
            index = struct.pack('<QQQQ', START, START, at, len(chunk)) + struct.pack(
                '<IHQ', 10, 1, 0
            )
            index += (
                struct.pack('<Q', 0)
                + mcap_text(kind.encode())
                + struct.pack('<QQ', len(packed), size)
            )
            summary += mcap_record(8, index)
    begin = end + copies * len(chunk) + 13
    schemas = re.search(
        rb'\x03.{8}\x01\x00\x13\x00\x00\x00std_msgs/msg/String.*?string data', whole, re.S
    )
    channels = mcap_record(
        4,
        struct.pack('<HH', 1, number) + mcap_text(b'/instruction') + mcap_text(b'cdr') + bytes(4),
    )
    summary = schemas.group() + channels + summary
    footer = mcap_record(2, struct.pack('<QQI', begin, 0, 0))
    data_end = mcap_record(0x0F, bytes(4))
    path.write_bytes(whole[:end] + chunk * copies + data_end + summary + footer + whole[:8])
    return path


@pytest.mark.parametrize('kind', ['zstd', 'lz4'])
@pytest.mark.parametrize('indexed', [True, False])
@pytest.mark.parametrize('size', [2**29, 2**40, 100])
def test_a_chunk_that_unfolds_to_half_a_gigabyte_is_left_out(tmp_path, kind, indexed, size):
    path = bomb(tmp_path / 'a.mcap', kind, 512, size, indexed)
    assert path.stat().st_size < 5 * 2**20
    found, told = open_bag(path)
    assert found == [('/instruction', START)]
    assert 'expected at most' in told


def test_chunks_that_lie_at_the_same_time_are_not_held_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(unfolding, 'LARGEST', 2**25)
    monkeypatch.setattr(reader, 'AT_ONCE', 2**27)
    found, told = open_bag(bomb(tmp_path / 'a.mcap', megabytes=30, copies=20), megabytes=300)
    assert found == [('/instruction', START)] and 'overlap in time' in told


def compressed(folder, mode, storage):
    plugin = StoragePlugin.MCAP if storage == 'mcap' else StoragePlugin.SQLITE3
    writer = Writer(folder, version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection('/instruction', 'std_msgs/msg/String', typestore=STORE)
        for i in range(3):
            writer.write(connection, START + i * MS, HELLO)
    return folder


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
@pytest.mark.parametrize('mode', [CompressionMode.FILE, CompressionMode.MESSAGE])
def test_files_and_messages_that_were_compressed_are_read_within_bounds(
    tmp_path, monkeypatch, mode, storage
):
    folder = compressed(tmp_path / 'bag', mode, storage)
    bag = Bag(folder)
    assert [m.message.data for m in bag.messages({'/instruction'})] == ['hello'] * 3
    assert bag.damage == ''
    if mode == CompressionMode.FILE:
        monkeypatch.setattr(unfolding, 'ANYWAY', 2**20)
        (file,) = folder.glob('*.zstd')
        content = zstandard.decompress(file.read_bytes(), 2**24)
        packer = zstandard.ZstdCompressor().compressobj()
        with file.open('wb') as out:
            out.write(packer.compress(content))
            out.write(packer.compress(bytes(2**24)))
            out.write(packer.flush())
        if storage == 'sqlite3':
            found, told = open_bag(folder)
            assert 'grows beyond all measure' in told
    else:
        if storage == 'sqlite3':
            with sqlite3.connect(storage_file(folder)) as database:
                database.execute(
                    'UPDATE messages SET data = ? WHERE id = 2', (zeros('zstd', 512),)
                )
            database.close()
            found, told = open_bag(folder)
            assert len(found) == 2 and 'a message that does not decompress' in told


@pytest.mark.parametrize(
    'change',
    [
        lambda text: text.replace('bag.mcap', '../../etc/passwd'),
        lambda text: text.replace('bag.mcap', '/etc/passwd'),
        lambda text: text.replace('bag.mcap', '..'),
        lambda text: text.replace('bag.mcap', 'pipe'),
        lambda text: text + 'x: ' + 'y' * reader.METADATA,
        lambda text: re.sub('storage_identifier: .*', 'storage_identifier: *h', laughs() + text),
        lambda text: text + '[' * 5000,
        lambda text: text.replace('mcap', '!!python/object/apply:os.system ["touch ran"]'),
        lambda text: '7',
        lambda text: '',
    ],
)
def test_metadata_of_a_stranger_costs_a_good_recording_nothing(tmp_path, monkeypatch, change):
    monkeypatch.chdir(tmp_path)
    folder = write_bag(tmp_path / 'bag', recording(0.3))
    whole = read(Bag(folder))
    os.mkfifo(folder / 'pipe')
    path = folder / 'metadata.yaml'
    path.write_text(change(path.read_text()))
    found, told = open_bag(folder)
    assert sorted(found) == sorted(whole) and 'not opened as a whole' in told
    assert not (tmp_path / 'ran').exists()


def laughs():
    """Return YAML whose every line names the one before ten times."""
    lines = ['a: &a [lol, lol]']
    for before, name in zip('abcdefg', 'bcdefgh', strict=True):
        lines.append(f'{name}: &{name} [{", ".join([f"*{before}"] * 10)}]')
    return '\n'.join(lines) + '\n'


@pytest.fixture
def database(tmp_path):
    return storage_file(write_bag(tmp_path / 'bag', recording(0.3), 'sqlite3'))


ENDLESS = 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT'


@pytest.mark.parametrize(
    ('table', 'script'),
    [
        ('messages', f'CREATE VIEW messages AS {ENDLESS} x AS id, 1 AS topic_id, x AS timestamp, '
         'zeroblob(1000000000) AS data FROM c'),
        ('topics', f'CREATE VIEW topics AS {ENDLESS} x AS id, "n" || x AS name, "t" AS type, '
         '"cdr" AS serialization_format, "" AS offered_qos_profiles, "" AS type_description_hash '
         'FROM c'),
        ('message_definitions', f'CREATE VIEW message_definitions AS {ENDLESS} x AS topic_type, '
         '"ros2msg" AS encoding, x AS encoded_message_definition, x AS id, "" AS '
         'type_description_hash FROM c'),
        ('messages', 'CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp '
         'INTEGER, data BLOB GENERATED ALWAYS AS (zeroblob(1000000000)) VIRTUAL); '
         'INSERT INTO messages(topic_id, timestamp) VALUES (1, 1), (2, 2), (3, 3)'),
        ('schema', f'CREATE VIEW schema AS {ENDLESS} x AS schema_version FROM c'),
    ],
)  # fmt: skip
def test_a_database_that_computes_instead_of_holding_is_refused(database, table, script):
    with sqlite3.connect(database) as connection:
        connection.executescript(f'DROP TABLE {table}; {script}')
    connection.close()
    found, told = open_bag(database.parent)
    assert found == [] and f'{table} is no plain table' in told


def test_triggers_and_functions_of_a_database_do_nothing(database):
    whole = read(Bag(database.parent))
    with sqlite3.connect(database) as connection:
        connection.executescript(
            'CREATE TRIGGER t AFTER INSERT ON messages BEGIN DELETE FROM messages; END;'
            'CREATE VIEW harmless AS SELECT load_extension("x") AS y;'
        )
    connection.close()
    found, _ = open_bag(database.parent)
    assert sorted(found) == sorted(whole)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ('UPDATE messages SET data = 10000000000', 'a row that is no message'),
        ('UPDATE messages SET timestamp = "now"', 'rows that are no messages'),
        ('UPDATE topics SET type = CAST(type AS BLOB)', 'name or type is no text'),
        ('UPDATE topics SET name = CAST(name AS BLOB)', 'name or type is no text'),
    ],
)
def test_columns_of_other_types_are_told(database, change, words):
    """Found by the fuzzer: a type that is no text. bytes(10000000000) would take as many."""
    with sqlite3.connect(database) as connection:
        connection.execute(change)
    connection.close()
    assert open_bag(database.parent)[0] == []  # metadata.yaml has names of its own
    found, told = open_bag(database)
    assert found == [] and words in told


def test_rows_of_other_types_are_passed_over(database):
    (database.parent / 'metadata.yaml').unlink()
    with sqlite3.connect(database) as connection:
        for column, value in (
            ('data', 'text'),
            ('data', 7),
            ('timestamp', 'now'),
            ('topic_id', 1.5),
        ):
            (row,) = connection.execute(
                'SELECT max(id) FROM messages WHERE length(data) > 99'
            ).fetchone()
            connection.execute(f'UPDATE messages SET {column} = ? WHERE id = ?', (value, row))
            connection.execute('DELETE FROM messages WHERE id = ? AND 0', (row,))
        connection.execute('UPDATE topics SET name = 7 WHERE name = "/joint_states"')
        connection.execute(
            'UPDATE message_definitions SET encoded_message_definition = NULL WHERE 0'
        )
    connection.close()
    found, told = open_bag(database.parent)
    assert found and 'rows that are no messages' in told


def test_what_is_no_file_is_no_recording(tmp_path):
    os.mkfifo(tmp_path / 'a.mcap')
    with pytest.raises(ValueError, match='expected a rosbag2 folder'):
        Bag(tmp_path)
    folder = write_bag(tmp_path / 'bag', recording(0.3))
    shutil.move(storage_file(folder), folder / 'kept')
    (folder / 'bag.mcap').symlink_to('kept')
    assert len(read(Bag(folder))) == len(recording(0.3))
