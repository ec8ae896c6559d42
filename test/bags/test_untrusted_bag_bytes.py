# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings with any bytes changed are read as far as they are one, or named in one line."""

import shutil
import struct

from bag_samples import mcap_record
from bag_samples import mcap_text
from bag_samples import MS
from bag_samples import recording
from bag_samples import report
from bag_samples import START
from bag_samples import storage_file
from bag_samples import write_bag
from damage import damaged_bytes
from headroom import headroom
from hypothesis import given
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st
import pytest
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.bags.walk import walk
import zstandard

KINDS = {'mcap': ('mcap', True), 'plain mcap': ('mcap', False), 'sqlite3': ('sqlite3', False)}
STEPS = [(START + 60 * MS, '/vla_node/step_report', report(1, 0, [START] * 2, [START] * 2))]


@pytest.fixture(scope='module')
def pristine(tmp_path_factory):
    folder = tmp_path_factory.mktemp('bags')
    for name, options in KINDS.items():
        write_bag(folder / name, sorted(recording(0.1) + STEPS, key=lambda one: one[0]), *options)
    return folder


def walked(folder):
    """Return the observations of a recording, or the line that says why there is none."""
    with headroom(400):
        try:
            bag = Bag(folder)
            steps = list(walk(bag, BagTopics(), Cadence(0.05)))
        except ValueError as error:
            told, steps = str(error), []
        else:
            told = bag.damage
    # rosbags asks for as many bytes as a record says it has, and reads those that there are: what
    # is refused under this limit is address space that it would never fill
    told = told.replace('not opened as a whole (MemoryError)', '')
    assert '\n' not in told and 'Memory' not in told and len(told) < 5000
    return steps


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('metadata', [True, False])
@given(data=st.data())
@settings(
    max_examples=60,
    deadline=30_000,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_bytes_of_a_recording_are_read_as_far_as_they_are_one(
    pristine, tmp_path, kind, metadata, data
):
    folder = tmp_path / 'bag'
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pristine / kind, folder)
    file = storage_file(folder)
    file.write_bytes(data.draw(_focused(file.read_bytes())))
    if not metadata:
        (folder / 'metadata.yaml').unlink()
    for step in walked(folder):
        assert all(image.ndim == 3 for image in step.observation.images)


@given(data=st.data())
@settings(
    max_examples=60,
    deadline=30_000,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_metadata_costs_a_good_recording_nothing(pristine, tmp_path, data):
    folder = tmp_path / 'bag'
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pristine / 'mcap', folder)
    path = folder / 'metadata.yaml'
    path.write_bytes(data.draw(damaged_bytes(path.read_bytes())))
    walked(folder)


@given(data=st.data())
@settings(
    max_examples=60,
    deadline=30_000,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_content_of_a_chunk_is_read_as_far_as_it_is_records(pristine, tmp_path, data):
    """Compressed, damage would seldom get past the checksum and the decompression."""
    whole = storage_file(pristine / 'mcap').read_bytes()
    chunk = 8
    while whole[chunk] != 6:
        chunk += 9 + int.from_bytes(whole[chunk + 1 : chunk + 9], 'little')
    packed = whole[whole.index(b'\x28\xb5\x2f\xfd', chunk) :]
    content = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    content = data.draw(damaged_bytes(content))
    packed = zstandard.compress(content)
    fields = struct.pack('<QQQI', START, START, len(content), 0) + mcap_text(b'zstd')
    fields += struct.pack('<Q', len(packed)) + packed
    path = tmp_path / 'a.mcap'
    path.write_bytes(whole[:chunk] + mcap_record(6, fields))  # cut off: read by its content
    walked(path)


@st.composite
def _focused(draw, whole):
    """Draw damage anywhere, or within the first kilobytes, where lengths and tables are."""
    if draw(st.booleans()):
        return draw(damaged_bytes(whole))
    size = draw(st.sampled_from([200, 2000, 8192]))
    return draw(damaged_bytes(whole[:size])) + whole[size:]
