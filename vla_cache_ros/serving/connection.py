# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Serve one client: read its requests, have them done, and answer them in their order.

Reading goes on while answers are waited for, so that a newer observation can replace an older
one; it stops while too many requests have no answer. Knows neither the model nor other clients.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
import logging
import time
from typing import Any

from vla_cache_ros.serving.calls import Call
from vla_cache_ros.serving.calls import is_extended
from vla_cache_ros.serving.calls import number_of
from vla_cache_ros.serving.calls import read_call
from vla_cache_ros.serving.limits import Limits
from vla_cache_ros.serving.limits import Rate
from vla_cache_ros.serving.messages import Metadata
from vla_cache_ros.serving.metrics import Metrics
from vla_cache_ros.serving.replies import answer_frame
from vla_cache_ros.serving.replies import error_frame
from vla_cache_ros.serving.session import Answer
from vla_cache_ros.serving.session import Refused
from vla_cache_ros.serving.wire import unpack
from vla_cache_ros.serving.wire import WireError
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

LOGGER = logging.getLogger(__name__)
Ending = tuple[CloseCode, str]
ENDS = (CloseCode.GOING_AWAY, 'the server ends')


class Client:
    """
    Read, have done and answer, until the client or the server ends it.

    submit: hands a call and its arrival (s of `time.monotonic`) over and returns the Future of
    its answer. extends: is called once the client speaks our own messages.
    """

    def __init__(
        self,
        socket: ServerConnection,
        model: Metadata,
        limits: Limits,
        metrics: Metrics,
        submit: Callable[[Call, float], Any],
        extends: Callable[[], None],
    ) -> None:
        """Hold the socket; `run` does the rest."""
        self._socket, self._model = socket, model
        self._limits, self._metrics = limits, metrics
        self._submit, self._extends = submit, extends
        self._extended = False
        self._last: int | None = None  # id
        self._answers: asyncio.Queue = asyncio.Queue()
        self._room = asyncio.Semaphore(limits.max_waiting)
        self._reader: asyncio.Task | None = None

    def stop(self) -> None:
        """Read no more; what was read is answered, then the connection is closed."""
        if self._reader is not None:
            self._reader.cancel()

    async def run(self) -> None:
        """Serve until the end; raises nothing that a client could cause."""
        self._reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._write())
        try:
            await asyncio.wait([self._reader])
            ending = ENDS if self._reader.cancelled() else self._reader.result()
            if ending is not None:
                self._answers.put_nowait(None)
                await asyncio.wait([writer], timeout=self._limits.drain_timeout)
                await self._socket.close(*ending)
        finally:
            self._reader.cancel()
            writer.cancel()
            await asyncio.wait([self._reader, writer])
            while not self._answers.empty():
                item = self._answers.get_nowait()
                if item is not None and isinstance(item[0], asyncio.Future):
                    item[0].cancel()

    async def _read(self) -> Ending | None:
        """Read until something ends it; return how to close, None where it is closed."""
        rate = Rate(self._limits.max_message_rate, time.monotonic())
        while True:
            try:
                async with asyncio.timeout(self._limits.idle_timeout or None):
                    frame = await self._socket.recv()
            except TimeoutError:
                self._metrics.refused('idle')
                return CloseCode.NORMAL_CLOSURE, (
                    f'idle: expected a request within {self._limits.idle_timeout:g} s, got none'
                )
            except ConnectionClosed as closed:
                self._count(closed)
                return None
            arrived = time.monotonic()
            if not rate.take(arrived):
                self._metrics.refused('rate')
                return CloseCode.POLICY_VIOLATION, (
                    f'rate: expected at most {self._limits.max_message_rate:g} messages a second, '
                    'got more'
                )
            await self._room.acquire()
            self._answers.put_nowait(self._take(frame, arrived))

    def _take(self, frame: bytes | str, arrived: float) -> tuple[Any, Any]:
        """Return the Future of an answer with its call and arrival, or an error's frame."""
        if isinstance(frame, str):
            return self._refuse('text', 'frame: expected a binary one, got text'), None
        try:
            message = unpack(frame, self._limits.max_message_bytes)
        except WireError as error:
            return self._refuse('frame', str(error)), None
        number, extended = number_of(message), is_extended(message)
        if extended and not self._extended:
            self._extended = True
            self._extends()
        try:
            call = read_call(message, self._model, self._last)
            if call.id is not None:
                self._last = call.id
            future = asyncio.wrap_future(self._submit(call, arrived))
        except WireError as error:
            return self._refuse('input', str(error), number, extended), None
        except Refused as refused:
            return self._refuse(refused.kind, str(refused), number, extended), None
        return future, (call, arrived)

    def _refuse(
        self, cause: str, text: str, number: int | None = None, extended: bool = False
    ) -> bytes | str:
        """Count a refusal and return its frame."""
        self._metrics.refused(cause)
        return error_frame(Refused('input' if cause in _INPUT else cause, text), number, extended)

    async def _write(self) -> None:
        """Answer in the order of the requests; ends when it is told to or nobody reads."""
        while (item := await self._answers.get()) is not None:
            frame, asked = item
            if asked is not None:
                frame = await self._frame(frame, *asked)
            try:
                async with asyncio.timeout(self._limits.write_timeout):
                    await self._socket.send(frame)
            except TimeoutError:
                self._metrics.refused('slow_reader')
                self._socket.transport.abort()  # a closing frame would not be read either
                return
            except ConnectionClosed:
                return
            finally:
                self._room.release()

    async def _frame(self, future: asyncio.Future, call: Call, arrived: float) -> bytes | str:
        """Return the frame of an answer that may have to be waited for."""
        try:
            answer: Answer = await future
        except Refused as refused:
            self._metrics.refused(refused.kind)
            return error_frame(refused, call.id, call.id is not None)
        total = time.monotonic() - arrived
        self._metrics.requests.labels(call.name).observe(total)
        return answer_frame(call, answer, 1e3 * total)

    def _count(self, closed: ConnectionClosed) -> None:
        """Count what the library closed a connection for."""
        code = closed.sent.code if closed.sent is not None else None
        if code == CloseCode.MESSAGE_TOO_BIG:
            self._metrics.refused('message_size')
        elif code == CloseCode.INTERNAL_ERROR:
            self._metrics.refused('silent')
        elif code in (CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA):
            self._metrics.refused('frame')


_INPUT = ('frame', 'text')  # causes of a connection's that a client takes for wrong input


async def turn_away(socket: ServerConnection, refused: Refused) -> None:
    """Close a connection that there is no room for; the reason is the line, as far as it fits."""
    reason = str(refused).encode()[:123].decode('utf-8', 'ignore')
    with suppress(ConnectionClosed):
        await socket.close(CloseCode.TRY_AGAIN_LATER, reason)
