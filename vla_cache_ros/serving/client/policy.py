# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A policy in another process or machine, with the outside of `vla_cache_ros.policy.Policy`.

Pictures travel as the camera gave them; the server does to them what the same code does here.
Knows messages; connections are `link`'s, and nothing is known of models.
"""

from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import replace
import time
from typing import Any
from urllib.parse import urlsplit
import warnings

import numpy as np
from vla_cache_ros.serving.client.credentials import Credentials
from vla_cache_ros.serving.client.errors import BAD_ANSWER
from vla_cache_ros.serving.client.errors import CHANGED
from vla_cache_ros.serving.client.errors import FAILED
from vla_cache_ros.serving.client.errors import one_line
from vla_cache_ros.serving.client.errors import RECONNECTED
from vla_cache_ros.serving.client.errors import REFUSED
from vla_cache_ros.serving.client.errors import RemoteError
from vla_cache_ros.serving.client.errors import SILENT
from vla_cache_ros.serving.client.link import Link
from vla_cache_ros.serving.messages import ACTIONS
from vla_cache_ros.serving.messages import KEY
from vla_cache_ros.serving.messages import Metadata
from vla_cache_ros.serving.messages import read_actions
from vla_cache_ros.serving.messages import read_invalidations
from vla_cache_ros.serving.messages import read_metadata
from vla_cache_ros.serving.messages import read_report
from vla_cache_ros.serving.messages import to_request
from vla_cache_ros.serving.wire import WireError
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport
from vla_cache_ros.vla.files.errors import InputError
from vla_cache_ros.vla.files.errors import NonFiniteOutputError

FIRST_TIMEOUT = 60.0  # s, until a caller sets another: a server's first step may take long
# What may differ between two connections, as it changes no action.
_MAY_CHANGE = {'summary': '', 'session_bytes': 0}
_CAUSES = {'late': SILENT, 'superseded': SILENT, 'full': REFUSED}
_LOCAL = ('localhost', '127.0.0.1', '::1')


class RemoteGate:
    """Stand for the server's gate: its name, the reuse it aims at, the most it can be asked."""

    def __init__(self, policy: 'RemotePolicy', metadata: Metadata) -> None:
        """Hold what the server said of it."""
        self.name = metadata.gate
        self.reuse, self.largest_reuse = metadata.reuse, metadata.largest_reuse
        self._policy = policy

    def ask(self, reuse: float | None) -> None:
        """Aim at this share of reuse from the next step on; raises as `RemotePolicy.reset`."""
        self._policy.ask(reuse)
        self.reuse = reuse


