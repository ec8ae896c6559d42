# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The passes over rows between a layer's products: norm, rotation, gated activation.

On a GPU each of them compiles to one kernel, where it is three to eight in eager mode: at a few
hundred rows those cost as much as a third of a layer. Knows neither weights of products nor slots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import functools
import warnings

import torch
from torch import Tensor
import torch.nn.functional as F


@dataclass(frozen=True)
class Pointwise:
    """Hold the passes; `PLAIN` defines what they compute."""

    rms_norm: Callable[[Tensor, Tensor, float], Tensor]
    rotate: Callable[[Tensor, Tensor, Tensor], Tensor]
    gate: Callable[[Tensor], Tensor]
    gelu_gate: Callable[[Tensor], Tensor]


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Return rows `[R, D]` over their root mean square, in float32, times a weight `[D]`."""
    wide = x.float()
    scale = torch.linalg.vecdot(wide, wide).div_(x.shape[1])
    scale = scale.add_(epsilon).rsqrt_()[:, None]
    return torch.mul(wide, scale).to(x.dtype).mul_(weight)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return `[R, heads, head_dim]` rotated to its positions; tables from `signed_rotary`."""
    half = x.shape[2] // 2
    turned = x * cos
    turned[..., :half].addcmul_(x[..., half:], sin[..., :half])
    turned[..., half:].addcmul_(x[..., :half], sin[..., half:])
    return turned


def gate(joined: Tensor) -> Tensor:
    """Return SiLU of the first half of rows `[R, 2 * inner]`, in place, times the second."""
    first, second = joined.chunk(2, dim=1)
    return F.silu(first, inplace=True).mul_(second)


def gelu_gate(joined: Tensor) -> Tensor:
    """Return the tanh GELU of the first half of rows `[R, 2 * inner]`, times the second."""
    first, second = joined.chunk(2, dim=1)
    return F.gelu(first, approximate='tanh').mul_(second)


PLAIN = Pointwise(rms_norm, rotate, gate, gelu_gate)


@functools.cache
def compiled(device: torch.device) -> Pointwise:
    """
    Return the passes, each compiled to one kernel for any number of rows.

    Where this machine cannot compile (Triton or a C compiler is missing) it says so once and
    returns `PLAIN`, which computes the same in more kernels.
    """
    found = Pointwise(
        *(torch.compile(one, dynamic=True) for one in (rms_norm, _rotate, _gate, gelu_gate)),
    )
    try:
        for rows in (2, 40):
            x = torch.ones(rows, 64, device=device)
            found.rms_norm(x, x[0], 1e-6)
            found.rotate(x.unflatten(1, (2, 32)), x[:, None, :32], x[:, None, :32])
            found.gate(x)
            found.gelu_gate(x)
    except Exception as error:  # noqa: BLE001 - whatever a compiler raises
        reason = ' '.join(str(error).split())
        warnings.warn(f'torch.compile failed ({reason:.200}); steps take longer', stacklevel=2)
        return PLAIN
    return found


# The same without writes in place, which keep a compiler from making one kernel.
def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    # a roll is arithmetic on addresses; the halves put together anew took a third of a layer's
    # time between its products on an H100
    return x * cos + x.roll(x.shape[2] // 2, dims=2) * sin


def _gate(joined: Tensor) -> Tensor:
    first, second = joined.chunk(2, dim=1)
    return F.silu(first) * second
