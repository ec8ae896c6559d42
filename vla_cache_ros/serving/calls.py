# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read a request: check every key of it against the model, and refuse by name what does not fit.

Nothing is converted and nothing passed over: a key that is not known, a picture that is
channel-first or of floats, a state that the model does not take are errors that say what to send.
Knows neither sockets nor the policy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from vla_cache_ros.serving.messages import CALLS
from vla_cache_ros.serving.messages import KEY
from vla_cache_ros.serving.messages import LONGEST_PROMPT
from vla_cache_ros.serving.messages import Metadata
from vla_cache_ros.serving.messages import PREFIX
from vla_cache_ros.serving.messages import PROMPT
from vla_cache_ros.serving.messages import STATE
from vla_cache_ros.serving.wire import describe
from vla_cache_ros.serving.wire import is_index
from vla_cache_ros.serving.wire import is_number
from vla_cache_ros.serving.wire import is_text
from vla_cache_ros.serving.wire import WireError
from vla_cache_ros.types import Observation

_ALWAYS = {'id', 'call', 'deadline_ms'}
_FIELDS = {  # of what goes beyond openpi's messages, by call
    'act': {'rest', 'delay'},
    'shadow': {'rest', 'delay', 'step'},
    'reset': {'cause'},
    'invalidate': {'cause'},
    'check_instruction': set(),
    'ask': {'reuse'},
}
_LONGEST_DEADLINE = 3.6e6  # ms


@dataclass(frozen=True)
class Call:
    """
    Say what a client asks of its session.

    name: one of `CALLS`. id: the client's number of it, None from a client that numbers nothing.
    observation, rest `[L, A]`, delay: as `Policy.act` takes them. step: as `Policy.shadow` does.
    cause: as `Policy.reset` does. reuse: as a gate's `ask` does. deadline: s from its arrival.
    """

    name: str = 'act'
    id: int | None = None
    observation: Observation | None = None
    instruction: str = ''
    rest: np.ndarray | None = None
    delay: int = 0
    step: int = 0
    cause: str = ''
    reuse: float | None = None
    deadline: float | None = None


def is_extended(message: Mapping[str, Any]) -> bool:
    """Say whether a request goes beyond openpi's, so that its errors go back as maps."""
    return KEY in message


def number_of(message: Mapping[str, Any]) -> int | None:
    """Return the id of a request that may be wrong in every other respect, None for none."""
    found = message.get(KEY)
    found = found.get('id') if isinstance(found, dict) else None
    return found if is_index(found) else None


def read_call(message: Mapping[str, Any], model: Metadata, last: int | None = None) -> Call:
    """
    Return what a request asks for.

    model: whose cameras, state and actions it must fit. last: id of the connection's request
    before, which this one's must exceed. Raises WireError naming the key.
    """
    extra = message.get(KEY, {})
    if not isinstance(extra, dict):
        raise WireError(f'{KEY}: expected a map, got {describe(extra)}')
    name = extra.get('call', 'act')
    if name not in CALLS:
        raise WireError(f'call: expected one of {", ".join(CALLS)}, got {describe(name)}')
    _check_keys(f'{KEY} of {name}', extra, _ALWAYS | _FIELDS[name])
    number = extra.get('id')
    if KEY in message and (not is_index(number) or (last is not None and number <= last)):
        above = 0 if last is None else last + 1
        raise WireError(f'id: expected a whole number from {above} on, got {describe(number)}')
    deadline = extra.get('deadline_ms')
    if deadline is not None and not (is_number(deadline) and 0 < deadline <= _LONGEST_DEADLINE):
        raise WireError(
            f'deadline_ms: expected ms above 0, at most {_LONGEST_DEADLINE:.0f}, '
            f'got {describe(deadline)}'
        )
    values: dict[str, Any] = {
        'name': name,
        'id': number,
        'deadline': None if deadline is None else deadline / 1e3,
    }
    if name in ('act', 'shadow'):
        return Call(**values, **_observed(message, extra, model))
    _check_keys(name, message, {KEY, PROMPT} if name == 'check_instruction' else {KEY})
    if name == 'check_instruction':
        return Call(**values, instruction=_prompt(message))
    if name == 'ask':
        return Call(**values, reuse=_reuse(extra, model))
    cause = extra.get('cause', 'episode_reset')
    if not is_text(cause, 80):
        raise WireError(f'cause: expected text, got {describe(cause)}')
    return Call(**values, cause=cause)


