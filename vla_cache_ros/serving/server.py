# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Listen for clients: openpi's websocket, `/healthz` and `/metrics` on one port.

A session a connection. The event loop never waits for the model. Knows nothing of what the model
is; who may come is said in access.py, what one client may do in limits.py.
"""

import asyncio
from contextlib import suppress
import functools
from http import HTTPStatus
import logging
import ssl
from typing import Any

from vla_cache_ros.serving.access import is_known
from vla_cache_ros.serving.connection import Client
from vla_cache_ros.serving.connection import turn_away
from vla_cache_ros.serving.limits import Limits
from vla_cache_ros.serving.messages import Metadata
from vla_cache_ros.serving.metrics import CONTENT_TYPE
from vla_cache_ros.serving.metrics import Metrics
from vla_cache_ros.serving.scheduler import Scheduler
from vla_cache_ros.serving.session import Refused
from vla_cache_ros.serving.session import Session
from vla_cache_ros.serving.wire import pack
from websockets.asyncio.server import serve
from websockets.asyncio.server import Server as Listener
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request
from websockets.http11 import Response

# What goes wrong with a stranger's bytes is counted; the library would log a traceback of each.
_QUIET = logging.getLogger(f'{__name__}.websockets')
_QUIET.setLevel(logging.CRITICAL)
_CLOSING = 2.0  # s for a client to answer a closing frame
_BUFFERED = 2**16  # bytes of answers that wait in the process before their client is waited for


class Server:
    """Serve a scheduler's sessions on a port."""

    def __init__(
        self,
        scheduler: Scheduler,
        model: Metadata,
        metrics: Metrics,
        limits: Limits | None = None,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Hold everything; `start` listens."""
        self._scheduler, self.model, self._metrics = scheduler, model, metrics
        self._limits = limits or Limits()
        self._token, self._tls = token, tls
        self._welcome = pack(model.to_message())
        self._clients: set[Client] = set()
        self._listener: Listener | None = None
        self._sockets: set[_Connection] = set()
        self._ends = False

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port; raises OSError where that cannot be."""
        limits = self._limits
        secure = {'ssl_handshake_timeout': limits.handshake_timeout} if self._tls else {}
        self._listener = await serve(
            self._serve,
            host,
            port,
            compression=None,  # pictures are noise to it, and it unfolds what strangers send
            process_request=self._admit,
            process_response=self._count,
            server_header=None,
            open_timeout=limits.handshake_timeout,
            ping_interval=limits.ping_timeout,
            ping_timeout=limits.ping_timeout,
            close_timeout=_CLOSING,
            max_size=limits.max_message_bytes,
            max_queue=2,
            write_limit=_BUFFERED,
            logger=_QUIET,
            create_connection=functools.partial(_Connection, self),
            ssl=self._tls,
            **secure,
        )
        return self._listener.sockets[0].getsockname()[1]

    async def drain(self) -> None:
        """Let nobody in, answer what was asked before, and close every connection with 1001."""
        self._ends = True
        self._listener.close(close_connections=False)
        for client in self._clients:
            client.stop()
        try:
            async with asyncio.timeout(self._limits.drain_timeout + _CLOSING):
                await self._listener.wait_closed()
        except TimeoutError:
            for socket in self._sockets:
                socket.transport.abort()
            await self._listener.wait_closed()

    def arrive(self, socket: '_Connection') -> bool:
        """Count a connection that was accepted; return whether there is room for it."""
        if len(self._sockets) >= self._limits.max_connections:
            self._metrics.refused('connections')
            return False
        self._sockets.add(socket)
        self._metrics.connections.set(len(self._sockets))
        return True

    def leave(self, socket: '_Connection') -> None:
        """Count a connection that ended; one that said nothing that is HTTP was in vain."""
        self._sockets.discard(socket)
        self._metrics.connections.set(len(self._sockets))
        if socket.request is None:
            self._metrics.refused('handshake')

    def _admit(self, socket: Any, request: Request) -> Response | None:  # noqa: ANN401
        """Answer a request to connect; None goes on to the websocket."""
        path = request.path.partition('?')[0]
        if path == '/healthz':
            status = HTTPStatus.SERVICE_UNAVAILABLE if self._ends else HTTPStatus.OK
            return socket.respond(status, 'ends\n' if self._ends else 'ok\n')
        if 'Origin' in request.headers:
            # a page in a browser on this machine reaches the loopback, too
            return self._refuse(socket, 'origin', HTTPStatus.FORBIDDEN, 'Origin: expected none')
        known = request.headers.get_all('Authorization')
        if self._token is not None and not is_known(known, self._token):
            return self._refuse(
                socket,
                'token',
                HTTPStatus.UNAUTHORIZED,
                'Authorization: expected Api-Key TOKEN or Bearer TOKEN with the token of this '
                'server',
            )
        if path == '/metrics':
            text = self._metrics.text()
            headers = Headers(
                {'Content-Type': CONTENT_TYPE, 'Content-Length': str(len(text))},
                Connection='close',
            )
            return Response(HTTPStatus.OK, HTTPStatus.OK.phrase, headers, text)
        if path != '/':
            return self._refuse(
                socket, 'path', HTTPStatus.NOT_FOUND, 'path: expected /, /healthz or /metrics'
            )
        return None

    def _refuse(
        self,
        socket: Any,  # noqa: ANN401
        cause: str,
        status: HTTPStatus,
        text: str,
    ) -> Response:
        self._metrics.refused(cause)
        socket.counted = True
        return socket.respond(status, f'{text}\n')

    def _count(self, socket: Any, request: Request, response: Response) -> None:  # noqa: ANN401
        """Count a request that the library turned down: no upgrade, an odd header."""
        if response.status_code >= HTTPStatus.BAD_REQUEST and not socket.counted:
            self._metrics.refused('handshake')

    async def _serve(self, socket: ServerConnection) -> None:
        """Serve one websocket from its metadata to its end."""
        opening = asyncio.wrap_future(self._scheduler.open())
        try:
            # a Future of the worker's must not be cancelled from here
            session: Session = await asyncio.shield(opening)
        except Refused as refused:
            self._metrics.refused(refused.kind)
            await turn_away(socket, refused)
            return
        client = Client(
            socket,
            self.model,
            self._limits,
            self._metrics,
            functools.partial(self._scheduler.submit, session),
            functools.partial(setattr, session, 'guarded', False),
        )
        self._clients.add(client)
        try:
            with suppress(ConnectionClosed):
                await socket.send(self._welcome)
                await client.run()
        finally:
            self._clients.discard(client)
            self._scheduler.close(session)


class _Connection(ServerConnection):
    """Count a connection from its first byte, and end it at once where there are too many."""

    def __init__(self, owner: Server, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._owner = owner
        self._turned_away = False
        self.counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._owner.arrive(self):
            self._turned_away = True
            transport.abort()
            return
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._turned_away:
            self._owner.leave(self)
            super().connection_lost(error)
