# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Share one training among the processes that `torchrun` started; alone, do nothing."""

from collections.abc import Iterable
from collections.abc import Sequence
import os

import torch
from torch import distributed
from torch import nn


def join_processes() -> tuple[int, int]:
    """Return this process's rank and the number of processes that torchrun started."""
    if 'RANK' not in os.environ:
        return 0, 1
    if not distributed.is_initialized():
        distributed.init_process_group('gloo')
    return distributed.get_rank(), distributed.get_world_size()


def average_gradients(parameters: Iterable[nn.Parameter], world: int) -> None:
    """Replace every gradient by its mean over the processes; one that is missing counts as 0."""
    if world == 1:
        return
    parameters = list(parameters)
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([g.flatten() for g in gradients]) / world
    distributed.all_reduce(flat)
    parts = flat.split([g.numel() for g in gradients])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter)


def mean_over_processes(values: Sequence[float], world: int) -> list[float]:
    """Return the mean of each value over the processes."""
    if world == 1:
        return list(values)
    shared = torch.tensor(values, dtype=torch.float64) / world
    distributed.all_reduce(shared)
    return shared.tolist()
