# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure what this machine can do at best: multiply matrices of a model's sizes, and copy memory.

The floor of a stage is the longer of its arithmetic at the one rate and its traffic at the other.
Knows nothing of what is measured against it.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
import time

import torch
from vla_cache_ros.evaluation.bench.costs import Work
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.quantized import compute_dtype
from vla_cache_ros.vla.quantized import LARGEST
from vla_cache_ros.vla.quantized import linear
from vla_cache_ros.vla.quantized import quantize
from vla_cache_ros.vla.quantized import Weight

_COPY_LIMIT = 2**28  # bytes of the largest buffer that is copied
_BLOCK_S = 1e-3  # short calls are timed by blocks of about this length: more escape a neighbour
_LEAST_BLOCKS, _LEAST_S = 3, 0.2  # of one measurement


@dataclass(frozen=True)
class Machine:
    """
    Hold the best rates that were seen.

    macs: multiply-accumulates a second. copied: bytes read and written a second. matrix: rows,
    inputs and outputs of the product that was fastest.
    """

    macs: float
    copied: float
    matrix: tuple[int, int, int]

    def floor_ms(self, work: Work) -> float:
        """Return the least time that the work takes, ms."""
        return 1e3 * max(work.macs / self.macs, work.moved / self.copied)

    def floors_ms(self, stages: Mapping[str, Work]) -> dict[str, float]:
        """Return the least time of every stage and, as `total`, their sum, ms."""
        floors = {name: self.floor_ms(work) for name, work in stages.items()}
        return {**floors, 'total': sum(floors.values())}


def matrices(config: VLAConfig, rows: int) -> list[tuple[int, int, int]]:
    """Return rows, inputs and outputs of the model's largest products."""
    llama = config.decoder()
    width, inner = llama.hidden_size, llama.intermediate_size
    found = [(rows, width, width), (rows, width, inner), (rows, inner, width)]
    for tower in config.towers:
        dim = tower.embed_dim
        found += [(rows, dim, 3 * dim), (rows, dim, int(dim * tower.mlp_ratio))]
    return found


def measure(
    config: VLAConfig, rows: int, weight_bytes: int, dtype: torch.dtype, device: str
) -> Machine:
    """
    Measure both rates with the model's type of weights, on all threads and on one.

    rows: of the products. weight_bytes: size of the model's weights: a buffer as large as they
    are, 256 MiB at the most, is copied, so that a model that lives in the processor's caches is
    compared with those.
    """
    threads = torch.get_num_threads()
    try:
        found = []
        # waiting for a second core costs small products more than it gains them
        for count in sorted({1, threads}) if torch.device(device).type == 'cpu' else [threads]:
            torch.set_num_threads(count)
            found.append(_measure(config, rows, weight_bytes, dtype, device))
    finally:
        torch.set_num_threads(threads)
    return best(*found)


def best(*machines: Machine) -> Machine:
    """Return the best rates of several measurements of one machine."""
    fastest = max(machines, key=lambda machine: machine.macs)
    return Machine(fastest.macs, max(machine.copied for machine in machines), fastest.matrix)


@torch.inference_mode()
def _measure(
    config: VLAConfig, rows: int, weight_bytes: int, dtype: torch.dtype, device: str
) -> Machine:
    rates = {}
    for shape in matrices(config, rows):
        x = torch.randn(shape[0], shape[1], device=device).to(compute_dtype(dtype, device))
        weight: Weight = torch.randn(shape[2], shape[1], device=device)
        weight = quantize(weight, dtype) if dtype in LARGEST else weight.to(dtype)
        seconds = _fastest(lambda x=x, w=weight: linear(x, w), device)
        rates[shape] = shape[0] * shape[1] * shape[2] / seconds
    source = torch.ones(max(1, min(weight_bytes, _COPY_LIMIT) // 8), device=device)
    target = torch.empty_like(source)
    # read and written: the two halves together are as large as the weights
    copied = 2 * source.nbytes / _fastest(lambda: target.copy_(source), device)
    fastest = max(rates, key=rates.__getitem__)
    return Machine(rates[fastest], copied, fastest)


def _fastest(call: Callable[[], object], device: str) -> float:
    """Return the seconds of one call in the fastest of many short blocks of calls."""
    call()
    shortest, spent, blocks = float('inf'), 0.0, 0
    while blocks < _LEAST_BLOCKS or spent < _LEAST_S:
        calls = max(1, int(_BLOCK_S / shortest))
        _wait(device)
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        _wait(device)
        seconds = time.perf_counter() - begin
        shortest, spent, blocks = min(shortest, seconds / calls), spent + seconds, blocks + 1
    return shortest


def _wait(device: str) -> None:
    if torch.device(device).type == 'cuda':
        torch.cuda.synchronize(device)
