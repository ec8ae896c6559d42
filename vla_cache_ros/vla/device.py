# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Check a torch device by its name, before minutes of loading, and what it can compute with."""

import torch
from vla_cache_ros.vla.quantized import FP8

FP8_CAPABILITY = (8, 9)  # Ada, Hopper and later


def check_device(device: str) -> None:
    """Raise ValueError unless torch has such a device here, and say why it has not."""
    try:
        named = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f'device: expected cpu, cuda or cuda:N, got {device!r}') from error
    if named.type != 'cuda':
        return
    if not torch.cuda.is_available():
        raise ValueError(
            f'device: expected cpu (torch finds no GPU: {_missing()}), got {device!r}'
        )
    count = torch.cuda.device_count()
    if named.index is not None and named.index >= count:
        raise ValueError(f'device: expected cuda:N with N below {count}, got {device!r}')


def check_dtype(dtype: torch.dtype, device: str) -> None:
    """Raise ValueError for a type of weights that the device does not compute with."""
    if dtype != FP8 or has_fp8(device):
        return
    found = 'a CPU'
    if torch.device(device).type == 'cuda':
        major, minor = torch.cuda.get_device_capability(device)
        found = f'{torch.cuda.get_device_name(device)}, which has {major}.{minor}'
    needed = '.'.join(map(str, FP8_CAPABILITY))
    raise ValueError(
        f'dtype: expected float32, bfloat16, float16 or int8 on {device} (fp8 needs a GPU of '
        f"compute capability {needed} or more; this is {found}), got 'fp8'"
    )


def has_fp8(device: str) -> bool:
    """Return whether the device multiplies fp8 numbers."""
    if torch.device(device).type != 'cuda' or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= FP8_CAPABILITY


def _missing() -> str:
    """Return why torch finds no GPU: the build, the driver or the card."""
    if not torch.backends.cuda.is_built():
        return f'torch {torch.__version__} is built without CUDA'
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        text = ' '.join(str(error).split())
        return text.split(' Please ')[0].rstrip('.')[:200]
    return f'built for CUDA {torch.version.cuda}, which no card here has a driver for'
