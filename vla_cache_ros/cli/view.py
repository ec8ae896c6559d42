# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The option `--view`, of the verbs during which there is a policy to see."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec


def _parse(words: Sequence[str]) -> str:
    if len(words) > 1:
        raise ValueError(f'expected one file or none, got {len(words)}')
    return words[0] if words else ''


# None without the option, '' where no file is given.
_SPEC = PrimitiveConstructorSpec(
    nargs='*',
    metavar='[RRD]',
    instance_from_str=_parse,
    is_instance=lambda value: value is None or isinstance(value, str),
    str_from_instance=lambda value: ['off' if value is None else value],
)


@dataclass(frozen=True, kw_only=True)
class Viewed:
    """Say whether to watch."""

    view: Annotated[str | None, _SPEC] = None
    """Watch it in Rerun; with a name, into that file (.rrd) instead of a viewer."""
