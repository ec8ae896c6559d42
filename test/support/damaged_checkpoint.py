# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Change a checkpoint's files, and read what loading them is answered with."""

import json

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
