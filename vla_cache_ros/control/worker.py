# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
One thread that does everything the policy does: load, warm up, reset and every inference.

Orders are carried out one after the other; observations wait in a slot of size one, where the
newest replaces an older one. What can be done without comes last: while nothing is due, garbage
is collected and a GPU's clocks are kept up. Knows neither ROS nor what a policy returns.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
import gc
import os
import threading
import traceback
from typing import Any

# Commands go before inference: torch's OpenMP threads, which inherit this, keep spinning for
# milliseconds after a step, and a command had to wait for the end of their time slice.
NICENESS = 4
REST_AFTER = 0.02  # s without work; right after a step its command is due
# Left to itself the collector comes after 700 or 2,000 new objects, in the middle of a step. So
# many are a safety net for a node whose worker never rests.
_THRESHOLD = 50_000


class Worker:
    """Own the thread. Its methods are called from any other thread."""

    def __init__(self, name: str, niceness: int = NICENESS):
        """Start the thread, as nice as that; it sleeps until it is given something to do."""
        self._niceness = niceness
        self._orders: deque[tuple[Future, Callable[[], object]]] = deque()
        self._slot: Callable[[], None] | None = None
        self._spare: Callable[[], None] | None = None
        self._rest: Callable[[], float | None] | None = None
        self._closed = False
        self._wake = threading.Condition()
        # daemon: a forward pass that never returns must not keep the process from ending
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def order(self, work: Callable[[], object]) -> Future:
        """Queue work to be done before any observation; its result or error is in the Future."""
        future: Future = Future()
        with self._wake:
            self._orders.append((future, work))
            self._wake.notify()
        return future

    def wait_for(self, order: Future, stop: threading.Event) -> Any:  # noqa: ANN401
        """
        Return an order's result, or raise its error.

        Raises InterruptedError once stop is set, RuntimeError where the thread ended before.
        """
        while not order.done():
            if stop.wait(0.01):
                raise InterruptedError('ended by a signal')
            if not (self._thread.is_alive() or order.done()):
                raise RuntimeError('the thread of the policy ended; the memory may be too short')
        return order.result()

    def offer(self, work: Callable[[], None]) -> None:
        """Leave work in the slot; it replaces what has not been begun. It must not raise."""
        with self._wake:
            self._slot, self._spare = work, None
            self._wake.notify()

    def idle(self, work: Callable[[], None]) -> None:
        """Have work done if nothing else waits; an observation drops it. It must not raise."""
        with self._wake:
            self._spare = work
            self._wake.notify()

    def rest(self, work: Callable[[], float | None]) -> None:
        """
        Have work done whenever nothing else came for a moment. It must not raise.

        It returns the seconds after which to do it again, None: not before other work was done.
        """
        with self._wake:
            self._rest = work
            self._wake.notify()

    def withdraw(self) -> None:
        """Drop what has not been begun, but for orders."""
        with self._wake:
            self._slot = self._spare = None

    def close(self, timeout: float) -> bool:
        """End the thread after the work in hand; return whether it ended within timeout (s)."""
        with self._wake:
            self._closed, self._slot, self._spare = True, None, None
            self._wake.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _due(self) -> bool:
        return bool(self._orders or self._slot or self._spare or self._closed)

    def _run(self) -> None:
        os.nice(self._niceness)  # of this thread alone, on Linux
        pause: float | None = REST_AFTER
        while True:
            with self._wake:
                rests = not self._wake.wait_for(self._due, pause if self._rest else None)
                future, work = None, self._rest if rests else self._slot or self._spare
                if self._orders:
                    future, work = self._orders.popleft()
                if work is None:
                    return
                if future is None:
                    self._slot = self._spare = None
            if rests:
                pause = work()
                continue
            pause = REST_AFTER
            if future is None:
                work()
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - handed to whoever gave the order
                _let_go(error)
                future.set_exception(error)
            del future, work  # keep no reference to a policy that was let go


def _let_go(error: BaseException | None) -> None:
    """Free what was half built when an error was raised: to hand it over takes memory."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


class QuietMemory:
    """Take what is loaded out of the collector's sight, and have it come when it is told to."""

    def __init__(self) -> None:
        self._before: tuple[int, int, int] | None = None

    def begin(self) -> None:
        """Collect once, freeze what is left, and put automatic collections off."""
        self.end()
        gc.collect()
        gc.freeze()
        self._before = gc.get_threshold()
        gc.set_threshold(_THRESHOLD, *self._before[1:])

    def end(self) -> None:
        """Let the collector do as it did before; harmless where nothing was begun."""
        if self._before is not None:
            gc.set_threshold(*self._before)
            gc.unfreeze()
            self._before = None


class Rest:
    """
    Rest once: a call collects garbage and, where that is wanted, takes a dummy step.

    step: the dummy step, which must leave the episode as it is. every: s between two of them,
    0: none. warn: logs; a step that fails is the last one.
    """

    def __init__(
        self, step: Callable[[], object], every: float, warn: Callable[[str], None]
    ) -> None:
        self._step, self._every, self._warn = step, every, warn

    def __call__(self) -> float | None:
        """Return the seconds after which to rest again, None: not before other work was done."""
        gc.collect()
        if not self._every:
            return None
        try:
            self._step()
        except Exception as error:  # noqa: BLE001 - the thread stays up
            self._warn(f'keep_warm: no more dummy steps: {type(error).__name__}: {error}')
            self._every = 0.0
            return None
        return self._every
