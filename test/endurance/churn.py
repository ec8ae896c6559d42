# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Connect to a server thousands of times, as good clients and bad ones: does it grow or miscount.

`vla-cache serve` runs as a process of its own, with a token. Each kind of client comes in turn;
what each must be refused for is known, so the counts of `/metrics` are compared with it exactly.
"""

from collections import Counter
from collections.abc import Callable
import json
import os
from pathlib import Path
import socket
import struct
import time
from typing import Any
import urllib.request

import numpy as np
from script import run
from served import masked
from served import request
from served import UPGRADE
from served_process import served_process
from tiny_model import write_checkpoint
from tqdm import tqdm
from vla_cache_ros.reports.hardware import measured_on
from vla_cache_ros.serving.wire import pack
from vla_cache_ros.serving.wire import unpack
from websockets.exceptions import ConnectionClosed
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

TOKEN = 'a-token-of-this-run-and-no-other'
KNOWN = {'Authorization': f'Bearer {TOKEN}'}
LONGEST = 400_000  # bytes of a message
MAY_GROW = 8.0  # MiB between the tenth part and the end: the allocator's, not the clients'
SETTLED = 10.0  # s in which the last connections are gone

Client = Callable[['Address'], None]


class Address:
    """Hold where the server is, and a good request."""

    def __init__(self, url: str) -> None:
        """Take `ws://HOST:PORT`."""
        self.url = url
        host, _, port = url.removeprefix('ws://').rpartition(':')
        self.place = host, int(port)
        self.good = pack(request({'id': 1}, size=64))

    def open(self, **options: Any) -> Any:
        """Return what connects with the token, for `with`."""
        return connect(self.url, compression=None, additional_headers=KNOWN, **options)

    def raw(self) -> socket.socket:
        """Return a bare connection."""
        return socket.create_connection(self.place, 10)

    def figures(self) -> dict[str, float]:
        """Return what `/metrics` says."""
        page = urllib.request.Request(
            self.url.replace('ws', 'http', 1) + '/metrics', headers=KNOWN
        )
        text = urllib.request.urlopen(page, timeout=10).read().decode()
        lines = (line.rsplit(' ', 1) for line in text.splitlines() if line[0] != '#')
        return {name: float(value) for name, value in lines}


def acts(address: Address) -> None:
    """Ask for actions and close."""
    with address.open() as client:
        client.recv(10)
        client.send(address.good)
        assert 'actions' in unpack(client.recv(30))


def looks(address: Address) -> None:
    """Take the metadata and close."""
    with address.open() as client:
        assert unpack(client.recv(10))['vla_cache']['version'] == 1


def vanishes(address: Address) -> None:
    """Reset the connection in the middle of a message."""
    with address.raw() as client:
        client.sendall(
            UPGRADE.replace(b'\r\n\r\n', f'\r\nAuthorization: Bearer {TOKEN}\r\n\r\n'.encode())
        )
        assert b'101' in client.recv(4096).splitlines()[0]
        client.sendall(masked(address.good)[: len(address.good) // 2])
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))


def asks_and_leaves(address: Address) -> None:
    """Ask for actions and do not wait for them."""
    with address.open() as client:
        client.send(address.good)


def says_nothing(address: Address) -> None:
    """Connect and close."""
    address.raw().close()


def speaks_tls(address: Address) -> None:
    """Say something that is no HTTP."""
    with address.raw() as client:
        client.sendall(b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n')
        while client.recv(4096):
            pass


def has_no_token(address: Address) -> None:
    """Connect without a token."""
    try:
        with connect(address.url, compression=None):
            raise AssertionError('it was let in')
    except InvalidStatus as refused:
        assert refused.response.status_code == 401


def talks_nonsense(address: Address) -> None:
    """Send what is no message, and what does not fit the model."""
    with address.open() as client:
        client.recv(10)
        for frame in (b'\xc1' * 40, pack({'prompt': 'go'}), 'text'):
            client.send(frame)
            assert isinstance(client.recv(10), str)


def sends_too_much(address: Address) -> None:
    """Send a message that is too long."""
    with address.open() as client:
        client.recv(10)
        try:
            client.send(bytes(LONGEST + 1))
            client.recv(10)
        except ConnectionClosed:
            return
    raise AssertionError('it was taken')


# Each kind, how many of a hundred, and what it is refused for.
KINDS: tuple[tuple[Client, int, tuple[str, ...]], ...] = (
    (acts, 8, ()),
    (looks, 20, ()),
    (vanishes, 12, ()),
    (asks_and_leaves, 6, ()),
    (says_nothing, 15, ('handshake',)),
    (speaks_tls, 12, ('handshake',)),
    (has_no_token, 12, ('token',)),
    (talks_nonsense, 10, ('frame', 'input', 'text')),
    (sends_too_much, 5, ('message_size',)),
)


def churn(
    out: Path = Path('churn_out'), connections: int = 10_000, seed: int = 0
) -> dict[str, Any]:
    """
    Connect so often, write `churn.json` and return the figures.

    Args:
        out: folder for figures and the server's log.
        connections: how many.
        seed: of the order of the kinds.

    """
    out.mkdir(parents=True, exist_ok=True)
    (out / 'token').write_text(TOKEN)
    options = {
        'checkpoint': write_checkpoint(out / 'tiny'),
        'gate': 'motion',
        'sessions': 4,
        'token-file': out / 'token',
        'max-message-bytes': LONGEST,
        'max-connections': 64,
    }
    kinds = [kind for kind, share, _ in KINDS for _ in range(share)]
    random, counts, expected = np.random.default_rng(seed), Counter(), Counter()
    causes = {kind: causes for kind, _, causes in KINDS}
    with served_process(out / 'server.log', options) as (url, process):
        address = Address(url)
        sizes = []
        begin = time.monotonic()
        for index in tqdm(range(connections), unit='connection', mininterval=5):
            if index == connections // 10:
                sizes.append(settled(address, process.pid))
            kind = kinds[random.integers(len(kinds))]
            kind(address)
            counts[kind.__name__] += 1
            expected.update(causes[kind])
        seconds = time.monotonic() - begin
        sizes.append(settled(address, process.pid))
        found = address.figures()
    refused = {
        cause: int(found[f'vla_cache_refusals_total{{cause="{cause}"}}'])
        for cause in sorted({cause for _, _, causes in KINDS for cause in causes} | {'failed'})
    }
    # who asks and leaves is refused where the step had not begun: not for certain
    failed = refused.pop('failed')
    figures = {
        'connections': connections,
        'seconds': round(seconds, 1),
        'seed': seed,
        'clients': dict(counts),
        'refused': refused,
        'expected': dict(sorted(expected.items())),
        'left_before_their_answer': failed,
        'at_a_tenth': sizes[0],
        'at_the_end': sizes[1],
        **measured_on(),
    }
    same = all(sizes[0][name] == sizes[1][name] for name in ('files', 'threads', 'sessions'))
    grown = sizes[1]['mib'] - sizes[0]['mib']
    figures['ok'] = bool(same and grown <= MAY_GROW and refused == figures['expected'])
    (out / 'churn.json').write_text(json.dumps(figures, indent=1) + '\n')
    print(
        json.dumps(
            {k: figures[k] for k in ('refused', 'expected', 'at_a_tenth', 'at_the_end', 'ok')}
        )
    )
    return figures


def settled(address: Address, pid: int) -> dict[str, float]:
    """Return the server's memory (MiB), files, threads and sessions once nobody is connected."""
    end = time.monotonic() + SETTLED
    while time.monotonic() < end:
        found = address.figures()  # a connection of its own
        if not found['vla_cache_sessions'] and found['vla_cache_connections'] == 1:
            break
        time.sleep(0.2)
    files = []
    for _ in range(5):  # that of this connection goes last
        time.sleep(0.2)
        files.append(len(os.listdir(f'/proc/{pid}/fd')))
    status = dict(
        line.split(':', 1) for line in Path(f'/proc/{pid}/status').read_text().splitlines()
    )
    return {
        'mib': round(int(status['VmRSS'].split()[0]) / 1024, 1),
        'files': min(files),
        'threads': int(status['Threads']),
        'sessions': found['vla_cache_sessions'],
    }


if __name__ == '__main__':
    run(churn)