class RemoteImages:
    """Stand for the server's image path, which is known in words only."""

    paths = ()

    def __init__(self, words: str) -> None:
        """Hold the words."""
        self._words = words

    def see(self, images: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """Return cameras' pictures as they are; what the model sees of them is the server's."""
        return images

    def __str__(self) -> str:
        """Return the server's words."""
        return self._words


class RemotePolicy:
    """
    Act by a session of a server; all methods but `check_instruction` and `close` are one thread's.

    timeout: s, the longest that a request may take; may be set at any time.
    """

    remote = True

    def __init__(
        self, url: str, token_file: str = '', ca_file: str = '', wait: float = 10.0
    ) -> None:
        """
        Connect, and keep the connection up from then on.

        url: `ws://HOST:PORT` or `wss://HOST:PORT`. token_file: holds the token that the server
        asks for. ca_file: certificates (PEM) of who may vouch for a `wss` server; the system's
        where it is empty. wait: s that are waited for a server that is not there.

        Raises RemoteError, in one line, where there is no server or it lets nobody in.
        """
        if token_file and url.startswith('ws:') and urlsplit(url).hostname not in _LOCAL:
            warnings.warn(
                f'{url}: everybody on the network can read the token and the pictures; use wss://',
                stacklevel=2,
            )
        self.timeout = FIRST_TIMEOUT
        self._metadata: Metadata | None = None
        self._refused: dict[str, str] = {}  # instructions, and what the model has against them
        self._past: Counter[str] = Counter()  # causes of invalidation, of earlier sessions
        self._present: Mapping[str, int] = {}
        self._wire_ms = 0.0
        self._link = Link(url, self._greet, Credentials(token_file, ca_file))
        try:
            self._link.wait(wait)
        except RemoteError:
            self._link.close()
            raise
        # of the connection on which an episode was begun, and of that of the present counts
        self._generation = self._counted = self._link.generation
        self.gate = RemoteGate(self, self._metadata)
        self.images = RemoteImages(self._metadata.images)

    @property
    def family(self) -> str:
        """Return the family of the base model."""
        return self._metadata.family

    @property
    def summary(self) -> str:
        """Return in one line what the checkpoint is taken for, and where it is."""
        return f'{self._metadata.summary}; served by {self._link.url}'

    @property
    def num_images(self) -> int:
        """Return the cameras the model takes, primary first."""
        return len(self._metadata.cameras)

    @property
    def chunk(self) -> int:
        """Return the number of actions that one inference gives."""
        return self._metadata.chunk

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Return what the cameras are called, in their order; empty where nothing states it."""
        return self._metadata.camera_names

    @property
    def takes_rest(self) -> bool:
        """Say whether `act` makes use of what is left of the last chunk."""
        return self._metadata.takes_rest

    @property
    def proprio_size(self) -> int:
        """Return the length of the robot state the model takes; 0 if it takes none."""
        return self._metadata.state

    @property
    def invalidations(self) -> Mapping[str, int]:
        """Return how often each named cause has invalidated the cache since connecting first."""
        return dict(self._past + Counter(self._present))

    @property
    def description(self) -> Mapping[str, str]:
        """Return the fingerprints of the weights that act, gate, image path, and the server."""
        facts = asdict(self._metadata)
        names = ('checkpoint', 'gate', 'gate_weights', 'images')
        return {name: facts[name] for name in names} | {'server': self._link.url}

    def figures(self) -> Mapping[str, str]:
        """Return as text how the connection fares, for diagnostics."""
        return {
            'gate': self.gate.name,
            'policy server': self._link.state(),
            'policy connections': str(self._link.generation),
            'policy answers dropped': str(self._link.dropped),
            'policy wire ms': f'{self._wire_ms:.2f}',
        }

    def check_instruction(self, instruction: str) -> None:
        """
        Raise InputError for an instruction that the server has refused; from any thread.

        Never waits for the server: a new instruction is checked there with its first observation.
        """
        if instruction in self._refused:
            raise InputError(self._refused[instruction])

    def prepare(self) -> None:
        """Do nothing: a server is prepared before it listens."""

    def act(
        self, observation: Observation, rest: np.ndarray | None = None, delay: int = 0
    ) -> tuple[ActionChunk, StepReport]:
        """
        Return the next actions and a report of the step, as `Policy.act` does.

        Its `latency_ms` has `wire` besides: what the way there and back took.

        Raises InputError and NonFiniteOutputError as `Policy.act` does.
        Raises RemoteError: there is no answer that could be used; or there is a new session, with
        nothing of the episode in it, and `reset` has not been called since.
        """
        begin = time.perf_counter()
        answer = self._infer('act', observation, rest, delay)
        ms = 1e3 * (time.perf_counter() - begin)
        chunk = self._chunk(answer)
        try:
            report = read_report(answer[KEY].get('report'))
        except WireError as error:
            raise RemoteError(BAD_ANSWER, f'{self._link.url}: {error}') from error
        self._count(answer)
        self._wire_ms = ms - report.latency_ms.get('total', 0.0)
        latency = {**report.latency_ms, 'wire': self._wire_ms}
        return chunk, replace(report, latency_ms=latency)

    def shadow(
        self, observation: Observation, step: int, rest: np.ndarray | None = None, delay: int = 0
    ) -> ActionChunk:
        """Return what recomputing everything gives, as `Policy.shadow` does; raises as `act`."""
        return self._chunk(self._infer('shadow', observation, rest, delay, step=step))

    def reset(self, cause: str = 'episode_reset') -> None:
        """
        Start an episode: forget the cache and start the gate anew.

        Where that cannot be said to the server, the session is given up: the next one begins
        with nothing. Raises InputError for an unknown cause.
        """
        generation = self._link.generation
        if not self._forget('reset', cause):
            return
        if generation != self._generation and self.gate.reuse != self._metadata.reuse:
            self.ask(self.gate.reuse)  # the new session does not know
        self._generation = generation

    def invalidate(self, cause: str) -> None:
        """Forget what is cached within the episode; where that cannot be said, as `reset`."""
        self._forget('invalidate', cause)

    def ask(self, reuse: float | None) -> None:
        """Have the gate aim at this share of reuse; where that cannot be said, as `reset`."""
        message = {KEY: {'call': 'ask', 'reuse': reuse}}
        self._check(self._link.request(message, self.timeout, must=True))

    def close(self) -> None:
        """Leave the server, from any thread; a request that waits fails."""
        self._link.close()

    def _forget(self, call: str, cause: str) -> bool:
        """Say it to the server; return whether it was, rather than the session being given up."""
        try:
            message = {KEY: {'call': call, 'cause': cause}}
            answer = self._link.request(message, self.timeout, must=True)
        except RemoteError:
            # the session has ended, and its cache with it; why is told by the next inference
            self._past[cause] += 1
            return False
        self._check(answer)
        self._count(answer)
        return True

    def _count(self, answer: dict[str, Any]) -> None:
        """Take how often each cause has invalidated the session's cache."""
        try:
            found = read_invalidations(answer[KEY].get('invalidations'))
        except WireError as error:
            raise RemoteError(BAD_ANSWER, f'{self._link.url}: {error}') from error
        if self._counted != (generation := self._link.generation):
            self._past += Counter(self._present)
            self._counted = generation
        self._present = found

    def _infer(
        self,
        call: str,
        observation: Observation,
        rest: np.ndarray | None,
        delay: int,
        **more: object,
    ) -> dict[str, Any]:
        """Send an observation and return the answer to it."""
        if len(observation.images) != self.num_images:
            order = ', then '.join(self.camera_names) or 'primary camera first'
            raise InputError(
                f'images: expected {self.num_images} ({order}), found {len(observation.images)}'
            )
        # just before inference_timeout, so that the stop has the name of what is wrong
        timeout = self.timeout - min(0.02, self.timeout / 10)
        ours = {
            'call': call,
            'delay': min(int(delay), self.chunk),
            'deadline_ms': 1e3 * timeout,
            **more,
        }
        if rest is not None and len(rest):
            ours['rest'] = np.asarray(rest, np.float64)
        message = to_request(observation, self._metadata.cameras) | {KEY: ours}
        if self._link.state() == 'connected' and self._link.generation != self._generation:
            raise RemoteError(RECONNECTED, f'{self._link.url}: another session; an episode begins')
        answer = self._link.request(message, timeout)
        self._check(answer, observation.instruction)
        return answer

    def _check(self, answer: dict[str, Any], instruction: str = '') -> None:
        """Raise what the server says went wrong."""
        found = answer.get(KEY, {})
        if 'error' not in found:
            return
        text, kind = one_line(found['error']), str(found.get('kind'))
        if kind == 'input':
            if instruction and text.startswith('instruction'):
                self._refused[instruction] = text
            raise InputError(text)
        if kind == 'non_finite':
            raise NonFiniteOutputError(text)
        cause = _CAUSES.get(kind, FAILED)
        raise RemoteError(cause, f'{self._link.url}: {text}')

    def _chunk(self, answer: dict[str, Any]) -> ActionChunk:
        """Return the actions of an answer; those that are not finite are the caller's to judge."""
        shape = self._metadata.chunk, self._metadata.action_dim
        try:
            actions = read_actions(ACTIONS, answer.get(ACTIONS), shape)
            normalized = read_actions('normalized', answer[KEY].get('normalized'), shape)
        except WireError as error:
            raise RemoteError(BAD_ANSWER, f'{self._link.url}: {error}') from error
        return ActionChunk(actions.copy(), normalized.copy())

    def _greet(self, message: dict[str, Any]) -> None:
        """Take what a server says of its model; on the link's thread."""
        found = read_metadata(message)
        if self._metadata is None:
            self._metadata = found
            return
        before, after = (asdict(replace(one, **_MAY_CHANGE)) for one in (self._metadata, found))
        for name, value in before.items():
            if after[name] != value:
                raise RemoteError(
                    CHANGED,
                    f'{self._link.url}: {name}: expected {value!r:.80} as at configure, got '
                    f'{after[name]!r:.80}; serve that again, or call cleanup and configure',
                )
