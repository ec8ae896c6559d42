# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A TCP proxy that can stop forwarding without a word: both ends are left with a half-open socket.

What a cut network does to them, without the right to cut one.
"""

from contextlib import contextmanager
import selectors
import socket
import threading


class SilentProxy:
    """
    Forward connections to a port of the loopback while `forwards`.

    While not, what comes is left unread, and new connections are taken and left so.
    """

    def __init__(self, port):
        """Remember where to; `port` is where it listens itself once it does."""
        self.target, self.port, self.forwards = port, 0, True
        self._ended = threading.Event()
        self._pairs = {}

    def drop(self):
        """Forward no more, and end all connections."""
        self.forwards = False
        for one in list(self._pairs):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    @contextmanager
    def listening(self):
        """Serve from a thread."""
        with socket.create_server(('127.0.0.1', 0)) as listener:
            self.port = listener.getsockname()[1]
            thread = threading.Thread(target=self._run, args=(listener,))
            thread.start()
            try:
                yield self
            finally:
                self._ended.set()
                thread.join()

    def _run(self, listener):
        pairs = self._pairs
        with selectors.DefaultSelector() as ready:
            ready.register(listener, selectors.EVENT_READ)
            while not self._ended.is_set():
                if not self.forwards:
                    self._ended.wait(0.005)
                    continue
                for key, _ in ready.select(0.02):
                    if key.fileobj is listener:
                        self._join(listener.accept()[0], pairs, ready)
                    elif key.fileobj in pairs:
                        self._pass(key.fileobj, pairs, ready)
        for one in pairs:
            one.close()

    def _join(self, near, pairs, ready):
        try:
            far = socket.create_connection(('127.0.0.1', self.target), 1.0)
        except OSError:
            near.close()
            return
        pairs[near], pairs[far] = far, near
        for one in (near, far):
            ready.register(one, selectors.EVENT_READ)

    def _pass(self, one, pairs, ready):
        try:
            data = one.recv(65536)
            if data:
                pairs[one].sendall(data)
                return
        except OSError:
            pass
        for end in (one, pairs[one]):
            ready.unregister(end)
            del pairs[end]
            end.close()
