# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Check a torch device by its name, before minutes of loading."""

import torch


def check_device(device: str) -> None:
    """Raise ValueError unless torch has such a device here."""
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(f'device: expected cpu, cuda or cuda:N, got {device!r}') from error
    if kind == 'cuda' and not torch.cuda.is_available():
        raise ValueError(f'device: expected cpu (torch finds no GPU), got {device!r}')
