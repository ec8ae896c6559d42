# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Keep what each recording gave, so that an evaluation that was cut off goes on where it was.

A result is a file of JSON, named by a digest of all that it depends on: another model, gate,
option, version or recording has another name. Knows no model and runs nothing.
"""

from base64 import b64decode
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict
import hashlib
import json
from pathlib import Path
import sys
from typing import Any

import numpy as np
from vla_cache_ros.evaluation.recordings.moments import Moment
from vla_cache_ros.evaluation.recordings.run import BagResult
from vla_cache_ros.evaluation.recordings.steps import GateStep
from vla_cache_ros.evaluation.recordings.steps import RecordedStep
from vla_cache_ros.evaluation.recordings.steps import Step
from vla_cache_ros.reports.files import write_text

FOLDER = 'results'


class KeptResults:
    """Hold the results in a folder."""

    def __init__(self, folder: Path, depends: Mapping[str, Any]):
        """Name the folder, and what all results depend on as JSON values."""
        self.folder, self._depends = folder, depends

    def path(self, identity: Mapping[str, Any]) -> Path:
        """Return the file of a task's result; identity: what else it depends on."""
        text = json.dumps([self._depends, identity], sort_keys=True)
        return self.folder / f'{hashlib.sha256(text.encode()).hexdigest()[:20]}.json'

    def find(self, identity: Mapping[str, Any]) -> tuple[BagResult, Mapping[str, Any]] | None:
        """Return what was kept of a task and where that was measured, None if nothing was."""
        path = self.path(identity)
        if not path.is_file():
            return None
        try:
            return read_result(path)
        except (ValueError, KeyError, TypeError) as error:
            print(f'{path}: run again: not a kept result ({error})', file=sys.stderr)
            return None

    def keep(
        self, identity: Mapping[str, Any], result: BagResult, machine: Mapping[str, Any]
    ) -> None:
        """Write what a task gave; machine: where."""
        self.folder.mkdir(parents=True, exist_ok=True)
        values = {'result': asdict(result), 'machine': machine}
        write_text(self.path(identity), json.dumps(values, default=_plain) + '\n')


def read_result(path: Path) -> tuple[BagResult, Mapping[str, Any]]:
    """Return a kept result and where it was measured; raises ValueError, KeyError or TypeError."""
    kept = json.loads(path.read_text(encoding='utf-8'))
    return _result(kept['result']), kept['machine']


def _plain(value: Any) -> Any:
    """Return what JSON has no form for in one that loses nothing."""
    if isinstance(value, np.ndarray):
        return {'dtype': str(value.dtype), 'shape': value.shape, 'values': value.ravel().tolist()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f'expected what a result holds, got {type(value).__name__}')


def _result(values: Mapping[str, Any]) -> BagResult:
    lists = {
        'path': Path(values['path']),
        'steps': [_step(step) for step in values['steps']],
        'moments': [_moment(moment) for moment in values['moments']],
    }
    return BagResult(**{**values, **lists})


def _step(values: Mapping[str, Any]) -> Step:
    gates = {name: _gate_step(found) for name, found in values['gates'].items()}
    return Step(**{**values, 'gates': gates})


def _gate_step(values: Mapping[str, Any]) -> GateStep:
    said = values['recorded']
    if said is not None:
        said = RecordedStep(**{**said, 'absolute': _array(said['absolute'])})
    read = {
        'absolute': _array(values['absolute']),
        'dimensions': tuple(values['dimensions']),
        'recorded': said,
    }
    return GateStep(**{**values, **read})


def _moment(values: Mapping[str, Any]) -> Moment:
    read = {
        'found': _gate_step(values['found']),
        'dense': _array(values['dense']),
        'actions': _array(values['actions']),
        'picture': b64decode(values['picture'], validate=True),
    }
    return Moment(**{**values, **read})


def _array(values: Mapping[str, Any]) -> np.ndarray:
    dtype = np.dtype(values['dtype'])
    if dtype.kind not in 'fiu':
        raise ValueError(f'expected numbers, got {dtype}')
    return np.array(values['values'], dtype).reshape(values['shape'])
