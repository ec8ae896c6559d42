# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say what the messages of the wire are made of: metadata, observations, chunks, reports.

Names are openpi's; what goes beyond them lies under the key `vla_cache`. Both ends use this.
Knows neither sockets nor models.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from vla_cache_ros.serving.wire import describe
from vla_cache_ros.serving.wire import is_index
from vla_cache_ros.serving.wire import is_number
from vla_cache_ros.serving.wire import is_text
from vla_cache_ros.serving.wire import WireError
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport

VERSION = 1
KEY = 'vla_cache'  # what goes beyond openpi's messages
PREFIX, STATE, PROMPT = 'observation/', 'observation/state', 'prompt'
ACTIONS, TIMING = 'actions', 'server_timing'
CALLS = ('act', 'shadow', 'reset', 'invalidate', 'check_instruction', 'ask')
# Why a request has no answer. input: it does not fit the model. non_finite: the model gave NaN or
# infinity. superseded: a newer observation of the session came before it was begun. late: it was
# not begun, or not done, before its deadline. full: no room for a session. failed: anything else.
KINDS = ('input', 'non_finite', 'superseded', 'late', 'full', 'failed')
LONGEST_PROMPT = 4096  # characters
_UNNAMED = ('image', 'wrist_image')  # openpi's names, primary camera first


@dataclass(frozen=True)
class Metadata:
    """
    Hold what a server says of its model when a client connects.

    cameras: keys of the pictures in a request, primary camera first; camera_names: what the
    checkpoint calls them, empty where it names none. state: numbers of the robot state, 0 for
    none. chunk, action_dim: an answer's actions are `[chunk, action_dim]`. units: of state and
    actions. takes_rest: whether what is left of the last chunk is made use of. images: what the
    server does with the pictures, in words. largest_reuse: the most that may be asked of the
    gate, None where nothing can be asked. session_bytes: memory of one session.
    """

    family: str
    summary: str
    cameras: tuple[str, ...]
    camera_names: tuple[str, ...]
    state: int
    chunk: int
    action_dim: int
    units: str
    takes_rest: bool
    checkpoint: str
    gate: str
    gate_weights: str
    images: str
    reuse: float | None = None
    largest_reuse: float | None = None
    session_bytes: int = 0
    version: int = VERSION

    def to_message(self) -> dict[str, Any]:
        """Return the message that a server sends first."""
        return {KEY: asdict(self)}


def camera_keys(names: Sequence[str], count: int) -> tuple[str, ...]:
    """
    Return the keys of the pictures in a request.

    names: what the checkpoint calls its cameras, empty where it names none. Raises ValueError for
    a name that would be the state's.
    """
    found = names or [*_UNNAMED, *(f'wrist_image_{n}' for n in range(2, count))][:count]
    keys = tuple(f'{PREFIX}{name}' for name in found)
    if STATE in keys or len(set(keys)) < len(keys):
        raise ValueError(f'cameras: expected names that differ and are not state, got {found}')
    return keys


def read_metadata(message: Mapping[str, Any]) -> Metadata:
    """
    Return what a server says of its model.

    Raises WireError where it is no such server, speaks another version or says odd things. What
    a newer server of this version says in addition is not looked at.
    """
    found = message.get(KEY)
    if not isinstance(found, dict):
        raise WireError(
            f'metadata: expected a map {KEY!r}, got keys {sorted(message)!r:.80}; connect to '
            'vla-cache serve'
        )
    if found.get('version') != VERSION:
        raise WireError(
            f'metadata: expected version {VERSION} of the wire, got '
            f'{describe(found.get("version"))}; install the same vla_cache_ros on both machines'
        )
    values = {}
    for name, (check, expected) in _METADATA.items():
        value = found.get(name)
        if not check(value):
            raise WireError(f'metadata: {name}: expected {expected}, got {describe(value)}')
        values[name] = tuple(value) if isinstance(value, list) else value
    if len(values['camera_names']) not in (0, len(values['cameras'])):
        raise WireError('metadata: camera_names: expected none, or one for each camera')
    return Metadata(**values)


