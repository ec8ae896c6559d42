# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A recording is read as it was made; of a damaged one, all that is left of it."""

from collections import Counter
import os
import shutil
import sqlite3

from bag_samples import header
from bag_samples import MS
from bag_samples import read
from bag_samples import recording
from bag_samples import START
from bag_samples import storage_file
from bag_samples import string
from bag_samples import write_bag
from mcap.reader import make_reader
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
import pytest
from rosbags.rosbag2 import Writer
from rosbags.typesys import get_types_from_msg
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores
from vla_cache_ros.bags.reader import Bag

STORAGES = ('mcap', 'sqlite3')


def cut_off(file):
    """Leave the first 60 % of a file."""
    os.truncate(file, round(0.6 * file.stat().st_size))


@pytest.mark.parametrize('storage', STORAGES)
def test_good_bag_gives_every_message_in_order(tmp_path, storage):
    messages = recording()
    bag = Bag(write_bag(tmp_path / 'bag', messages, storage))
    assert bag.topics['/wrist/image_raw'] == 'sensor_msgs/msg/Image'
    assert bag.counts == Counter(topic for _, topic, _ in messages)
    assert Counter(read(bag)) == Counter((topic, time) for time, topic, _ in messages)
    times = [time for _, time in read(bag)]
    assert times == sorted(times)
    assert next(bag.messages({'/instruction'})).message.data == 'put it there'
    assert bag.damage == ''


@pytest.mark.parametrize('storage', STORAGES)
def test_one_file_is_a_bag_too(tmp_path, storage):
    folder = write_bag(tmp_path / 'bag', recording(), storage)
    bag = Bag(storage_file(folder))
    assert read(bag) == read(Bag(folder)) and bag.damage == ''


@pytest.mark.parametrize('storage', STORAGES)
def test_missing_metadata_costs_nothing_and_is_told(tmp_path, storage):
    folder = write_bag(tmp_path / 'bag', recording(), storage)
    whole = read(Bag(folder))
    (folder / 'metadata.yaml').unlink()
    bag = Bag(folder)
    assert Counter(read(bag)) == Counter(whole)
    assert bag.damage == 'metadata.yaml is missing'


@pytest.mark.parametrize('zstd', [True, False])
def test_truncated_mcap_gives_its_begin(tmp_path, zstd):
    folder = write_bag(tmp_path / 'bag', recording(10), zstd=zstd)
    whole = read(Bag(folder))
    file = storage_file(folder)
    cut_off(file)
    bag = Bag(folder)
    left = read(bag)
    assert 0.3 * len(whole) < len(left) < len(whole)
    assert left == whole[: len(left)]
    assert 'not opened as a whole' in bag.damage and 'cut off' in bag.damage


@pytest.mark.parametrize('chunks', [CompressionType.LZ4, CompressionType.NONE, None])
def test_other_writers_files_are_read_cut_off_or_not(tmp_path, chunks):
    source = storage_file(write_bag(tmp_path / 'bag', recording(10)))
    path = tmp_path / 'other.mcap'
    with source.open('rb') as old, path.open('wb') as new:
        compression = {'compression': chunks} if chunks else {'use_chunking': False}
        writer, channels = McapWriter(new, chunk_size=200_000, **compression), {}
        writer.start('ros2')
        for schema, channel, message in make_reader(old).iter_messages():
            if channel.id not in channels:
                number = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.id] = writer.register_channel(channel.topic, 'cdr', number)
            place, time = channels[channel.id], message.log_time
            writer.add_message(place, time, message.data, time)
        writer.finish()
    whole = read(Bag(path))
    assert Counter(whole) == Counter((t, time) for time, t, _ in recording(10))
    cut_off(path)
    bag = Bag(path)
    left = read(bag)
    assert 0.3 * len(whole) < len(left) < len(whole)
    assert left == whole[: len(left)] and 'in the middle of a record' in bag.damage


def test_damaged_chunk_is_left_out_and_the_rest_read(tmp_path):
    folder = write_bag(tmp_path / 'bag', recording(20))
    whole = read(Bag(folder))
    file = storage_file(folder)
    content = bytearray(file.read_bytes())
    content[1000:1100] = bytes(100)  # in the first chunk, which also declares the topics
    file.write_bytes(content)
    bag = Bag(folder)
    left = read(bag)
    assert 0.5 * len(whole) < len(left) < len(whole)
    assert left[-1] == whole[-1]
    assert 'a chunk' in bag.damage


