# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Decode the action tokens of a causal model: one after the other, or in parallel and exactly so.

Jacobi decoding guesses all tokens, computes what the model says after each guess, and keeps what
greedy decoding would have given: as far as the guesses were right, and one more. The first guess
is the last step's action, and its check is part of the prefill. Source: arXiv 2305.10427.
Knows tokens, not what they mean to a robot.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.vla.errors import NonFiniteOutputError

Continue = Callable[[list[int], int], Tensor]


def greedy(logits: Tensor, count: int, proceed: Continue) -> tuple[np.ndarray, int]:
    """
    Decode one token after the other; an end token is no end.

    logits: `[1, vocabulary]`, after the prompt. proceed: takes tokens and the index of the first,
    returns the logits `[tokens, vocabulary]` after each. Returns the tokens `[count]` and the
    number of passes. Raises NonFiniteOutputError.
    """
    tokens: list[int] = []
    while True:
        check_finite(logits)
        tokens += logits.argmax(-1).tolist()
        if len(tokens) == count:
            return np.array(tokens), count - 1
        logits = proceed(tokens[-1:], len(tokens) - 1)


def jacobi(
    logits: Tensor, guess: list[int], count: int, proceed: Continue
) -> tuple[np.ndarray, int]:
    """
    Decode in parallel what `greedy` decodes; arguments and results as there.

    logits: `[count, vocabulary]`, after the prompt and after each token of `guess`
    `[count - 1]`, with which the prefill ran.
    """
    certain, passes = 0, 0  # tokens of `said` that greedy decoding would have given
    said = list(guess)
    while True:
        # row i of the logits follows token certain + i - 1, of which the first is certain
        after = logits.argmax(-1).tolist()
        right = 0
        while right < len(after) - 1 and after[right] == said[certain + right]:
            right += 1
        check_finite(logits[: right + 1])
        said[certain:] = after
        certain += right + 1
        if certain == count:
            return np.array(said), passes
        # of token certain - 1 no row has been computed yet, nor of those guessed after it
        logits = proceed(said[certain - 1 : count - 1], certain - 1)
        passes += 1


def check_finite(logits: Tensor) -> None:
    """Raise NonFiniteOutputError unless all logits are finite."""
    if not torch.isfinite(logits).all():
        raise NonFiniteOutputError('model output: expected finite logits, found NaN or infinity')
