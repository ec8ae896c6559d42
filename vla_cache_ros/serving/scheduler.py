# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Share one model among sessions: one thread owns it, and what waits when it is free runs as a batch.

The newest observation of a session replaces one that still waits; among sessions the earliest
deadline goes first; what is past its deadline is not computed. Reset, invalidate and the like keep
their place in the session's order. While nothing waits, cached steps are compared with dense
ones. Knows neither sockets nor messages.
"""

from collections.abc import Callable
from collections.abc import Sequence
from concurrent.futures import Future
import functools
import logging
import threading
import time
from typing import Any

from vla_cache_ros.control.inference import dummy_observation
from vla_cache_ros.control.worker import QuietMemory
from vla_cache_ros.control.worker import Rest
from vla_cache_ros.control.worker import Worker
from vla_cache_ros.serving.calls import Call
from vla_cache_ros.serving.metrics import Metrics
from vla_cache_ros.serving.session import Answer
from vla_cache_ros.serving.session import Refused
from vla_cache_ros.serving.session import Session
from vla_cache_ros.serving.session import Task
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import StepReport

Together = Callable[[Sequence[Any]], Sequence[tuple[ActionChunk, StepReport] | Exception]]
# s after which what has no deadline goes before what came later and has one; as late as this a
# request is nowhere near real time
PATIENCE = 1.0
LOGGER = logging.getLogger(__name__)


class Scheduler:
    """
    Own the thread of a model. Its methods are called from any other thread.

    policy: the session that the model was loaded with, once `start` has returned.
    """

    def __init__(
        self,
        load: Callable[[], Any],
        metrics: Metrics,
        *,
        sessions: int = 1,
        max_batch: int = 8,
        drift_threshold: float = 0.0,
        execute_steps: int = 1,
        seed: int = 0,
        quiet: bool = True,
        together: Together | None = None,
        request: Callable[..., Any] | None = None,
    ) -> None:
        """
        Start the thread; it loads nothing yet.

        load: returns a policy with room for that many sessions, and is called on the thread.
        max_batch: the most sessions whose steps run at a time. drift_threshold: the distance
        from which a session's cache is forgotten, over `execute_steps` actions; 0: nothing is
        compared. seed: of every session. quiet: garbage is collected only while nothing waits.
        together, request: in place of `batching.act_together` and `batching.Request`.
        """
        self.policy: Any = None
        self._load, self._together, self._request = load, together, request
        self._metrics, self._max_batch = metrics, max_batch
        self._threshold, self._executed = drift_threshold, execute_steps
        self._room, self._seed = sessions, seed
        self._bytes = 0  # of a session that nobody has used yet
        self._free: list[Any] = []
        self._open: list[Session] = []  # changed on the thread alone, under the lock
        self._lock = threading.Lock()
        self._memory = QuietMemory() if quiet else None
        self._worker = Worker('model')
        metrics.room.set(sessions)

    def start(self) -> Any:  # noqa: ANN401
        """
        Load the model, make all sessions there is room for, and return the first one's policy.

        Memory is taken here and not when a robot connects. Raises what loading raises.
        """
        return self._worker.wait_for(self._worker.order(self._prepare), threading.Event())

    def open(self) -> 'Future[Session]':
        """Return the Future of a new session; it raises Refused where there is no room."""
        return self._worker.order(self._open_one)

    def close(self, session: Session) -> Future:
        """Give a session's room back; what it still waits for is refused."""
        with self._lock:
            session.closed = True
            session.refuse('failed', 'session: the connection ended')
        return self._worker.order(functools.partial(self._close_one, session))

    def submit(self, session: Session, call: Call, arrived: float) -> 'Future[Answer]':
        """
        Return the Future of a call's answer; it raises Refused.

        arrived: s, of `time.monotonic`.
        """
        task = Task(session, call, arrived)
        with self._lock:
            if session.closed:
                raise Refused('failed', 'session: expected an open one, got a closed one')
            if call.name == 'act':
                session.supersede()
            session.queue.append(task)
        self._worker.offer(self._round)
        return task.future

    def stop(self, timeout: float) -> bool:
        """End the thread; return whether it ended within timeout (s)."""
        with self._lock:
            for session in self._open:
                session.closed = True
                session.refuse('failed', 'session: the server ends')
        ended = self._worker.close(timeout)
        if self._memory is not None:
            self._memory.end()
        return ended

    # Everything below runs on the worker's thread.

    def _prepare(self) -> Any:  # noqa: ANN401
        if self._together is None:
            from vla_cache_ros import batching

            self._together, self._request = batching.act_together, batching.Request
        first = self._load()
        more = [first.session(seed=self._seed) for _ in range(self._room - 1)]
        self._free = [*reversed(more), first]
        for policy in self._free:
            policy.prepare()
        for _ in range(2):  # in full and cached: the first robot shall not wait for torch
            first.act(dummy_observation(first))
        self._bytes = first.session_bytes
        self._metrics.session_bytes.set(self._bytes)
        if self._memory is not None:
            self._memory.begin()
            self._worker.rest(Rest(lambda: None, 0.0, LOGGER.warning))
        self.policy = first
        return first

    def _open_one(self) -> Session:
        if not self._free:
            raise Refused(
                'full',
                f'sessions: all {self._room} are taken; close one, or serve --sessions more',
            )
        session = Session(self._free.pop())
        with self._lock:
            self._open.append(session)
        self._metrics.sessions.set(len(self._open))
        return session

    def _close_one(self, session: Session) -> None:
        if session not in self._open:
            return
        with self._lock:
            self._open.remove(session)
        self._metrics.sessions.set(len(self._open))
        policy = session.end()
        if policy.session_bytes > self._bytes:  # it had to make room for a long prompt
            policy.close()
            policy = self.policy.session(seed=self._seed)
        self._free.append(policy)

    def _round(self) -> None:
        """Do what is most urgent, once, and ask to be called again while anything waits."""
        tasks = self._next()
        if tasks and tasks[0].call.name == 'act':
            self._act(tasks)
        elif tasks:
            self._do(tasks[0])
        with self._lock:
            waits = any(session.queue for session in self._open)
        if waits:
            self._worker.offer(self._round)
        elif any(session.check for session in self._open):
            self._worker.idle(self._compare)

    def _next(self) -> list[Task]:
        """Take what is done next off the queues: one call, or several sessions' steps."""
        now = time.monotonic()
        with self._lock:
            for session in self._open:
                session.expire(now)
            heads = [session.queue[0] for session in self._open if session.queue]
            if not heads:
                return []
            # what takes no time goes first
            heads.sort(key=lambda task: (task.slow, min(task.deadline, task.arrived + PATIENCE)))
            if heads[0].call.name == 'act':
                heads = [task for task in heads if task.call.name == 'act'][: self._max_batch]
            else:
                heads = heads[:1]
            for task in heads:
                task.session.queue.popleft()
            return heads

    def _act(self, tasks: list[Task]) -> None:
        began = time.monotonic()
        results: Sequence[Any]
        try:
            calls = [(task.session.policy, task.call) for task in tasks]
            results = self._together(
                [self._request(policy, c.observation, c.rest, c.delay) for policy, c in calls]
            )
        except BaseException as error:  # noqa: BLE001 - the thread goes on
            results = [error] * len(tasks)
        ended = time.monotonic()
        self._metrics.steps.observe(ended - began)
        self._metrics.batches.observe(len(tasks))
        for task, result in zip(tasks, results, strict=True):
            if isinstance(result, BaseException):
                task.failed(result)
                continue
            chunk, report = result
            self._metrics.reuse.observe(report.reuse)
            # first the robot's answer, then what is kept of the step
            if ended > task.deadline:
                task.fail(Refused('late', f'deadline_ms: done {task.behind(ended)} after it'))
            else:
                task.answer(Answer(chunk, report, 1e3 * (ended - began), len(tasks)))
            if self._threshold:
                share = 1e3 * (ended - began) / len(tasks)
                task.session.follow(task.call, chunk, report, share)

    def _do(self, task: Task) -> None:
        """Do a call that is no step of the episode."""
        call, policy, began = task.call, task.session.policy, time.monotonic()
        chunk = None
        try:
            if call.name == 'shadow':
                chunk = policy.shadow(call.observation, call.step, call.rest, call.delay)
            elif call.name == 'check_instruction':
                policy.check_instruction(call.instruction)
            elif call.name == 'ask':
                policy.gate.ask(call.reuse)
            elif call.name == 'reset':
                task.session.reset(call.cause)
            else:
                policy.invalidate(call.cause)
        except BaseException as error:  # noqa: BLE001 - the thread goes on
            task.failed(error)
            return
        task.answer(Answer(chunk, None, 1e3 * (time.monotonic() - began), 1))

    def _compare(self) -> None:
        """Compare one session's last cached step with a dense one; nothing else waits."""
        for session in self._open:
            if session.check is None:
                continue
            apart = session.compare(self._executed)
            if apart is not None:
                self._metrics.drift_checks.inc()
                if session.parted(apart, self._threshold):
                    self._metrics.drift_alarms.inc()
                    LOGGER.warning(
                        'drift: cached and dense actions part by %.3f (drift-threshold %g); the '
                        'next step recomputes everything',
                        apart,
                        self._threshold,
                    )
            break
        if any(session.check for session in self._open):
            self._worker.idle(self._compare)