def to_request(observation: Observation, cameras: Sequence[str]) -> dict[str, Any]:
    """Return the message of an observation; cameras: the keys of its pictures."""
    message: dict[str, Any] = dict(zip(cameras, observation.images, strict=True))
    message[PROMPT] = observation.instruction
    if observation.proprio is not None:
        message[STATE] = observation.proprio
    return message


def to_report(report: StepReport) -> dict[str, Any]:
    """Return the map of a step report."""
    return {
        'step': int(report.step),
        'gate': report.gate,
        'reuse': float(report.reuse),
        'active': np.asarray(report.active, bool),
        'ages': np.asarray(report.ages, np.int64),
        'refresh': report.refresh,
        'latency_ms': {name: float(ms) for name, ms in report.latency_ms.items()},
        'passes': int(report.passes),
    }


def read_report(found: object) -> StepReport:
    """Return the step report of a map; raises WireError naming what is wrong with it."""
    if not isinstance(found, dict):
        raise WireError(f'report: expected a map, got {describe(found)}')
    for name, (check, expected) in _REPORT.items():
        if not check(found.get(name)):
            raise WireError(
                f'report: {name}: expected {expected}, got {describe(found.get(name))}'
            )
    if found['active'].shape != found['ages'].shape:
        raise WireError('report: expected as many ages as active tokens')
    return StepReport(**{name: found[name] for name in _REPORT})


def read_actions(name: str, found: object, shape: tuple[int, int]) -> np.ndarray:
    """Return a float64 array of that shape; raises WireError, name: of it in the message."""
    if not isinstance(found, np.ndarray) or found.dtype != np.float64 or found.shape != shape:
        raise WireError(f'{name}: expected float64 {list(shape)}, got {describe(found)}')
    return found


def read_invalidations(found: object) -> dict[str, int]:
    """Return how often each cause has invalidated the cache; raises WireError."""
    if not isinstance(found, dict) or not all(map(is_index, found.values())):
        raise WireError(f'invalidations: expected counts by cause, got {describe(found)}')
    return found


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and len(value) <= 64 and all(map(is_text, value))


def _is_share(value: object) -> bool:
    return value is None or (is_number(value) and 0 <= value <= 1)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_size(value: object) -> bool:
    return is_index(value) and 0 < value <= 2**20


def _is_vector(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1


def _is_times(value: object) -> bool:
    return isinstance(value, dict) and all(map(is_number, value.values()))


_TEXT, _COUNT = (is_text, 'text'), (is_index, 'a whole number')
_TEXTS, _SIZE = (_is_texts, 'a list of texts'), (_is_size, 'a whole number from 1')
_SHARE = (_is_share, 'a number from 0 to 1, or nothing')
_METADATA = {
    'family': _TEXT,
    'summary': _TEXT,
    'cameras': _TEXTS,
    'camera_names': _TEXTS,
    'state': _COUNT,
    'chunk': _SIZE,
    'action_dim': _SIZE,
    'units': _TEXT,
    'takes_rest': (_is_flag, 'true or false'),
    'checkpoint': _TEXT,
    'gate': _TEXT,
    'gate_weights': _TEXT,
    'images': _TEXT,
    'reuse': _SHARE,
    'largest_reuse': _SHARE,
    'session_bytes': _COUNT,
}
_REPORT = {
    'step': _COUNT,
    'gate': _TEXT,
    'reuse': (lambda value: value is not None and _is_share(value), 'a number from 0 to 1'),
    'active': (lambda value: _is_vector(value) and value.dtype == bool, 'bool [V]'),
    'ages': (lambda value: _is_vector(value) and value.dtype == np.int64, 'int64 [V]'),
    'refresh': _TEXT,
    'latency_ms': (_is_times, 'numbers by name'),
    'passes': _COUNT,
}
