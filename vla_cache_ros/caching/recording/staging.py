# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Exchange small arrays with a device in one copy a direction, at addresses that stay.

What a recorded graph reads and writes has to lie where it lay when it was recorded. Knows shapes
and types, not what they stand for.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

Fields = Mapping[str, tuple[type[np.generic], tuple[int, ...]]]

_ALIGNMENT = 16  # bytes: any type may begin there


class Staging:
    """
    Hold named fields twice, on the host and on a device, in one block each.

    host: the fields as numpy arrays, to be written and read between `ready` and `send` or after
    `fetch`. device: the same fields there.
    """

    def __init__(self, fields: Fields, device: torch.device) -> None:
        gpu = device.type == 'cuda' and torch.cuda.is_available()
        end = sum(_stride(*field) for field in fields.values())
        block = np.zeros(end, dtype=np.uint8)
        self._host = torch.from_numpy(block)
        if gpu:
            self._host = self._host.pin_memory()
            block = self._host.numpy()
        self._device = torch.zeros(end, dtype=torch.uint8, device=device)
        self._done = torch.cuda.Event() if gpu else None
        self.host: dict[str, np.ndarray] = {}
        self.device: dict[str, Tensor] = {}
        begin = 0
        for name, (kind, shape) in fields.items():
            span = slice(begin, begin + _size(kind, shape))
            self.host[name] = block[span].view(kind).reshape(shape)
            dtype = getattr(torch, np.dtype(kind).name)
            self.device[name] = self._device[span].view(dtype).view(shape)
            begin += _stride(kind, shape)

    def ready(self) -> dict[str, np.ndarray]:
        """Return `host` once the last copy has left it: at once, a step after it was sent."""
        if self._done is not None:
            self._done.synchronize()
        return self.host

    def send(self) -> None:
        """Copy all fields to the device, without waiting for it."""
        self._device.copy_(self._host, non_blocking=True)
        if self._done is not None:
            self._done.record()

    def fetch(self) -> dict[str, np.ndarray]:
        """Copy all fields from the device, wait for that, and return `host`."""
        self._host.copy_(self._device, non_blocking=True)
        if self._done is not None:
            self._done.record()
        return self.ready()


def _size(kind: type[np.generic], shape: tuple[int, ...]) -> int:
    return int(np.prod(shape)) * np.dtype(kind).itemsize


def _stride(kind: type[np.generic], shape: tuple[int, ...]) -> int:
    return -(-_size(kind, shape) // _ALIGNMENT) * _ALIGNMENT
