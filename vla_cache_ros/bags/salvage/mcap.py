# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read what can be read of an MCAP file, from its begin to where it ends, without its index.

Skips chunks that are damaged. Knows ROS 2 messages only; other encodings are passed over.
"""

from collections import Counter
from collections.abc import Iterator
import io
import itertools
from pathlib import Path
import struct
import zlib

from mcap.data_stream import ReadDataStream
from mcap.exceptions import EndOfFile
from mcap.reader import make_reader
from mcap.records import Channel
from mcap.records import Chunk
from mcap.records import Footer
from mcap.records import McapRecord
from mcap.records import Message
from mcap.records import Schema
from mcap.stream_reader import StreamReader
from rosbags.interfaces import MessageDefinition
from rosbags.interfaces import MessageDefinitionFormat
from vla_cache_ros.bags.records import NO_DEFINITION
from vla_cache_ros.bags.records import Record
from vla_cache_ros.bags.unfolding import unfold
from vla_cache_ros.bags.unfolding import unfold_message

FORMATS = {'ros2msg': MessageDefinitionFormat.MSG, 'ros2idl': MessageDefinitionFormat.IDL}
_IN_CHUNKS = {3: Schema, 4: Channel, 5: Message}
_MOST = 2**19  # of a chunk; as many messages without content as a megabyte-sized one holds


def mcap_records(path: Path, notes: Counter) -> Iterator[Record]:
    """Yield the records of a file; notes: takes what could not be read."""
    schemas, channels = _summary(path)
    for record in _in_order(path, notes):
        if isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel):
            channels[record.id] = record
        elif isinstance(record, Message):
            channel = channels.get(record.channel_id)
            schema = schemas.get(channel.schema_id) if channel else None
            if schema is None or channel.message_encoding != 'cdr':
                continue
            definition = NO_DEFINITION
            if schema.encoding in FORMATS:
                text = schema.data.decode('utf-8', 'replace')
                definition = MessageDefinition(FORMATS[schema.encoding], text)
            try:
                data = unfold_message(record.data)
            except Exception:  # noqa: BLE001 - garbage, or more than there is use for
                notes[f'{path.name}: a message that does not decompress'] += 1
                continue
            yield Record(channel.topic, schema.name, definition, record.log_time, data)


def _summary(path: Path) -> tuple[dict[int, Schema], dict[int, Channel]]:
    """Return what the end of the file repeats, for the case that its begin is damaged."""
    try:
        with path.open('rb') as file:
            summary = make_reader(file).get_summary()
        return dict(summary.schemas), dict(summary.channels)
    except Exception:  # noqa: BLE001 - cut off, compressed or garbage: the data must do
        return {}, {}


def _in_order(path: Path, notes: Counter) -> Iterator[McapRecord]:
    """Yield schemas, channels and messages; within a chunk by recording time."""
    longest = path.stat().st_size  # a record that is longer is no length but damage
    with path.open('rb') as file:
        reader = StreamReader(file, emit_chunks=True, record_size_limit=longest)
        complete = False
        try:
            for record in reader.records:
                complete = complete or isinstance(record, Footer)
                if isinstance(record, Chunk):
                    yield from _of_chunk(record, path.name, notes)
                else:
                    yield record
        except Exception as error:  # noqa: BLE001 - what garbage raises depends on where it is
            if not complete:
                short = isinstance(error, (EndOfFile, struct.error))
                reason = 'it ends in the middle of a record' if short else error
                notes[f'{path.name}: cut off or damaged, read up to there ({reason})'] += 1


def _of_chunk(chunk: Chunk, name: str, notes: Counter) -> list[McapRecord]:
    try:
        data = unfold(chunk.data, chunk.compression, chunk.uncompressed_size)
    except Exception as error:  # noqa: BLE001 - each compression has errors of its own
        notes[f'{name}: a chunk does not decompress ({error!s:.80})'] += 1
        return []
    whole = len(data) == chunk.uncompressed_size
    if whole and chunk.uncompressed_crc and zlib.crc32(data) != chunk.uncompressed_crc:
        notes[f'{name}: a chunk whose checksum is wrong'] += 1
        return []
    records = []
    try:
        for record in itertools.islice(_records(data), _MOST):
            records.append(record)
    except Exception as error:  # noqa: BLE001 - what garbage raises depends on where it is
        kind = 'is cut off' if len(data) < chunk.uncompressed_size else 'is damaged'
        notes[f'{name}: a chunk that {kind} ({error!s:.80})'] += 1
    if len(records) == _MOST:
        notes[f'{name}: a chunk of more than {_MOST} records'] += 1
    # stable: schemas and channels, without a time, stay before their messages
    return sorted(records, key=lambda record: getattr(record, 'log_time', 0))


def _records(data: bytes) -> Iterator[McapRecord]:
    """Yield the records of a chunk; raises ValueError at one that does not belong there."""
    at = 0
    while at < len(data):
        opcode, length = struct.unpack_from('<BQ', data, at)
        content = data[at + 9 : at + 9 + length]
        if opcode not in _IN_CHUNKS or len(content) < length:
            raise ValueError(f'a record of type {opcode} and {length} bytes')
        at += 9 + length
        kind, stream = _IN_CHUNKS[opcode], ReadDataStream(io.BytesIO(content))
        yield kind.read(stream, length) if kind is Message else kind.read(stream)
