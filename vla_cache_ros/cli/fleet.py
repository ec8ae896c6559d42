# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The option `--ray [ADDRESS]`, which several verbs have."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextlib import nullcontext
from typing import Annotated
from typing import Any

from tyro.constructors import PrimitiveConstructorSpec

ANY = 'auto'


def _address(words: Sequence[str]) -> str:
    if len(words) > 1:
        raise ValueError(f'expected one HOST:PORT or nothing, got {" ".join(words)}')
    return words[0] if words else ANY


RayAddress = Annotated[
    str | None,
    PrimitiveConstructorSpec(
        nargs='*',
        metavar='[HOST:PORT]',
        instance_from_str=_address,
        is_instance=lambda value: value is None or isinstance(value, str),
        str_from_instance=lambda value: [] if value is None else [value],
    ),
]


def cluster(
    address: str | None, device: str = 'cpu', most: int | None = None
) -> AbstractContextManager[Any]:
    """
    Return a context that joins a Ray cluster and gives what runs tasks there, None without one.

    most: tasks at a time. Raises ValueError for a device by number, which Ray hands out.
    """
    if address is None:
        return nullcontext()
    if ':' in device:
        raise ValueError(
            f'device: expected cpu or cuda with --ray, which picks GPUs, got {device}'
        )
    from vla_cache_ros.fleet.joining import joined

    return joined(address, most)
