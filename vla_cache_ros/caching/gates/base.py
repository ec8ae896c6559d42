# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What every gate has in common: the interface, the parameters and when to recompute everything.

Knows neither how tokens are scored nor what the model does with a plan.
"""

import math
from typing import Protocol
from typing import Self

import numpy as np
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.caching.plans import full_plan
from vla_cache_ros.caching.selection import budget_size
from vla_cache_ros.caching.selection import select
from vla_cache_ros.types import StepPlan

DEFAULT_REUSE = 0.5
DEFAULT_MAX_AGE = 24  # steps; about ten seconds at 2.5 inferences a second
DEFAULT_RECOVERY = 0.02
LARGEST_REUSE = 0.85  # the most that the gates were compared at: beyond, nobody knows


class Gate(Protocol):
    """
    Decide once per step, before the decoder runs, which visual tokens are recomputed.

    `probe_layers` names the decoder layers whose attention from text to visual tokens the engine
    shall record for the next plan; empty for gates that read pixels only. A gate whose plan
    depends on no pixel has `blind`, True: a GPU's towers then start after it, and rest where
    nothing is active. A gate that can be asked for another share of reuse has `reuse`,
    `largest_reuse` and `ask` too, as AskedGate has.
    """

    name: str
    probe_layers: tuple[int, ...]

    def reset(self) -> None:
        """Forget the episode; the same episode after it gives the same plans."""

    def plan(self, pixels: np.ndarray, cache: EpisodeCache) -> StepPlan:
        """
        Return the plan for images `[cams, S, S, 3]` uint8 against the episode cache.

        A cache that is not valid gets a plan that recomputes everything and says why.
        """


class AskedGate:
    """
    Hold the parameters that all gates but dense share.

    largest_reuse: the most that `ask` takes.
    """

    name = ''
    probe_layers: tuple[int, ...] = ()
    largest_reuse = LARGEST_REUSE

    def __init__(
        self, reuse: float | None = DEFAULT_REUSE, max_age: int = DEFAULT_MAX_AGE
    ) -> None:
        check_parameters(reuse, max_age)
        self.reuse = reuse
        self.max_age = max_age

    def ask(self, reuse: float | None) -> None:
        """
        Aim at another share from the next plan on; the episode goes on.

        Raises ValueError above `largest_reuse`; nothing changes then.
        """
        check_parameters(reuse, self.max_age)
        if reuse is not None and reuse > self.largest_reuse:
            raise ValueError(
                f'reuse: expected at most {self.largest_reuse:g}, the most that this gate may '
                f'be asked for, got {reuse:g}'
            )
        self.reuse = reuse


class SeededGate(AskedGate):
    """Hold the recovery and the random numbers of gates that choose tokens."""

    def __init__(
        self,
        reuse: float | None = DEFAULT_REUSE,
        max_age: int = DEFAULT_MAX_AGE,
        recovery: float = DEFAULT_RECOVERY,
        seed: int = 0,
    ) -> None:
        super().__init__(reuse, max_age)
        check_parameters(reuse, max_age, recovery)
        self.recovery = recovery
        self.seed = seed
        self.reset()

    def reset(self) -> None:
        """Start the random numbers anew, so that equal episodes get equal plans."""
        self.generator = np.random.default_rng(self.seed)


class BudgetGate(SeededGate):
    """
    Recompute a fixed share of the tokens, those that score highest.

    The target counts everything: tokens forced by age and recovery are part of the budget, so
    every cached step recomputes exactly the same number. Only full refreshes come on top.
    """

    @classmethod
    def make(cls, reuse: float | None, max_age: int, recovery: float, seed: int) -> Self:
        """Return the gate from the parameters that all gates share."""
        return cls(DEFAULT_REUSE if reuse is None else reuse, max_age, recovery, seed)

    def scores(self, patches: np.ndarray, cache: EpisodeCache) -> np.ndarray:
        """Return a score `[V]` per token from patches `[V, 588]` uint8; high = recompute."""
        raise NotImplementedError

    def plan(self, pixels: np.ndarray, cache: EpisodeCache) -> StepPlan:
        """Return the plan for images `[cams, S, S, 3]` uint8 against the episode cache."""
        patches = patchify(pixels)
        if not cache.valid:
            return full_plan(len(patches), refresh_reason(cache))
        return self.choose(self.scores(patches, cache), self.reuse, cache)

    def choose(self, scores: np.ndarray, reuse: float, cache: EpisodeCache) -> StepPlan:
        """Return the plan that reuses a share of the tokens, those that score lowest `[V]`."""
        active = select(
            scores,
            cache.ages(),
            budget_size(scores.size, reuse, self.max_age),
            self.max_age,
            self.recovery,
            self.generator,
        )
        return StepPlan(active, scores=scores.astype(np.float32))


def refresh_reason(cache: EpisodeCache) -> str:
    """Return why a cache is not valid; 'first_step' where nothing invalidated it."""
    return cache.cause or 'first_step'


def check_parameters(
    reuse: float | None, max_age: int, recovery: float = DEFAULT_RECOVERY
) -> None:
    """Raise ValueError naming the first parameter that is out of its range."""
    for name, value in (('reuse', reuse), ('recovery', recovery)):
        if value is not None and not (math.isfinite(value) and 0 <= value <= 1):
            raise ValueError(f'{name}: expected a share from 0 to 1, got {value}')
    if int(max_age) != max_age or max_age < 0:
        raise ValueError(f'max_age: expected a whole number of steps from 0 up, got {max_age}')
