# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Make a key and a certificate of 127.0.0.1 that vouches for itself, with the program openssl."""

import shutil
import subprocess

import pytest


def make_certificate(folder):
    """Write `cert.pem` and `key.pem` to a folder, which is made, and return it."""
    if shutil.which('openssl') is None:
        pytest.skip('expected the program openssl, got none: install it to try TLS')
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1',
         '-nodes', '-days', '2', '-subj', '/CN=policy', '-addext', 'subjectAltName=IP:127.0.0.1',
         '-keyout', str(folder / 'key.pem'), '-out', str(folder / 'cert.pem')],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder
