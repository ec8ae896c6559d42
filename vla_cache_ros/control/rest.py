# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What the worker does while nothing is due: collect garbage, and keep a GPU's clocks up.

Knows the policy's outside only, and not when it is its turn: the worker does.
"""

from collections.abc import Callable
import gc

# Left to itself the collector comes after 700 or 2,000 new objects, in the middle of a step. So
# many are a safety net for a node whose worker never rests.
_THRESHOLD = 50_000


class QuietMemory:
    """Take what is loaded out of the collector's sight, and have it come when it is told to."""

    def __init__(self) -> None:
        self._before: tuple[int, int, int] | None = None

    def begin(self) -> None:
        """Collect once, freeze what is left, and put automatic collections off."""
        self.end()
        gc.collect()
        gc.freeze()
        self._before = gc.get_threshold()
        gc.set_threshold(_THRESHOLD, *self._before[1:])

    def end(self) -> None:
        """Let the collector do as it did before; harmless where nothing was begun."""
        if self._before is not None:
            gc.set_threshold(*self._before)
            gc.unfreeze()
            self._before = None


class Rest:
    """
    Rest once: a call collects garbage and, where that is wanted, takes a dummy step.

    step: the dummy step, which must leave the episode as it is. every: s between two of them,
    0: none. warn: logs; a step that fails is the last one.
    """

    def __init__(
        self, step: Callable[[], object], every: float, warn: Callable[[str], None]
    ) -> None:
        self._step, self._every, self._warn = step, every, warn

    def __call__(self) -> float | None:
        """Return the seconds after which to rest again, None: not before other work was done."""
        gc.collect()
        if not self._every:
            return None
        try:
            self._step()
        except Exception as error:  # noqa: BLE001 - the thread stays up
            self._warn(f'keep_warm: no more dummy steps: {type(error).__name__}: {error}')
            self._every = 0.0
            return None
        return self._every
