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

Fields = Mapping[str, tuple[torch.dtype, tuple[int, ...]]]

_ALIGNMENT = 16  # bytes: any type may begin there


class Staging:
    """
    Hold named fields twice, on the host and on a device, in one block each.

    host: the fields as numpy arrays, to be written and read between `ready` and `send` or after
    `fetch`. device: the same fields there.
    """

    def __init__(self, fields: Fields, device: torch.device) -> None:
        spans, end = {}, 0
        for name, (dtype, shape) in fields.items():
            size = torch.Size(shape).numel() * dtype.itemsize
            spans[name] = (end, size, dtype, shape)
            end += -(-size // _ALIGNMENT) * _ALIGNMENT
        gpu = device.type == 'cuda' and torch.cuda.is_available()
        self._host = torch.zeros(end, dtype=torch.uint8, pin_memory=gpu)
        self._device = torch.zeros(end, dtype=torch.uint8, device=device)
        self._done = torch.cuda.Event() if gpu else None
        self.host: dict[str, np.ndarray] = {
            name: _view(self._host, *span).numpy() for name, span in spans.items()
        }
        self.device: dict[str, Tensor] = {
            name: _view(self._device, *span) for name, span in spans.items()
        }

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


def _view(
    block: Tensor, begin: int, size: int, dtype: torch.dtype, shape: tuple[int, ...]
) -> Tensor:
    return block[begin : begin + size].view(dtype).view(shape)
