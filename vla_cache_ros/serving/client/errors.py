# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say in one line why a server gave no answer that can be used, and what a stop for it is called.

Knows what goes wrong with connections; nothing of what was asked.
"""

import errno
import ssl

from vla_cache_ros.serving.wire import WireError
from websockets.exceptions import ConnectionClosed
from websockets.exceptions import InvalidHandshake
from websockets.exceptions import InvalidStatus

SILENT, LOST = 'policy_silent', 'policy_lost'  # no answer in time; no connection
REFUSED, CHANGED = 'policy_refused', 'policy_changed'  # not let in; not the model of configure
BAD_ANSWER = 'bad_answer'  # one that cannot be read, or of another shape
RECONNECTED = 'reconnected'  # another session, which knows nothing of the episode
FAILED = 'inference_failed'  # the server's own words
_NO_TOKEN = (401, 403)  # of HTTP
_TURNED_AWAY = (1008, 1013)  # of closing frames: a limit was passed; there is no room now


class RemoteError(RuntimeError):
    """Say in one line why there is no answer; `stop_cause` is what a stop of the arm is called."""

    def __init__(self, stop_cause: str, text: object) -> None:
        """Keep the text as one line: a server may have put anything into it."""
        super().__init__(one_line(text))
        self.stop_cause = stop_cause


def one_line(text: object) -> str:
    """Return a stranger's text as one line that is not too long, and can be printed."""
    found = ' '.join(str(text)[:500].split())
    return ''.join(letter if letter.isprintable() else '?' for letter in found)


def connection_error(url: str, error: Exception) -> RemoteError:
    """Return what a connection ended with, or why there is none, as a RemoteError."""
    if isinstance(error, RemoteError):
        return error
    cause = LOST
    if isinstance(error, TimeoutError):
        cause = SILENT
    elif isinstance(error, ssl.SSLCertVerificationError | WireError | InvalidStatus):
        cause = REFUSED
    elif isinstance(error, ConnectionClosed) and error.rcvd and error.rcvd.code in _TURNED_AWAY:
        cause = REFUSED
    return RemoteError(cause, f'{url}: {words(error)}')


def words(error: BaseException) -> str:
    """Return what happened to a connection, in words."""
    # a socket that the listening thread found ended is no file any more for who sends
    gone = isinstance(error, OSError) and error.errno == errno.EBADF
    if gone or isinstance(error, ConnectionClosed):
        said = error.rcvd.reason if not gone and error.rcvd else ''
        return f'the connection ended{f" ({said})" if said else ""}; see whether the server runs'
    if isinstance(error, TimeoutError):
        return 'expected a server to answer, none did; see whether it and the network are well'
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f'expected a certificate that can be trusted, got one that cannot '
            f"({error.verify_message}); name its authority's file in policy_ca_file"
        )
    if isinstance(error, InvalidStatus):
        status, body = error.response.status_code, error.response.body or b''
        said = bytes(body).decode(errors='replace').strip()
        mend = '; see policy_token_file' if status in _NO_TOKEN else ''
        return f'expected to be let in, got HTTP {status}{f" ({said})" if said else ""}{mend}'
    if isinstance(error, InvalidHandshake):
        return f'expected a policy server, got {error}'
    return str(error) or type(error).__name__
