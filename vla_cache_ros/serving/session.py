# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Hold one client's session: its policy, what it waits for, and its drift guard.

A session is used on the model's thread; its queue is changed under the scheduler's lock. Knows
neither other sessions nor sockets.
"""

from collections import deque
from concurrent.futures import Future
from concurrent.futures import InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
import logging
import math
import time
import traceback
from typing import Any

from vla_cache_ros.action_distance import drift_distance
from vla_cache_ros.control.drift_guard import DriftGuard
from vla_cache_ros.serving.calls import Call
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import StepReport
from vla_cache_ros.vla.files.errors import NonFiniteOutputError

DRIFT, RESET = 'drift', 'episode_reset'  # causes of an invalidation
LOGGER = logging.getLogger(__name__)


class Refused(Exception):
    """
    Say in one line why a call has no answer.

    kind: one of `messages.KINDS`. invalidations: the session's, None where nobody looked.
    """

    def __init__(self, kind: str, text: str, invalidations: dict[str, int] | None = None) -> None:
        """Keep the text as one line."""
        super().__init__(' '.join(text.split()))
        self.kind, self.invalidations = kind, invalidations


@dataclass(frozen=True)
class Answer:
    """
    Hold what came of a call.

    chunk, report: of a step; a shadow has no report. infer_ms: what the model took, for a batch
    all of it. batch: sessions in it. invalidations: the session's, by cause, since it was opened.
    """

    chunk: ActionChunk | None
    report: StepReport | None
    infer_ms: float
    batch: int
    invalidations: dict[str, int] = field(default_factory=dict)


class Task:
    """
    Hold a call that waits, and the Future of its answer.

    arrived, deadline: s of `time.monotonic`.
    """

    def __init__(self, session: 'Session', call: Call, arrived: float) -> None:
        """Wait from then on."""
        self.session, self.call, self.arrived = session, call, arrived
        self.deadline = math.inf if call.deadline is None else arrived + call.deadline
        self.slow = call.name in ('act', 'shadow')  # it takes the model's time
        self.future: Future[Answer] = Future()

    def answer(self, answer: Answer) -> None:
        """Give the answer, unless nobody waits for it any more."""
        answer.invalidations.update(self.session.invalidations())
        with suppress(InvalidStateError):
            self.future.set_result(answer)

    def fail(self, error: Refused) -> None:
        """Refuse the call, unless nobody waits for it any more."""
        with suppress(InvalidStateError):
            self.future.set_exception(error)

    def failed(self, error: BaseException) -> None:
        """Refuse the call for an error of the policy; on the model's thread."""
        refused = refusal(error)
        refused.invalidations = self.session.invalidations()
        self.fail(refused)

    def behind(self, now: float) -> str:
        """Return how long the deadline has passed, in words."""
        return f'{1e3 * (now - self.deadline):.1f} ms'


class Session:
    """
    Hold a policy for one client.

    queue: what it waits for, first come first. guarded: whether the server compares its steps;
    a client that speaks our own messages compares them itself. check: what is to be compared.
    """

    def __init__(self, policy: Any) -> None:  # noqa: ANN401
        """Start an episode, as if the policy had just been loaded."""
        self.policy = policy
        self.queue: deque[Task] = deque()
        self.closed = False
        self.guarded = True
        self.check: tuple[Call, ActionChunk, int] | None = None
        self._guard = DriftGuard()
        self._reuse = getattr(policy.gate, 'reuse', None)
        self._before = dict(policy.invalidations)
        policy.reset(RESET)

    def end(self) -> Any:  # noqa: ANN401
        """Forget the client, and return the policy for the next one."""
        self.closed, self.check = True, None
        if getattr(self.policy.gate, 'largest_reuse', None) is not None:
            self.policy.gate.ask(self._reuse)
        self.policy.reset(RESET)
        return self.policy

    def reset(self, cause: str) -> None:
        """Start an episode; raises ValueError for a cause that is none."""
        self.policy.reset(cause)
        self._guard.reset()
        self.check = None

    def invalidations(self) -> dict[str, int]:
        """Return how often each cause has invalidated the cache since the session was opened."""
        counts = {
            str(cause): count - self._before.get(cause, 0)
            for cause, count in dict(self.policy.invalidations).items()
        }
        return {cause: count for cause, count in counts.items() if count}

    def supersede(self) -> None:
        """Refuse the steps that wait: a newer observation has come."""
        for task in [task for task in self.queue if task.slow]:
            self.queue.remove(task)
            task.fail(Refused('superseded', f'{task.call.name}: a newer observation has come'))

    def expire(self, now: float) -> None:
        """Refuse what is past its deadline."""
        for task in [task for task in self.queue if task.deadline < now]:
            self.queue.remove(task)
            text = f'deadline_ms: not begun {task.behind(now)} after it'
            task.fail(Refused('late', text))

    def refuse(self, kind: str, text: str) -> None:
        """Refuse everything that waits."""
        while self.queue:
            self.queue.popleft().fail(Refused(kind, text))

    def follow(self, call: Call, chunk: ActionChunk, report: StepReport, ms: float) -> None:
        """Count a step that took so long; have it compared if that is due."""
        if self.guarded and self._guard.infer(ms, report.reuse):
            self.check = (call, chunk, report.step)

    def compare(self, executed: int) -> float | None:
        """Return how far the step that waits for it is from a dense one, None if it failed."""
        call, chunk, step = self.check
        self.check = None
        begin, apart = time.monotonic(), None
        try:
            dense = self.policy.shadow(call.observation, step, call.rest, call.delay)
            apart = drift_distance(chunk.normalized, dense.normalized, executed)
        except Exception as error:  # noqa: BLE001 - a check must not end the thread
            LOGGER.warning('drift: not compared: %s: %s', type(error).__name__, error)
        self._guard.spend(1e3 * (time.monotonic() - begin))
        return apart

    def parted(self, apart: float, threshold: float) -> bool:
        """Take the distance of a check; return whether the cache was forgotten for it."""
        if not self._guard.judge(apart, threshold):
            return False
        self.policy.invalidate(DRIFT)
        return True


def refusal(error: BaseException) -> Refused:
    """Return the refusal that an error of the policy stands for; what is our fault is logged."""
    if isinstance(error, NonFiniteOutputError):
        return Refused('non_finite', str(error))
    if isinstance(error, ValueError):
        return Refused('input', str(error))
    LOGGER.error('%s', ''.join(traceback.format_exception(error)))
    traceback.clear_frames(error.__traceback__)
    return Refused('failed', f'{type(error).__name__}: {error}')
