# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A server on the loopback in a thread of its own, and policies without a model for it."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import ExitStack
from dataclasses import dataclass
import threading
import time
from types import SimpleNamespace
from typing import Any

from fake_policy import FakeGate
from fake_policy import FakePolicy
import numpy as np
from vla_cache_ros.serving.description import metadata_of
from vla_cache_ros.serving.limits import Limits
from vla_cache_ros.serving.messages import Metadata
from vla_cache_ros.serving.metrics import Metrics
from vla_cache_ros.serving.scheduler import Scheduler
from vla_cache_ros.serving.server import Server
from vla_cache_ros.serving.wire import pack
from vla_cache_ros.serving.wire import unpack
from vla_cache_ros.types import ActionChunk
from websockets.sync.client import connect

PROMPT = 'pick up the red cube'
UPGRADE = (  # what a client says first that becomes a websocket
    b'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n'
)
METADATA = Metadata(
    family='openvla-oft',
    summary='a model',
    cameras=('observation/image', 'observation/wrist_image'),
    camera_names=(),
    state=8,
    chunk=8,
    action_dim=7,
    units='of the training data',
    takes_rest=False,
    checkpoint='abc',
    gate='learned',
    gate_weights='def',
    images='squash to 224 (bicubic)',
    reuse=0.6,
    largest_reuse=0.9,
    session_bytes=1000,
)


class AskedFakeGate(FakeGate):
    """A gate that may be asked for up to 0.8."""

    def __init__(self):
        """Say so."""
        super().__init__()
        self.largest_reuse = 0.8


class FakeSession(FakePolicy):
    """A fake policy as one of several sessions; its first action says how many steps it made."""

    family, session_bytes = 'fake', 1000

    def __init__(self, book=None):
        """Share a book of what all sessions do: `steps` of a batch, `sessions` made."""
        super().__init__()
        self.gate = AskedFakeGate()
        self.statistics = SimpleNamespace(key='toy', action=[0] * 7)
        self.book = (
            book if book is not None else SimpleNamespace(made=[], batches=[], threads=set())
        )
        self.book.made.append(self)
        self.invalidations = Counter()

    def session(self, seed=0):
        """Return another session."""
        other = FakeSession(self.book)
        other.seed = seed
        return other

    def close(self):
        """Note it."""
        self.closed = True

    def act(self, observation, rest=None, delay=0):
        """Put the number of steps since the reset into the first action."""
        chunk, report = super().act(observation, rest, delay)
        actions = chunk.actions.copy()
        actions[0, 0] = len(self.observations)
        return ActionChunk(actions, chunk.normalized), report

    def reset(self, cause='episode_reset'):
        """Begin to count anew."""
        if cause == 'nonsense':
            raise ValueError('cause: expected one of ..., got nonsense')
        super().reset(cause)
        self.observations.clear()

    def invalidate(self, cause):
        """Count it."""
        super().reset(cause)

    def together(self, requests):
        """Make the steps of several sessions, as `batching.act_together` does."""
        self.book.batches.append([request.policy for request in requests])
        self.book.threads.add(threading.get_ident())
        results = []
        for request in requests:
            try:
                results.append(
                    request.policy.act(request.observation, request.rest, request.delay)
                )
            except Exception as error:  # noqa: BLE001 - belongs to its request
                results.append(error)
        return results


def fake_request(policy, observation, rest=None, delay=0):
    """Stand in for `batching.Request`."""
    return SimpleNamespace(policy=policy, observation=observation, rest=rest, delay=delay)


def fake_scheduler(metrics, policy=None, **options):
    """Return a scheduler of fake sessions that has started."""
    policy = policy or FakeSession()
    options = {'quiet': False, 'together': policy.together, 'request': fake_request} | options
    scheduler = Scheduler(lambda: policy, metrics, **options)
    scheduler.start()
    # of what it warmed up on
    policy.observations.clear()
    policy.left.clear()
    policy.began.clear()
    return scheduler


@dataclass
class Served:
    """A running server: its address, its figures, its policy and how to stop it."""

    url: str
    metrics: Metrics
    policy: Any
    model: Metadata
    drain: Any
    scheduler: Scheduler

    def refused(self, cause):
        """Return how often something was refused for a cause."""
        return self.metrics.value('vla_cache_refusals_total', cause=cause)

    def wait_refused(self, cause, count=1):
        """Wait until something was refused so often, which may come after the client knows."""
        return until(lambda: self.refused(cause) == count)


def until(condition, seconds=5.0):
    """Return whether a condition came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False


@contextmanager
def serving(
    scheduler: Scheduler, metrics: Metrics, limits: Limits | None = None, token=None, tls=None
) -> Iterator[Served]:
    """Serve a scheduler that has started; stops it at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def do(work):
        return asyncio.run_coroutine_threadsafe(work, loop)

    server = Server(scheduler, metadata_of(scheduler.policy), metrics, limits, token, tls)
    drained = []

    def drain():
        drained.append(do(server.drain()))
        return drained[0]

    try:
        port = do(server.start('127.0.0.1', 0)).result(10)
        url = f'{"wss" if tls else "ws"}://127.0.0.1:{port}'
        yield Served(url, metrics, scheduler.policy, server.model, drain, scheduler)
    finally:
        (drained[0] if drained else drain()).result(20)
        scheduler.stop(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


@contextmanager
def fake_serving(
    limits: Limits | None = None, token=None, tls=None, policy=None, **options
) -> Iterator[Served]:
    """Serve fake sessions."""
    metrics = Metrics()
    with serving(fake_scheduler(metrics, policy, **options), metrics, limits, token, tls) as found:
        yield found


class Socket:
    """A client written by hand: it sends maps and returns maps, or the text of an error."""

    def __init__(self, url, **options):
        """Connect and take the metadata."""
        with ExitStack() as stack:
            self.socket = stack.enter_context(
                connect(url, compression=None, max_size=None, **options)
            )
            self.metadata = unpack(self.socket.recv(60))
            self._stack = stack.pop_all()

    def send(self, message):
        """Send a message, bytes or text as they are."""
        self.socket.send(pack(message) if isinstance(message, dict) else message)

    def take(self, timeout=60):
        """Return the next answer."""
        frame = self.socket.recv(timeout)
        return frame if isinstance(frame, str) else unpack(frame)

    def ask(self, message):
        """Send and take."""
        self.send(message)
        return self.take()

    def __enter__(self):
        """Close at the end."""
        return self

    def __exit__(self, *_):
        """Close."""
        self._stack.close()


def request(extra=None, size=32, value=7):
    """Return a good request of two cameras; extra: what goes beyond openpi's."""
    picture = np.full((size, size, 3), value, np.uint8)
    message = {
        'observation/image': picture,
        'observation/wrist_image': picture,
        'observation/state': np.linspace(-1, 1, 8, dtype=np.float32),
        'prompt': PROMPT,
    }
    return message if extra is None else message | {'vla_cache': extra}


def masked(payload):
    """Return a binary frame as a client sends it, with a mask of zeros."""
    return b'\x82\xff' + len(payload).to_bytes(8, 'big') + bytes(4) + payload