def test_recording_with_a_write_ahead_log_is_read_whole(tmp_path):
    folder = write_bag(tmp_path / 'bag', recording(), 'sqlite3')
    database = sqlite3.connect(storage_file(folder))
    database.execute('PRAGMA journal_mode=WAL')
    database.execute(
        'INSERT INTO messages(topic_id, timestamp, data) '
        'SELECT topic_id, timestamp + 10000000000, data FROM messages'
    )
    database.commit()
    copy = tmp_path / 'copy'  # as it lies there when the recorder is killed
    shutil.copytree(folder, copy)
    database.close()
    assert storage_file(copy).with_name('bag.db3-wal').exists()
    bag = Bag(copy)
    assert len(read(bag)) == 2 * len(recording())
    assert 'write-ahead log' in bag.damage


def test_half_written_database_gives_its_begin(tmp_path):
    folder = write_bag(tmp_path / 'bag', recording(10), 'sqlite3')
    whole = read(Bag(folder))
    file = storage_file(folder)
    cut_off(file)
    bag = Bag(folder)
    left = read(bag)
    assert 0.3 * len(whole) < len(left) < len(whole)
    assert left[0] == whole[0]
    assert bag.damage


def test_broken_message_is_left_out_and_counted(tmp_path):
    messages = recording()
    types = {topic: message.__msgtype__ for _, topic, message in messages}
    broken = _Raw(b'\x00\x01\x00\x00\xff\xff\xff\x7f', types['/image_raw'])
    later = START + 10**10
    folder = write_bag(
        tmp_path / 'bag', [*messages, (later, '/image_raw', broken), (later, '/image_raw', broken)]
    )
    bag = Bag(folder)
    assert len(read(bag)) == len(messages)
    assert '2 times: /image_raw: a message that is broken' in bag.damage
    assert len(read(bag)) == len(messages)  # read again, counted again
    assert '2 times' in bag.damage


class _Raw(bytes):
    """Bytes in place of a message."""

    def __new__(cls, data, kind):
        raw = super().__new__(cls, data)
        raw.__msgtype__ = kind
        return raw


def test_types_of_strangers_come_with_the_bag(tmp_path):
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg('float64 volts\nstd_msgs/Header header', 'acme/msg/Battery'))
    with Writer(tmp_path / 'bag', version=9) as writer:
        own = writer.add_connection('/battery', 'acme/msg/Battery', typestore=store)
        text = writer.add_connection('/instruction', 'std_msgs/msg/String', typestore=store)
        kinds = store.types
        time = kinds['builtin_interfaces/msg/Time'](sec=1, nanosec=2)
        stamp = kinds['std_msgs/msg/Header'](stamp=time, frame_id='cell')
        battery = kinds['acme/msg/Battery'](volts=2.5, header=stamp)
        writer.write(own, START, store.serialize_cdr(battery, 'acme/msg/Battery'))
        hello = kinds['std_msgs/msg/String'](data='hello')
        writer.write(text, START + MS, store.serialize_cdr(hello, 'std_msgs/msg/String'))
    found = [m.message for m in Bag(tmp_path / 'bag').messages({'/battery', '/instruction'})]
    assert found[0].volts == 2.5 and found[0].header.frame_id == 'cell'
    assert found[1].data == 'hello'


def test_type_that_cannot_be_understood_does_not_break_the_others(tmp_path):
    messages = [(START, '/instruction', string('hello')), (START, '/odd', header(START))]
    folder = write_bag(tmp_path / 'bag', messages, zstd=False)
    file = storage_file(folder)
    content = file.read_bytes()
    assert b'string frame_id' in content
    file.write_bytes(content.replace(b'string frame_id', b'strong ??ame_id'))
    bag = Bag(folder)
    assert [m.message.data for m in bag.messages({'/instruction'})] == ['hello']


def test_what_is_no_bag_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='there is nothing'):
        Bag(tmp_path / 'none')
    with pytest.raises(ValueError, match='expected a rosbag2 folder'):
        Bag(tmp_path)
    (tmp_path / 'old.bag').write_bytes(b'#ROSBAG V2.0')
    with pytest.raises(ValueError, match='rosbags-convert'):
        Bag(tmp_path / 'old.bag')
    write_bag(tmp_path / 'inside', recording(0.1))
    with pytest.raises(ValueError, match='such as .*inside'):
        Bag(tmp_path)
    (tmp_path / 'garbage.mcap').write_bytes(b'garbage' * 100)
    with pytest.raises(ValueError, match='nothing can be read'):
        Bag(tmp_path / 'garbage.mcap')
    (tmp_path / 'garbage.db3').write_bytes(b'garbage' * 100)
    with pytest.raises(ValueError, match='nothing can be read'):
        Bag(tmp_path / 'garbage.db3')
