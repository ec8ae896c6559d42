# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Turn instructions into prompts that fit the model, for the thread that acts and any other."""

from __future__ import annotations

from collections.abc import Callable
import threading

from vla_cache_ros.vla.files.errors import InputError


class Instructions:
    """Encode instructions one at a time, as a tokenizer asks, and remember the last."""

    def __init__(self, encode: Callable[[str], list[int]], check: Callable[[int], None]) -> None:
        """
        Take what makes a prompt of an instruction, and what says whether it is too long.

        encode: returns ids from BOS to the blank. check: of so many tokens after BOS, raises
        InputError.
        """
        self._encode, self._check = encode, check
        self._lock = threading.Lock()
        self._last: tuple[str, list[int]] | None = None

    def ids(self, instruction: str) -> list[int]:
        """Return the ids of the prompt; raises InputError for one that the model cannot take."""
        if not isinstance(instruction, str):
            raise InputError(f'instruction: expected text, found {type(instruction).__name__}')
        with self._lock:
            if self._last is None or self._last[0] != instruction:
                ids = self._encode(instruction)
                self._check(len(ids) - 1)
                self._last = instruction, ids
            return self._last[1]