def _observed(
    message: Mapping[str, Any], extra: Mapping[str, Any], model: Metadata
) -> dict[str, Any]:
    """Return the fields of a call that computes actions."""
    state = {STATE} if model.state else set()
    if STATE in message and not state:
        raise WireError(
            f'{STATE}: expected none, this model takes no robot state; leave the key out'
        )
    _check_keys('request', message, {*model.cameras, PROMPT, KEY} | state)
    images = tuple(_picture(key, message) for key in model.cameras)
    proprio = _state(message, model.state) if state else None
    delay, step = extra.get('delay', 0), extra.get('step', 0)
    if not is_index(delay) or delay > model.chunk:
        raise WireError(
            f'delay: expected a whole number from 0 to {model.chunk}, got {describe(delay)}'
        )
    if not is_index(step):
        raise WireError(f'step: expected a whole number from 0 on, got {describe(step)}')
    return {
        'observation': Observation(images, _prompt(message), proprio),
        'rest': _rest(extra, model),
        'delay': delay,
        'step': step,
    }


def _check_keys(what: str, found: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(found) - known)
    if unknown:
        hint = ''
        if any(name in ('session', 'session_id') for name in unknown):
            hint = '; a session is a connection and has no name'
        elif any(name.startswith(PREFIX) for name in unknown):
            hint = "; the server's metadata name the cameras"
        raise WireError(
            f'{what}: expected only {", ".join(sorted(known))}, got '
            f'{", ".join(f"{name[:40]!r}" for name in unknown[:4])}{hint}'
        )


def _missing(key: str) -> WireError:
    return WireError(f'{key}: expected it in the request, got none')


def _picture(key: str, message: Mapping[str, Any]) -> np.ndarray:
    if key not in message:
        raise _missing(key)
    image = message[key]
    if isinstance(image, np.ndarray):
        shape, hint = image.shape, ''
        if image.dtype == np.uint8 and len(shape) == 3 and shape[2] == 3 and image.size:
            return image
        if len(shape) == 3 and shape[0] == 3 and shape[2] != 3:
            hint = '; it seems to be channel-first: transpose(1, 2, 0)'
        elif image.dtype.kind == 'f':
            hint = '; openpi_client.image_tools.convert_to_uint8 makes them of floats from 0 to 1'
        elif len(shape) == 4:
            hint = '; one picture, not a batch'
        raise WireError(f'{key}: expected uint8 RGB [H, W, 3], got {describe(image)}{hint}')
    raise WireError(f'{key}: expected uint8 RGB [H, W, 3], got {describe(image)}')


def _state(message: Mapping[str, Any], size: int) -> np.ndarray:
    if STATE not in message:
        raise _missing(STATE)
    state = message[STATE]
    if (
        not isinstance(state, np.ndarray)
        or state.dtype not in (np.float32, np.float64)
        or state.shape != (size,)
    ):
        raise WireError(f'{STATE}: expected float32 or float64 [{size}], got {describe(state)}')
    if not np.isfinite(state).all():
        raise WireError(f'{STATE}: expected finite numbers, got NaN or infinity')
    return state


def _prompt(message: Mapping[str, Any]) -> str:
    if PROMPT not in message:
        raise _missing(PROMPT)
    if not is_text(message[PROMPT], LONGEST_PROMPT):
        raise WireError(
            f'{PROMPT}: expected text of at most {LONGEST_PROMPT} characters, '
            f'got {describe(message[PROMPT])}'
        )
    return message[PROMPT]


def _rest(extra: Mapping[str, Any], model: Metadata) -> np.ndarray | None:
    rest = extra.get('rest')
    if rest is None:
        return None
    if (
        not isinstance(rest, np.ndarray)
        or rest.dtype != np.float64
        or rest.ndim != 2
        or rest.shape[1] != model.action_dim
        or len(rest) > model.chunk
    ):
        raise WireError(
            f'rest: expected float64 [up to {model.chunk}, {model.action_dim}], '
            f'got {describe(rest)}'
        )
    if not np.isfinite(rest).all():
        raise WireError('rest: expected finite numbers, got NaN or infinity')
    return rest


def _reuse(extra: Mapping[str, Any], model: Metadata) -> float | None:
    reuse = extra.get('reuse')
    if model.largest_reuse is None:
        raise WireError(f'reuse: expected a gate that can be asked for it, got {model.gate}')
    if reuse is not None and not (is_number(reuse) and 0 <= reuse <= model.largest_reuse):
        raise WireError(
            f'reuse: expected from 0 to {model.largest_reuse:g}, or nothing, got {describe(reuse)}'
        )
    return reuse
