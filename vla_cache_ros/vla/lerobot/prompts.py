# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn an instruction, and for pi0.5 the robot's state, into the text that a model was taught with.

Source: LeRobot 0.6.1, `processor/newline_task_processor.py`, `policies/pi05/processor_pi05.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from vla_cache_ros.vla.files.errors import InputError
from vla_cache_ros.vla.prompt import check_instruction

BINS = np.linspace(-1, 1, 257)[:-1]  # lower edges; below the first a number is -1


@dataclass(frozen=True)
class Prompting:
    """
    Hold how prompts are made.

    state: how many numbers of a normalised state the text holds, 0 for none. tokenizer: its path
    or hub id. longest: most tokens.
    """

    state: int
    tokenizer: str
    longest: int

    def text(self, instruction: str, state: np.ndarray | None = None) -> str:
        """
        Return the prompt's text.

        state: normalised `[P]`, where the text holds it; the longest text if None. Raises
        InputError for an instruction that holds no text.
        """
        check_instruction(instruction)
        if not self.state:
            return instruction if instruction.endswith('\n') else f'{instruction}\n'
        task = instruction.strip().replace('_', ' ').replace('\n', ' ')
        values = np.ones(self.state) if state is None else state
        numbers = ' '.join(str(n) for n in np.digitize(values, BINS) - 1)
        return f'Task: {task}, State: {numbers};\nAction: '

    def ids(self, tokenizer: Any, instruction: str, state: np.ndarray | None = None) -> list[int]:
        """Return the prompt's ids; raises InputError where LeRobot would cut it short."""
        ids = [int(i) for i in tokenizer(self.text(instruction, state))['input_ids']]
        if len(ids) > self.longest:
            held = ' with the state in it' if self.state else ''
            raise InputError(
                f'instruction: expected a prompt of at most {self.longest} tokens{held}, found '
                f'{len(ids)}; say it in fewer words'
            )
        return ids
