# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read `meta/info.json` of a LeRobotDataset, which a stranger may have written.

What it claims is bounded here; nothing is made as large as it says. Opens no table and no video.
"""

from collections.abc import Mapping
import json
import math
from pathlib import Path
import re
from typing import Any

from vla_cache_ros.control.sensing.compressed import MOST_PIXELS
from vla_cache_ros.datasets.layout import DATA
from vla_cache_ros.datasets.layout import Feature
from vla_cache_ros.datasets.layout import file_path
from vla_cache_ros.datasets.layout import IMAGE_TYPE
from vla_cache_ros.datasets.layout import INFO
from vla_cache_ros.datasets.layout import Info
from vla_cache_ros.datasets.layout import VERSION
from vla_cache_ros.datasets.layout import VIDEO
from vla_cache_ros.datasets.layout import VIDEO_TYPE

LARGEST = 4 * 2**20  # bytes; published ones have some kB
MOST_FPS = 1000
MOST_NUMBERS = 4096  # of a vector
MOST_FEATURES = 1000
_DTYPES = re.compile(r'bool|u?int(8|16|32|64)|float(16|32|64)|string|language')
_CONVERTER = 'python -m lerobot.scripts.convert_dataset_v21_to_v30'


def read_info(folder: Path) -> Info:
    """
    Return what a data set says of itself.

    Raises FileNotFoundError where there is nothing, ValueError, in one line, for a folder that is
    no data set, for one of another version than VERSION, and for what cannot be.
    """
    folder = Path(folder)
    if not folder.exists():
        hint = ''
        if re.fullmatch(r'[\w-][\w.-]*/[\w.-]+', str(folder)):
            hint = f': hf download {folder} --repo-type dataset --local-dir DIR'
        raise FileNotFoundError(
            f'{folder}: expected the folder of a LeRobotDataset, there is nothing; one of the hub '
            f'is not downloaded by itself{hint}'
        )
    path = folder / INFO
    if not path.is_file():
        raise ValueError(_no_data_set(folder))
    raw = _json(path)
    _check_version(folder, raw.get('codebase_version'))
    features = raw.get('features')
    if not isinstance(features, dict) or not 0 < len(features) <= MOST_FEATURES:
        raise ValueError(
            f'{path}: features: expected 1 to {MOST_FEATURES} of them by name, got '
            f'{_shown(features)}'
        )
    totals = {
        name: _whole(path, name, raw.get(name, 0))
        for name in ('total_episodes', 'total_frames', 'total_tasks')
    }
    paths = {'data_path': raw.get('data_path') or DATA, 'video_path': raw.get('video_path')}
    paths['video_path'] = paths['video_path'] or VIDEO
    for name, template in paths.items():
        if not isinstance(template, str):
            raise ValueError(f'{path}: {name}: expected a path, got {_shown(template)}')
        try:
            file_path(folder, template, 0, 0, 'camera')
        except ValueError as error:
            raise ValueError(f'{path}: {name}: {error}') from None
    kind = raw.get('robot_type')
    return Info(
        fps=_fps(path, raw.get('fps')),
        features={name: _feature(path, name, one) for name, one in features.items()},
        robot_type=kind if isinstance(kind, str) else '',
        **totals,
        **paths,
    )


def _no_data_set(folder: Path) -> str:
    """Return what is wrong with a folder that has no `info.json`."""
    hint = ''
    if folder.is_dir():
        inside = sorted(found.parents[1] for found in folder.glob(f'*/{INFO}'))
        inside += sorted(found.parents[1] for found in folder.glob(f'*/*/{INFO}'))
        if inside:
            hint = f'; there are data sets in it, such as {inside[0]}'
        elif (folder / 'metadata.yaml').exists() or any(folder.glob('*.mcap')):
            hint = '; this is a bag: --bag reads it'
    return (
        f'{folder}: expected the folder of a LeRobotDataset, with {INFO}{hint or ", got another"}'
    )


def _check_version(folder: Path, version: object) -> None:
    if version == VERSION:
        return
    found = version if isinstance(version, str) else _shown(version)
    hint = 'update vla_cache_ros, if a newer one reads it'
    old = re.fullmatch(r'v?([0-2])\.[0-9]+', found)
    if old:
        name, place = folder.resolve().name, folder
        hint = f'convert it with LeRobot: {_CONVERTER} --repo-id={name} --root={place} '
        hint += '--push-to-hub=false'
        if found.removeprefix('v') != '2.1':
            hint += ', which takes v2.1: LeRobot of those days leads there'
    raise ValueError(f'{folder}: expected a LeRobotDataset {VERSION}, got {found:.40}; {hint}')


def _json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > LARGEST:
        raise ValueError(f'{path}: expected at most {LARGEST} bytes, got {path.stat().st_size}')
    try:
        raw = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path}: expected JSON, got damaged text ({error!s:.200})') from error
    if not isinstance(raw, dict):
        raise ValueError(f'{path}: expected a JSON object, got {_shown(raw)}')
    return raw


def _feature(path: Path, name: str, raw: object) -> Feature:
    """Return one feature; raises ValueError for one that cannot be."""
    place = f'{path}: features: {name!r:.80}'
    if not isinstance(raw, dict):
        raise ValueError(f'{place}: expected dtype and shape, got {_shown(raw)}')
    dtype, shape = raw.get('dtype'), raw.get('shape')
    picture = dtype in (VIDEO_TYPE, IMAGE_TYPE)
    if not picture and not (isinstance(dtype, str) and _DTYPES.fullmatch(dtype)):
        raise ValueError(
            f'{place}: dtype: expected video, image or one of numpy, got {dtype!r:.80}'
        )
    whole = isinstance(shape, list) and len(shape) <= 8
    if not whole or any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f'{place}: shape: expected whole numbers, got {_shown(shape)}')
    most = 3 * MOST_PIXELS if picture else MOST_NUMBERS
    if math.prod(shape) > most:
        raise ValueError(f'{place}: shape: expected at most {most} numbers, got {_shown(shape)}')
    info = raw.get('info') or raw.get('video_info') or {}
    info = info if isinstance(info, Mapping) else {}
    return Feature(dtype, tuple(shape), tuple(_names(raw.get('names'))), info)


def _names(raw: object) -> list[str]:
    """Return names as a plain list: older data sets group them, `{"motors": [...]}`."""
    if isinstance(raw, str):
        return [raw]
    if isinstance(raw, Mapping):
        grouped = all(isinstance(one, list) for one in raw.values())
        raw = list(raw.values()) if grouped else list(raw)
    if not isinstance(raw, list):
        return []
    parts = [one if isinstance(one, list) else [one] for one in raw]
    return [name for part in parts for name in part if isinstance(name, str)][:MOST_NUMBERS]


def _fps(path: Path, value: object) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value <= MOST_FPS:
        raise ValueError(
            f'{path}: fps: expected more than 0, to {MOST_FPS} frames a second, got '
            f'{_shown(value)}'
        )
    return float(value)


def _whole(path: Path, name: str, value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f'{path}: {name}: expected a whole number, got {_shown(value)}')
    return value


def _shown(value: object) -> str:
    """Return a value as text; Python does not write out an integer of thousands of digits."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return f'{"-" if value < 0 else ""}1e20 or beyond'
    if isinstance(value, list | dict) and len(value) > 20:
        return f'{len(value)} of them'
    try:
        return f'{value!r:.80}'
    except ValueError:  # such an integer in a list
        return 'a number beyond 1e20'
