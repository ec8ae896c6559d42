# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Turn instructions into prompts that fit the model, and tell them gates that see language."""

from __future__ import annotations

from collections.abc import Callable
import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.vla.files.errors import InputError


class GateInstruction:
    """Give an instruction that is new to a gate that sees language; the others are not asked."""

    def __init__(
        self,
        encode: Callable[[str], list[int]],
        embed: Callable[[Tensor], Tensor],
        device: torch.device,
    ) -> None:
        """Take what makes ids of an instruction, and maps them on a device to embeddings."""
        self._encode, self._embed, self._device = encode, embed, device
        self._given: tuple[object, str] = (None, '')

    @torch.no_grad()
    def give(self, gate: Any, instruction: str) -> None:
        """Give the mean of the prompt's embeddings, the same whatever the robot's state."""
        given = (gate, instruction)
        if given == self._given or not getattr(gate, 'language_dim', 0):
            return
        ids = torch.tensor(self._encode(instruction), device=self._device)
        gate.instruct(self._embed(ids).float().mean(0))
        self._given = given


class Instructions:
    """Encode instructions one at a time, as a tokenizer asks, and remember the last."""

    def __init__(self, encode: Callable[..., list[int]], check: Callable[[int], None]) -> None:
        """
        Take what makes a prompt of an instruction, and what says whether it is too long.

        encode: returns all ids, of an instruction and of a state where one is given. check: of so
        many ids, raises InputError.
        """
        self._encode, self._check = encode, check
        self._lock = threading.Lock()
        self._last: tuple[tuple[str, bytes], list[int]] | None = None

    def ids(self, instruction: str, state: np.ndarray | None = None) -> list[int]:
        """
        Return the ids of the prompt; raises InputError for one that the model cannot take.

        state: normalised, where the prompt holds it.
        """
        if not isinstance(instruction, str):
            raise InputError(f'instruction: expected text, found {type(instruction).__name__}')
        with self._lock:
            asked = instruction, b'' if state is None else state.tobytes()
            if self._last is None or self._last[0] != asked:
                ids = self._encode(instruction, *(() if state is None else (state,)))
                self._check(len(ids))
                self._last = asked, ids
            return self._last[1]
