# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read what a client shows to a server, a token, and by what it knows the server, certificates.

Both are files, read anew for each connection, so that they can be replaced. Knows no sockets.
"""

from dataclasses import dataclass
from pathlib import Path
import ssl

from vla_cache_ros.serving.client.errors import REFUSED
from vla_cache_ros.serving.client.errors import RemoteError


@dataclass(frozen=True)
class Credentials:
    """Hold the names of the files, empty for none: no token, the system's certificates."""

    token_file: str = ''
    ca_file: str = ''

    def headers(self) -> dict[str, str]:
        """Return the header with the token; raises RemoteError for a file that holds none."""
        if not self.token_file:
            return {}
        try:
            token = Path(self.token_file).read_text(encoding='ascii').strip()
        except (OSError, UnicodeError) as error:
            raise RemoteError(REFUSED, f'policy_token_file: {error}') from error
        if not token or not token.isprintable() or ' ' in token:
            text = f'expected one word of ASCII in {self.token_file}, found something else'
            raise RemoteError(REFUSED, f'policy_token_file: {text}')
        return {'Authorization': f'Bearer {token}'}

    def tls(self) -> ssl.SSLContext:
        """Return whom to trust; raises RemoteError for a file that does not say it."""
        try:
            return ssl.create_default_context(cafile=self.ca_file or None)
        except OSError as error:  # ssl.SSLError is one
            text = f'expected certificates in PEM in {self.ca_file}, got {error}'
            raise RemoteError(REFUSED, f'policy_ca_file: {text}') from error
