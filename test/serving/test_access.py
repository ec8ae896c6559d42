# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Only who has the token connects, over TLS where there is a certificate."""

import shutil
import ssl
import subprocess
import urllib.error
import urllib.request

import pytest
from served import fake_serving
from served import request
from served import Socket
from vla_cache_ros.serving.access import check_host
from vla_cache_ros.serving.access import is_known
from vla_cache_ros.serving.access import is_loopback
from vla_cache_ros.serving.access import read_token
from vla_cache_ros.serving.access import tls_context
from websockets.exceptions import InvalidStatus
from websockets.exceptions import WebSocketException

TOKEN = '0123456789abcdef0123456789abcdef'


def headers(text):
    return {'additional_headers': {'Authorization': text}}


@pytest.fixture(scope='module')
def served():
    with fake_serving(token=TOKEN) as found:
        yield found


@pytest.fixture(scope='module')
def certificate(tmp_path_factory):
    """Return a certificate of 127.0.0.1 and its key."""
    if shutil.which('openssl') is None:
        pytest.skip('needs openssl')
    folder = tmp_path_factory.mktemp('tls')
    cert, key = folder / 'cert.pem', folder / 'key.pem'
    command = (
        'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 '
        f'-subj /CN=test -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {cert}'
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    return cert, key


@pytest.mark.parametrize('scheme', ['Api-Key', 'Bearer', 'bearer'])
def test_who_has_the_token_is_served(served, scheme):
    with Socket(served.url, **headers(f'{scheme} {TOKEN}')) as client:
        assert client.ask(request())['actions'].shape == (8, 7)


@pytest.mark.parametrize(
    'options',
    [
        {},
        headers('Bearer'),
        headers(f'Basic {TOKEN}'),
        headers(TOKEN),
        headers(f'Bearer {TOKEN[:-1]}'),
        headers(f'Bearer {TOKEN}0'),
        headers('Bearer \u00e9'),
    ],
)
def test_who_has_not_is_refused_and_counted(served, options):
    before = served.refused('token')
    with pytest.raises(InvalidStatus) as refused:
        Socket(served.url, **options)
    assert refused.value.response.status_code == 401
    assert b'expected Api-Key TOKEN or Bearer TOKEN' in refused.value.response.body
    assert served.refused('token') == before + 1


def test_two_tokens_are_none():
    assert not is_known([f'Bearer {TOKEN}', f'Bearer {TOKEN}'], TOKEN)
    assert not is_known([], TOKEN) and is_known([f'Bearer {TOKEN}'], TOKEN)


def test_figures_need_the_token_and_health_does_not(served):
    address = served.url.replace('ws', 'http')
    assert urllib.request.urlopen(f'{address}/healthz').read() == b'ok\n'
    with pytest.raises(urllib.error.HTTPError, match='401'):
        urllib.request.urlopen(f'{address}/metrics')
    asked = urllib.request.Request(
        f'{address}/metrics', headers={'Authorization': f'Bearer {TOKEN}'}
    )
    assert b'vla_cache_sessions' in urllib.request.urlopen(asked).read()


def test_a_page_in_a_browser_cannot_connect(served):
    before = served.refused('origin')
    with pytest.raises(InvalidStatus) as refused:
        Socket(served.url, origin='http://evil.example', **headers(f'Bearer {TOKEN}'))
    assert refused.value.response.status_code == 403 and served.refused('origin') == before + 1


def test_other_paths_are_refused(served):
    before = served.refused('path')
    with pytest.raises(InvalidStatus) as refused:
        Socket(f'{served.url}/v2', **headers(f'Bearer {TOKEN}'))
    assert refused.value.response.status_code == 404 and served.refused('path') == before + 1


def test_tls_is_spoken_where_there_is_a_certificate(certificate):
    cert, key = certificate
    with fake_serving(tls=tls_context(cert, key)) as served:
        trusting = ssl.create_default_context(cafile=cert)
        with Socket(served.url, ssl=trusting) as client:
            assert client.ask(request())['actions'].shape == (8, 7)
        with pytest.raises(ssl.SSLError, match='certificate verify failed'):
            Socket(served.url)
        with pytest.raises((OSError, WebSocketException)):
            Socket(served.url.replace('wss', 'ws'))


def test_a_certificate_that_cannot_be_used_is_named(certificate, tmp_path):
    cert, key = certificate
    assert tls_context(None, None) is None
    with pytest.raises(ValueError, match='--tls-cert: expected --tls-key with it'):
        tls_context(cert, None)
    with pytest.raises(ValueError, match='--tls-key: expected --tls-cert with it'):
        tls_context(None, key)
    with pytest.raises(OSError, match='absent.pem'):
        tls_context(tmp_path / 'absent.pem', key)
    with pytest.raises(ValueError, match='expected a certificate and its key in PEM'):
        tls_context(key, key)
    locked = tmp_path / 'locked.pem'
    command = f'openssl pkey -in {key} -aes256 -passout pass:abcd -out {locked}'
    subprocess.run(command.split(), check=True, capture_output=True)
    with pytest.raises(ValueError, match='expected a key without a passphrase'):
        tls_context(cert, locked)


def test_a_token_is_read_from_its_file(tmp_path):
    path = tmp_path / 'token'
    path.write_text(f'{TOKEN}\n')
    assert read_token(path) == TOKEN
    for odd in ('', 'short', f'{TOKEN}\n{TOKEN}', f'{TOKEN} x', 'é' * 20, 'x' * 5000):
        path.write_text(odd)
        with pytest.raises(ValueError, match='expected a token') as error:
            read_token(path)
        assert '\n' not in str(error.value)


@pytest.mark.parametrize('host', ['127.0.0.1', 'localhost', '::1', '127.9.9.9'])
def test_the_loopback_needs_no_token(host):
    assert is_loopback(host)
    check_host(host, None, insecure=False)


@pytest.mark.parametrize('host', ['0.0.0.0', '::', '192.168.1.5', 'robot.local', ''])
def test_other_addresses_need_a_token(host):
    assert not is_loopback(host)
    with pytest.raises(ValueError, match='host: expected a token') as error:
        check_host(host, None, insecure=False)
    assert '--insecure' in str(error.value)
    check_host(host, TOKEN, insecure=False)
    check_host(host, None, insecure=True)
