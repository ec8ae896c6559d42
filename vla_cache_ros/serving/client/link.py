# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Hold a connection to a policy server: open it, listen, notice that it is gone, open it again.

A thread beside the caller's does that, so that a request never waits for a connection. Each
request has a number, and only the answer of that number is its answer. Knows frames and messages;
what is asked and what an answer means is the client's.
"""

from collections.abc import Callable
from contextlib import closing
import itertools
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from vla_cache_ros.serving.client.credentials import Credentials
from vla_cache_ros.serving.client.errors import BAD_ANSWER
from vla_cache_ros.serving.client.errors import CHANGED
from vla_cache_ros.serving.client.errors import connection_error
from vla_cache_ros.serving.client.errors import FAILED
from vla_cache_ros.serving.client.errors import LOST
from vla_cache_ros.serving.client.errors import REFUSED
from vla_cache_ros.serving.client.errors import RemoteError
from vla_cache_ros.serving.client.errors import SILENT
from vla_cache_ros.serving.client.errors import words
from vla_cache_ros.serving.messages import KEY
from vla_cache_ros.serving.wire import pack
from vla_cache_ros.serving.wire import unpack
from vla_cache_ros.serving.wire import WireError
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect

OPEN = 3.0  # s in which a server must take the connection, and then say what it serves
PAUSES = 0.1, 2.0  # s between two attempts: the first, doubled up to the last
PATIENCE = 1.0  # s without a sign of life, once an answer is overdue; then another connection
LISTEN = 0.05  # s between two looks at whether an answer is overdue
KEEPALIVE = 20.0  # s between two pings on a quiet connection, and s in which they are answered
UNACKNOWLEDGED = 10_000  # ms after which the kernel gives up what nobody receives
LONGEST_ANSWER = 8 * 2**20  # bytes


class Link:
    """
    Keep a connection; `request` is for one thread at a time, the rest for any.

    generation: how often a connection was made. dropped: answers that nobody waited for any more,
    or whose number was none that was asked.
    """

    def __init__(
        self,
        url: str,
        greet: Callable[[dict[str, Any]], None],
        credentials: Credentials,
    ) -> None:
        """
        Start the thread, which connects.

        greet: is given the first message of each connection, and raises what is wrong with it.
        """
        self.url = url
        self.generation = self.dropped = 0
        self._greet, self._credentials = greet, credentials
        self._numbers = itertools.count(1)
        self._changed = threading.Condition()
        self._connection: ClientConnection | None = None
        self._last: ClientConnection | None = None
        self._why = RemoteError(LOST, f'{url}: the connection is being made')
        self._wanted: int | None = None  # the number of the request that waits
        self._answer: dict[str, Any] | Exception | None = None
        self._overdue = 0.0  # monotonic, s: since when there should have been an answer; 0: none
        self._good = False  # whether this connection has given an answer
        self._given_up = False  # whether `_why` says it, and not what the socket says
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name='policy link', daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """
        Return once there is a connection.

        Raises RemoteError: why there is none after so many seconds, or at once where a server
        refuses.
        """
        hopeless = {REFUSED, CHANGED, BAD_ANSWER}
        with self._changed:
            self._changed.wait_for(
                lambda: self._connection or self._why.stop_cause in hopeless, seconds
            )
            if not self._connection:
                raise self._reason()

    def state(self) -> str:
        """Return `connected`, or why not in one line."""
        with self._changed:
            return 'connected' if self._connection else str(self._why)

    def request(
        self, message: dict[str, Any], timeout: float, must: bool = False
    ) -> dict[str, Any]:
        """
        Send a message and return its answer, as the server wrote it.

        timeout: s, for both. must: whether there may be no connection on which it is not done.
        Raises RemoteError where there is no connection, none any more, no answer in time, or one
        that cannot be read; WireError for a message that does not travel.
        """
        deadline = time.monotonic() + timeout
        number = next(self._numbers)
        frame = pack(message | {KEY: {**message.get(KEY, {}), 'id': number}})
        with self._changed:
            connection = self._connection
            if connection is None:
                raise self._reason()
            doubtful = RemoteError(SILENT, f'{self.url}: expected a sign of life, none came yet')
            if not self._overdue:
                self._wanted, self._answer = number, None
        if self._wanted != number:
            if must:
                self._give_up(connection, doubtful)
            raise doubtful
        try:
            self._send(connection, frame, deadline)
            answer = self._wait(connection, deadline, timeout)
        except RemoteError as error:
            if must:
                self._give_up(connection, error)
            raise
        finally:
            with self._changed:
                self._wanted = self._answer = None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the connection and the thread; a request that waits fails."""
        self._closed.set()
        with self._changed:
            connection = self._connection
        if connection is not None:
            self._give_up(connection, RemoteError(LOST, f'{self.url}: closed'))
        self._thread.join(0.5)  # it may be on its way to another connection; then it ends after

    def _wait(
        self, connection: ClientConnection, deadline: float, timeout: float
    ) -> dict[str, Any] | Exception:
        with self._changed:
            self._changed.wait_for(
                lambda: self._answer is not None or self._connection is not connection,
                deadline - time.monotonic(),
            )
            if self._answer is not None:
                return self._answer
            if self._connection is not connection:
                raise self._reason()
            self._overdue = time.monotonic()
        raise RemoteError(
            SILENT, f'{self.url}: expected an answer within {timeout:.3g} s, got none'
        )

    def _reason(self) -> RemoteError:
        """Return why there is no connection, anew: a raised error keeps where it was raised."""
        return RemoteError(self._why.stop_cause, self._why)

    def _send(self, connection: ClientConnection, frame: bytes, deadline: float) -> None:
        """Hand a frame to the kernel; one that is not taken in time leaves no connection."""
        try:
            # of the whole frame: a server that is frozen reads nothing, and a full buffer blocks
            connection.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            connection.send(frame)
            connection.socket.settimeout(None)
        except (ConnectionClosed, OSError) as error:
            late = isinstance(error.__cause__ or error, TimeoutError)
            text = 'expected the request to be taken in time' if late else words(error)
            why = RemoteError(SILENT if late else LOST, f'{self.url}: {text}')
            self._give_up(connection, why)
            raise why from error

    def _give_up(self, connection: ClientConnection, why: RemoteError) -> None:
        """Have no connection in place of this one."""
        with self._changed:
            if self._last is connection:
                self._why = why  # the socket may have ended of it, and the thread noticed that
            if self._connection is connection:
                self._connection, self._given_up = None, True
                self._changed.notify_all()
        try:
            # At once, whoever sends or receives. Not that of a TLS socket, which would first take
            # its state away from the other threads.
            socket.socket.shutdown(connection.socket, socket.SHUT_RDWR)
        except OSError:
            pass  # it is gone already

    def _run(self) -> None:
        pause = PAUSES[0]
        while not self._closed.is_set():
            self._good = self._given_up = False
            try:
                self._meet()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                self._lose(error)
            if self._good:
                pause = PAUSES[0]
            self._closed.wait(pause)
            pause = min(2 * pause, PAUSES[1])

    def _meet(self) -> None:
        """Open a connection and listen until it ends; raises what ended it."""
        parts = urlsplit(self.url)
        secure = parts.scheme == 'wss'
        headers = self._credentials.headers()
        tls = self._credentials.tls() if secure else None
        address = parts.hostname, parts.port or (443 if secure else 80)
        # A socket of our own: no proxy of the environment, and no redirection to elsewhere, gets
        # to see pictures and token.
        plain = socket.create_connection(address, OPEN)
        plain.settimeout(None)
        if hasattr(socket, 'TCP_USER_TIMEOUT'):
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED)
        with closing(plain), connect(
            self.url, sock=plain, ssl=tls, additional_headers=headers, compression=None,
            open_timeout=OPEN, close_timeout=0.2, max_size=LONGEST_ANSWER,
            ping_interval=KEEPALIVE, ping_timeout=KEEPALIVE,
        ) as connection:  # fmt: skip
            first = connection.recv(OPEN)
            if isinstance(first, str):
                raise RemoteError(REFUSED, f'{self.url}: {first}')
            message = unpack(first, LONGEST_ANSWER)
            if error := _ours(message).get('error'):
                raise RemoteError(REFUSED, f'{self.url}: {error}')
            self._greet(message)
            with self._changed:
                if self._closed.is_set():
                    return
                self._connection = self._last = connection
                self._overdue = 0.0
                self.generation += 1
                self._changed.notify_all()
            self._listen(connection)

    def _listen(self, connection: ClientConnection) -> None:
        """Take what comes until the connection ends; raises ConnectionClosed."""
        ping: threading.Event | None = None
        while not self._closed.is_set():
            try:
                frame = connection.recv(LISTEN)
            except TimeoutError:
                frame = None
            if frame is not None:
                self._take(frame)
            with self._changed:
                since = self._overdue
                if since and (frame is not None or (ping and ping.is_set())):
                    self._overdue, ping = 0.0, None  # it lives
                    continue
            if since and ping is None:
                connection.socket.settimeout(LISTEN)
                ping = connection.ping()
                connection.socket.settimeout(None)
            elif since and time.monotonic() - since > PATIENCE:
                text = f'expected a sign of life within {PATIENCE:g} s, got none'
                self._give_up(connection, RemoteError(SILENT, f'{self.url}: {text}'))

    def _take(self, frame: str | bytes) -> None:
        """Give a frame to the request that waits for it, or drop it."""
        answer: dict[str, Any] | Exception
        number, failed = None, True
        try:
            if isinstance(frame, str):
                raise RemoteError(FAILED, f'{self.url}: {frame}')
            answer = unpack(frame, LONGEST_ANSWER)
            number, failed = _ours(answer).get('id'), 'error' in _ours(answer)
        except WireError as error:
            answer = RemoteError(BAD_ANSWER, f'{self.url}: {error}')
        except RemoteError as error:
            answer = error
        with self._changed:
            numbered = isinstance(number, int) and number == self._wanted
            # an error may come without a number: whoever waits shall know
            if self._wanted is None or not (numbered or (number is None and failed)):
                self.dropped += 1
                return
            self._good |= not failed
            self._answer = answer
            self._changed.notify_all()

    def _lose(self, error: Exception) -> None:
        """Note that there is no connection, and why."""
        with self._changed:
            if not self._given_up:
                self._why = connection_error(self.url, error)
            self._connection = None
            self._changed.notify_all()


def _ours(message: dict[str, Any]) -> dict[str, Any]:
    """Return what a message holds beyond openpi's."""
    found = message.get(KEY)
    return found if isinstance(found, dict) else {}
