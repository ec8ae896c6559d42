# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Change a checkpoint's files, and read what loading them is answered with."""

import io
import json
import struct
import zipfile

import pytest
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.files.errors import CheckpointError


def edit_json(path, **changes):
    """Set top-level keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def fault(folder, **options):
    """Return the message, one line, with which loading a folder is refused."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder, **options)
    message = str(caught.value)
    assert '\n' not in message
    return message


def members_of(path):
    """Return a file's members by name."""
    with zipfile.ZipFile(path) as archive:
        return {member: archive.read(member) for member in archive.namelist()}


def rewrite(path, members, method=zipfile.ZIP_STORED):
    """Write a zip that ends as those of torch.save do."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    data = buffer.getvalue()
    count, size, start = struct.unpack('<HII', data[-12:-2])
    end = struct.pack('<4sQHHIIQQQQ', b'PK\6\6', 44, 45, 45, 0, 0, count, count, size, start)
    end += struct.pack('<4sIQI', b'PK\6\7', 0, start + size, 1)
    path.write_bytes(data[:-22] + end + data[-22:])
    return path
