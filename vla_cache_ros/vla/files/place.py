# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Find the folder of a checkpoint by path, hub id or the name of one that ships.

Knows nothing of what is in it.
"""

from __future__ import annotations

import json
from pathlib import Path
import re
from typing import Any

from vla_cache_ros.vla.files.errors import CheckpointError

PACKAGED = Path(__file__).resolve().parents[2] / 'checkpoints'
HUB_FILES = ['*.json', '*.safetensors', '*checkpoint.pt', 'checkpoints/*.pt', 'tokenizer.model']
HUB_ID = r'[\w-][\w.-]*/[\w.-]+'


def split_name(name: str | Path) -> tuple[str, dict[str, Any]]:
    """
    Return a checkpoint's name and what is said of it behind: `runs/mine,num_images=1,chunk=25`.

    The latter are fields of OftConfig, or `flow_steps`. A folder that is called just so keeps its
    name.
    """
    found = re.fullmatch(r'(.+?)((?:,\w+=[^,=/]*)+)', str(name))
    if found is None or Path(name).is_dir():
        return str(name), {}
    return found[1], dict(map(_setting, found[2][1:].split(',')))


def _setting(text: str) -> tuple[str, Any]:
    key, _, value = text.partition('=')
    try:
        return key, json.loads(value.lower())
    except ValueError:
        return key, value


def resolve(name: str | Path) -> Path:
    """
    Return the folder of a checkpoint: a path, a packaged name (`tabletop`...) or a hub id.

    What `split_name` takes off is left aside. A hub id is downloaded (data files only, no code).
    Raises CheckpointError if none fits.
    """
    text, _ = split_name(name)
    if (PACKAGED / text / 'config.json').exists() and '/' not in text:
        return PACKAGED / text
    if Path(text).is_dir():
        return Path(text)
    if re.fullmatch(HUB_ID, text):
        try:
            return download(text, HUB_FILES)
        except CheckpointError as error:
            raise CheckpointError(
                f'checkpoint {text!r}: no such folder, and as a hub id: {error}'
            ) from error
    raise CheckpointError(
        f"checkpoint: expected a folder, a hub id 'owner/name' or 'tabletop', found {text!r}"
    )


def download(name: str, patterns: list[str]) -> Path:
    """Return the folder of a hub id's files of these names; raises CheckpointError with why."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise CheckpointError(str(error).strip().splitlines()[0]) from error
