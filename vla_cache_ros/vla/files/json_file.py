# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read JSON files that a stranger may have written, and check the numbers in them.

What is refused is refused before it takes memory. Knows nothing of what the files are for.
"""

from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any

from vla_cache_ros.vla.files.errors import CheckpointError

LARGEST = 4 * 2**20  # bytes; published ones have at most 0.2 MB, and text takes 30 times as memory


def read_json(path: Path) -> dict[str, Any]:
    """
    Return the object in a JSON file.

    Raises CheckpointError, naming the file, if it is absent, larger than LARGEST, damaged, no
    object, or says a key twice.
    """
    check_size(path, LARGEST)
    try:
        content = json.loads(path.read_text(encoding='utf-8'), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f'{path}: expected JSON, found damaged text ({error})') from error
    except OSError as error:
        raise CheckpointError(f'{path}: expected a readable file ({error.strerror})') from error
    if not isinstance(content, dict):
        raise CheckpointError(f'{path}: expected an object, found {type(content).__name__}')
    return content


def check_size(path: Path, most: int) -> None:
    """Raise CheckpointError unless a path is a regular file of at most so many bytes."""
    if not path.exists():
        raise CheckpointError(f'expected the file {path}, found none')
    if not path.is_file():  # a pipe would be waited for, a device never ends
        raise CheckpointError(f'{path}: expected a regular file, found something else')
    if path.stat().st_size > most:
        raise CheckpointError(
            f'{path}: expected at most {most} bytes, found {path.stat().st_size}'
        )


def mapping(name: str, value: object) -> dict[str, Any]:
    """Return a JSON object as it is; raises CheckpointError for anything else."""
    if not isinstance(value, Mapping):
        raise CheckpointError(f'{name}: expected an object, found {value!r:.80}')
    return dict(value)


def whole(name: str, value: object, low: int, high: int) -> int:
    """Return a whole number from low to high; raises CheckpointError for anything else."""
    if type(value) is not int or not low <= value <= high:
        raise CheckpointError(f'{name}: expected {low} to {high}, found {_shown(value)}')
    return value


def number(name: str, value: object, low: float, high: float) -> float:
    """Return a number from low to high; raises CheckpointError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise CheckpointError(f'{name}: expected {low:g} to {high:g}, found {_shown(value)}')
    return float(value)


def flag(name: str, value: object) -> bool:
    """Return a truth value; raises CheckpointError for anything else."""
    if not isinstance(value, bool):
        raise CheckpointError(f'{name}: expected true or false, found {_shown(value)}')
    return value


def _shown(value: object) -> str:
    """Return a value as text; Python does not write out an integer of thousands of digits."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return f'{"-" if value < 0 else ""}1e20 or beyond'
    return f'{value!r:.80}'


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'the key {twice!r:.80} twice')
    return content
