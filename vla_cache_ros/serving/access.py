# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Decide who may connect: a token, TLS, and the addresses that may be listened on.

Knows neither sockets nor sessions.
"""

from collections.abc import Sequence
import hmac
import ipaddress
from pathlib import Path
import ssl

_SHORTEST = 16  # characters of a token
_LONGEST = 4096


def read_token(path: Path) -> str:
    """Return the token that a file holds; raises ValueError for one that is none."""
    with path.open('rb') as file:
        raw = file.read(_LONGEST + 1)
    token = raw.decode('ascii', 'replace').strip()
    if not (_SHORTEST <= len(token) <= _LONGEST and token.isascii() and token.isprintable()):
        raise ValueError(
            f'{path}: expected a token of at least {_SHORTEST} printable ASCII characters in one '
            f'line, got {len(token)}; make one with: openssl rand -hex 32'
        )
    if ' ' in token:
        raise ValueError(f'{path}: expected a token without blanks, got one with a blank')
    return token


def is_known(headers: Sequence[str], token: str) -> bool:
    """
    Say whether a request's `Authorization` headers carry the token, in constant time.

    `Api-Key TOKEN`, as openpi's client sends it, or `Bearer TOKEN`, as Prometheus does.
    """
    if len(headers) != 1:
        return False
    scheme, _, given = headers[0].partition(' ')
    same = hmac.compare_digest(given.strip().encode('utf-8', 'replace'), token.encode())
    return same and scheme.lower() in ('api-key', 'bearer')


def is_loopback(host: str) -> bool:
    """Say whether an address is reached from this machine alone."""
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(host: str, token: str | None, insecure: bool) -> None:
    """Raise ValueError for an address that others reach, where anyone could drive the arm."""
    if not (is_loopback(host) or token or insecure):
        raise ValueError(
            f'host: expected a token for {host!r}, which other machines reach, got none; give '
            '--token-file FILE, or --insecure to let everyone in'
        )


def tls_context(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """
    Return a server's TLS from 1.2 on; None without a certificate.

    Raises ValueError where one of the two files is not given or they cannot be used.
    """
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        given, other = ('--tls-cert', '--tls-key') if cert else ('--tls-key', '--tls-cert')
        raise ValueError(f'{given}: expected {other} with it, got none')
    for path in (cert, key):
        path.open('rb').close()  # an error that names the file; that of ssl names none
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2

    def ask() -> str:
        raise ValueError(f'{key}: expected a key without a passphrase, got one with it')

    try:
        context.load_cert_chain(cert, key, ask)
    except ssl.SSLError as error:
        raise ValueError(
            f'{cert}, {key}: expected a certificate and its key in PEM, got {error}'
        ) from error
    return context
