# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What dataclasses of settings have in common: numbers within bounds, checked when one is made.

Such a dataclass is also the options of a command: the text under a field is its help.
"""

from dataclasses import dataclass
import math
from typing import Annotated
from typing import Any
from typing import get_args
from typing import get_type_hints


@dataclass(frozen=True)
class Bounds:
    """Bound a number in `Annotated[int, Bounds(1)]`, both ends included."""

    low: float
    high: float = math.inf

    def __str__(self) -> str:
        """Return the bounds in words."""
        if self.high == math.inf:
            return f'at least {self.low:g}'
        return f'from {self.low:g} to {self.high:g}'


Count = Annotated[int, Bounds(1)]
Index = Annotated[int, Bounds(0)]
Share = Annotated[float, Bounds(0, 1)]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Refuse numbers out of the bounds that the types of the fields carry."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the field; what is None is not looked at."""
        for name, kind in get_type_hints(type(self), include_extras=True).items():
            value = getattr(self, name)
            for bounds in _bounds_within(kind):
                for number in value if isinstance(value, tuple | list) else [value]:
                    if number is not None and not bounds.low <= number <= bounds.high:
                        raise ValueError(f'{name}: expected {bounds}, got {number:g}')


def _bounds_within(kind: Any) -> list[Bounds]:
    if isinstance(kind, Bounds):
        return [kind]
    return [bounds for part in get_args(kind) for bounds in _bounds_within(part)]
