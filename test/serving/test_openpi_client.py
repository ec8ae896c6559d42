# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""openpi's own client (openpi-client 0.1.2) is served, and told what is wrong."""

import importlib.metadata
import os
from pathlib import Path
import sys

import numpy as np
import pytest
from served import fake_serving
from served import request
from vla_cache_ros.serving.messages import read_metadata
from vla_cache_ros.serving.wire import pack
from vla_cache_ros.serving.wire import unpack

# It asks for NumPy 1 and dm-tree, which the client itself does without: it is installed alone,
# into a folder of its own.
FOLDER = Path(os.environ.get('OPENPI_CLIENT') or Path(sys.prefix) / 'openpi')
TOKEN = '0123456789abcdef0123456789abcdef'

pytestmark = pytest.mark.skipif(
    not (FOLDER / 'openpi_client').is_dir(),
    reason=f'needs openpi-client in {FOLDER}: pip install --no-deps --target {FOLDER} '
    '-r requirements-openpi.txt',
)


@pytest.fixture(scope='module')
def openpi():
    """Return the package; its folder goes last, so that nothing else comes from there."""
    sys.path.append(str(FOLDER))
    try:
        from openpi_client import image_tools
        from openpi_client import msgpack_numpy
        from openpi_client import websocket_client_policy

        yield image_tools, msgpack_numpy, websocket_client_policy.WebsocketClientPolicy
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture
def connect(openpi):
    """Yield what connects a client, which has no method that closes it."""
    made = []

    def connect(url, **options):
        client = openpi[2](url, **options)
        made.append(client)
        return client

    yield connect
    for client in made:
        client._ws.close()


def test_its_version_is_the_one_that_was_read():
    found = importlib.metadata.distributions(path=[str(FOLDER)])
    assert ('openpi-client', '0.1.2') in {
        (one.name.replace('_', '-'), one.version) for one in found
    }


def test_it_is_served(connect):
    with fake_serving() as served:
        client = connect(served.url)
        assert read_metadata(client.get_server_metadata()) == served.model
        for step in range(1, 4):
            answer = client.infer(request())
            assert answer['actions'].shape == (8, 7) and answer['actions'][0, 0] == step
            assert answer['server_timing']['infer_ms'] > 0
        client.reset()  # says nothing to the server: its users connect again


def test_it_is_told_what_is_wrong_and_goes_on(openpi, connect):
    with fake_serving() as served:
        client = connect(served.url)
        floats = request() | {'observation/image': np.zeros((32, 32, 3), np.float32)}
        with pytest.raises(RuntimeError, match='expected uint8 RGB .*convert_to_uint8'):
            client.infer(floats)
        floats['observation/image'] = openpi[0].convert_to_uint8(floats['observation/image'])
        assert client.infer(floats)['actions'].shape == (8, 7)
        with pytest.raises(RuntimeError, match='channel-first'):
            client.infer(request() | {'observation/image': np.zeros((3, 32, 32), np.uint8)})
        with pytest.raises(RuntimeError, match="expected only .*, got 'observation/gripper'"):
            client.infer(request() | {'observation/gripper': np.float32(0.1)})


def test_its_key_is_taken_and_a_wrong_one_is_not(connect):
    with fake_serving(token=TOKEN) as served:
        assert connect(served.url, api_key=TOKEN).infer(request())['actions'].shape == (8, 7)
        with pytest.raises(Exception, match='401'):
            connect(served.url, api_key=TOKEN[::-1])


def test_it_is_told_that_there_is_no_room(connect):
    with fake_serving(sessions=1) as served:
        connect(served.url)
        with pytest.raises(Exception, match='1013 .*sessions: all 1 are taken'):
            connect(served.url)


def test_its_bytes_are_ours(openpi):
    message = request({'id': 1, 'reuse': 0.5})
    assert openpi[1].packb(message) == pack(message)
    assert openpi[1].unpackb(pack(message)).keys() == unpack(openpi[1].packb(message)).keys()
    with pytest.raises(ValueError, match='Unsupported dtype'):
        openpi[1].packb({'a': np.array([object()])})
