# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A policy server without a model that a test tells what to do wrong.

As a program it serves on the port that it is given until it is killed, and does wrong what the
file that it is given names.
"""

from contextlib import contextmanager
import os
from pathlib import Path
import signal
import socket
import ssl
import sys
import threading
import time

import numpy as np
from vla_cache_ros.serving.messages import KEY
from vla_cache_ros.serving.messages import Metadata
from vla_cache_ros.serving.messages import to_report
from vla_cache_ros.serving.wire import pack
from vla_cache_ros.serving.wire import unpack
from vla_cache_ros.types import StepReport
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

ACTION = np.array([0.01, 0.0, -0.02, 0.0, 0.0, 0.05, 1.0])
METADATA = Metadata(
    family='fake', summary='fake, 2 cameras', cameras=('observation/image', 'observation/wrist'),
    camera_names=(), state=8, chunk=8, action_dim=7, units='rad', takes_rest=True,
    checkpoint='none', gate='motion', gate_weights='', images='as they come', reuse=0.5,
    largest_reuse=0.8,
)  # fmt: skip
LATE = 0.4  # s


class FakePolicyServer:
    """
    Answer as a session of `vla-cache serve` would, but for `fault`.

    seen: the requests, in order. metadata: what it says first. first: bytes or text in its place.
    """

    def __init__(self, metadata=METADATA, fault=''):
        """Begin with no request; `port` is where it listens once it does."""
        self.metadata, self.fault, self.first = metadata, fault, None
        self.seen, self.port, self.headers = [], 0, []
        self.open = []

    @contextmanager
    def listening(self, port=0, tls=None):
        """Serve on a port of the loopback, or on any; tls: an SSLContext."""
        listener = socket.create_server(('127.0.0.1', port))
        self.port = listener.getsockname()[1]
        with serve(self._session, sock=listener, ssl=tls, compression=None, max_size=None) as one:
            thread = threading.Thread(target=one.serve_forever)
            thread.start()
            try:
                yield self
            finally:
                self.cut()
                one.shutdown()
                thread.join()

    @property
    def url(self):
        """Return where it listens."""
        return f'ws://127.0.0.1:{self.port}'

    def cut(self):
        """End all connections without a word."""
        for connection in self.open:
            with_socket(connection, lambda s: s.shutdown(socket.SHUT_RDWR))

    def _session(self, connection):
        self.open.append(connection)
        self.headers.append(dict(connection.request.headers.raw_items()))
        counts, step = {'episode_reset': 1}, 0
        try:
            connection.send(pack(self.metadata.to_message()) if self.first is None else self.first)
            for frame in connection:
                request = unpack(frame)
                self.seen.append(request)
                ours = request[KEY]
                reply = {KEY: {'id': ours['id'], 'invalidations': counts}}
                if ours['call'] in ('reset', 'invalidate'):
                    counts[ours['cause']] = counts.get(ours['cause'], 0) + 1
                    step = 0
                elif ours['call'] in ('act', 'shadow'):
                    actions = np.tile(ACTION, (8, 1))
                    reply |= {'actions': actions}
                    reply[KEY]['normalized'] = actions
                    if ours['call'] == 'act':
                        reply[KEY]['report'] = to_report(report(step))
                        step += 1
                    if self.fault:
                        self._spoil(connection, reply)
                        continue
                connection.send(pack(reply))
        except ConnectionClosed:
            pass
        finally:
            self.open.remove(connection)

    def _spoil(self, connection, reply):
        """Answer wrongly."""
        fault, ours = self.fault, reply[KEY]
        fault, _, seconds = fault.partition(' ')
        frame = pack(reply)
        if fault in ('slow', 'late'):
            time.sleep(float(seconds or LATE))
        elif fault == 'silent':
            return
        elif fault == 'garbage':
            frame = b'\xc1\x00' + os.urandom(50)
        elif fault == 'truncated':
            frame = frame[: len(frame) // 2]
        elif fault == 'cut':
            whole = bytes([0x82, 126]) + len(frame).to_bytes(2, 'big') + frame
            with_socket(connection, lambda s: s.sendall(whole[: len(whole) // 2]))
            with_socket(connection, lambda s: s.shutdown(socket.SHUT_RDWR))
            return
        elif fault == 'text':
            frame = 'Traceback (most recent call last):\n  out of memory'
        elif fault == 'shape':
            reply['actions'] = reply['actions'][:, :6]
            frame = pack(reply)
        elif fault == 'nan':
            reply['actions'] = reply['actions'] * np.nan
            frame = pack(reply)
        elif fault == 'other':
            frame = pack(reply | {KEY: {**ours, 'id': ours['id'] + 1000}})
        else:  # a kind of error
            frame = pack(
                {KEY: {'id': ours['id'], 'error': 'instruction: too\nlong', 'kind': fault}}
            )
        connection.send(frame)


def report(step):
    """Return the report of a step on two cameras, the first of an episode in full."""
    active = (np.arange(512) % 2 == 0) | (step == 0)
    ages = np.where(active, 0, 1)
    return StepReport(step, 'motion', 0.5 * (step > 0), active, ages, '', {'total': 1.0})


def with_socket(connection, what):
    """Do something with a connection's socket, if it is there still."""
    try:
        what(connection.socket)
    except OSError:
        pass


def server_tls(folder):
    """Return the context of a server whose key and certificate lie in a folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / 'cert.pem', folder / 'key.pem')
    return context


class Told(FakePolicyServer):
    """One that reads from a file what to do wrong; without the file, nothing."""

    def __init__(self, file):
        """Remember the file."""
        self._file = Path(file)
        super().__init__()

    @property
    def fault(self):
        """Return what the file holds."""
        return self._file.read_text() if self._file.exists() else ''

    @fault.setter
    def fault(self, _):
        pass


def main(port, file):
    """Serve until killed."""
    with Told(file).listening(int(port)):
        print('ready', flush=True)
        signal.pause()


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
