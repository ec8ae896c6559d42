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
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.caching.work import Steps
from vla_cache_ros.vla.actions import ActionTokens
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.files.errors import NonFiniteOutputError

DECODINGS = ('jacobi', 'greedy')


@dataclass(frozen=True)
class Said:
    """
    Hold what a model says after each of some rows.

    tokens: the likeliest one, a row. finite: whether all of a row's logits are.
    """

    tokens: list[int]
    finite: list[bool]

    @classmethod
    def of(cls, logits: Tensor) -> Said:
        """Read logits `[rows, vocabulary]`; waits for the device."""
        return cls.unpack(summary(logits).cpu().numpy())

    @classmethod
    def unpack(cls, rows: np.ndarray) -> Said:
        """Read what `summary` made."""
        tokens, finite = rows
        return cls(tokens.astype(np.int64).tolist(), (finite > 0).tolist())

    def split(self, counts: Sequence[int]) -> list[Said]:
        """Return the parts that so many rows make, one after the other."""
        ends = [*accumulate(counts)]
        spans = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
        return [Said(self.tokens[span], self.finite[span]) for span in spans]

    def check(self, rows: int) -> None:
        """Raise NonFiniteOutputError unless the first rows are finite."""
        if not all(self.finite[:rows]):
            raise NonFiniteOutputError(
                'model output: expected finite logits, found NaN or infinity'
            )


Continue = Callable[[list[int], int], Steps[Said]]


def summary(logits: Tensor) -> Tensor:
    """Return the likeliest tokens and whether rows are finite, float32 `[2, rows]`: one copy."""
    finite = torch.isfinite(logits).all(-1)
    return torch.stack([logits.argmax(-1).float(), finite.float()])  # ids are below 2**24


def greedy(said: Said, count: int, proceed: Continue) -> Steps[tuple[np.ndarray, int]]:
    """
    Decode one token after the other; an end token is no end.

    said: after the prompt, one row. proceed: takes tokens and the index of the first, returns what
    is said after each. Returns the tokens `[count]` and the number of passes. Raises
    NonFiniteOutputError.
    """
    tokens: list[int] = []
    while True:
        said.check(1)
        tokens += said.tokens
        if len(tokens) == count:
            return np.array(tokens), count - 1
        said = yield from proceed(tokens[-1:], len(tokens) - 1)


def jacobi(
    said: Said, guess: list[int], count: int, proceed: Continue
) -> Steps[tuple[np.ndarray, int]]:
    """
    Decode in parallel what `greedy` decodes; arguments and results as there.

    said: `count` rows, after the prompt and after each token of `guess` `[count - 1]`, with which
    the prefill ran.
    """
    certain, passes = 0, 0  # of `tokens`: as greedy decoding would have given them
    tokens = list(guess)
    while True:
        # row i of what was said follows token certain + i - 1, of which the first is certain
        after = said.tokens
        right = 0
        while right < len(after) - 1 and after[right] == tokens[certain + right]:
            right += 1
        said.check(right + 1)
        tokens[certain:] = after
        certain += right + 1
        if certain == count:
            return np.array(tokens), passes
        # of token certain - 1 no row has been computed yet, nor of those guessed after it
        said = yield from proceed(tokens[certain - 1 : count - 1], certain - 1)
        passes += 1


class ActionWords:
    """
    Turn what a model says into actions, and guess what it will say next.

    guesses: how many tokens of an action are guessed, 0 where they are not. guess: what the next
    action's are taken for, all but the last; only the number of passes depends on it.
    """

    def __init__(self, config: VLAConfig, count: int, decoding: str) -> None:
        """Take the number of tokens and how they are decoded; raises ValueError if unknown."""
        if decoding not in DECODINGS:
            raise ValueError(f'decoding: expected one of {", ".join(DECODINGS)}, got {decoding!r}')
        self._oft, self._count = config.oft, count
        self.tokens = ActionTokens(config.action_vocab_end, config.n_action_bins)
        parallel = config.decodes_tokens and decoding == 'jacobi'
        self.guesses = count - 1 if parallel else 0
        self.guess = self.still()

    def still(self) -> list[int]:
        """Return the guess that the robot stands still."""
        return self.tokens.encode(np.zeros(self.guesses)).tolist()

    def read(self, said: Said, proceed: Continue) -> Steps[tuple[np.ndarray, np.ndarray, int]]:
        """Return the normalised actions `[C, A]`, the token ids and the number of passes."""
        if self._oft is not None:
            said.check(len(said.tokens))
            tokens = np.array(said.tokens)
            actions = self.tokens.decode(tokens)
            return actions.reshape(self._oft.chunk, self._oft.action_dim), tokens, 0
        if self.guesses:
            tokens, passes = yield from jacobi(said, self.guess, self._count, proceed)
            self.guess = tokens[:-1].tolist()
        else:
            tokens, passes = yield from greedy(said, self._count, proceed)
        return self.tokens.decode(tokens)[None], tokens, passes
