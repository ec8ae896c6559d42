# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write figures and text to files. Knows no figure."""

from collections.abc import Iterable
from collections.abc import Mapping
import json
import os
from pathlib import Path
from typing import Any


def check_folder(out: Path) -> None:
    """Raise ValueError where a folder of this name could not be written."""
    if out.exists() and not out.is_dir():
        raise ValueError(f'out: expected a folder or a new name, found a file: {out}')


def begin_folder(out: Path, names: Iterable[str]) -> None:
    """Make a folder, without what an earlier run left: a failed one shall not stand beside it."""
    check_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        (out / name).unlink(missing_ok=True)


def write_json(path: Path, figures: Mapping[str, Any]) -> None:
    """Write figures as JSON; NaN, which JSON does not have, is refused."""
    path.write_text(json.dumps(figures, indent=1, allow_nan=False) + '\n', encoding='utf-8')


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step, so that nobody reads half of it."""
    draft = path.with_name(f'.{path.name}.{os.getpid()}')
    draft.write_text(text, encoding='utf-8')
    draft.replace(path)
