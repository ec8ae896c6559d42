# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Carry out what the ladder of degradation says, and tell of it.

Asks the gate for reuse, slows playing down and shrinks the actions' velocities in proportion, so
that a chunk moves the arm as far at every rate. Decides nothing: degradation.py does.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from vla_cache_ros.control.degradation import Degradation
from vla_cache_ros.control.degradation import ladder
from vla_cache_ros.control.degradation import Stage
from vla_cache_ros.control.motion.playback import Playback
from vla_cache_ros.control.vla_parameters import VLAParameters


class Pace:
    """
    Hold what is asked of the gate, and the rate at which actions are played.

    period: ns that an action lasts now.
    """

    def __init__(
        self,
        parameters: VLAParameters,
        gate: Any,  # noqa: ANN401
        playback: Playback,
        order: Callable[[Callable[[Any], None], Any], None],
        warn: Callable[[str], None],
    ):
        """
        Begin at control_frequency, with the gate as it is.

        gate: of the policy; one that has no `largest_reuse` is asked for nothing. order: has a
        method called with one argument, by the policy's thread, before the next inference.
        warn: logs.
        """
        frequency, slowest = parameters.control_frequency, parameters.slowest_frequency()
        largest = getattr(gate, 'largest_reuse', None)
        rungs = ladder(frequency, slowest, None if largest is None else (gate.reuse, largest))
        self._degradation = Degradation(
            rungs if parameters.degrade else rungs[:1], parameters.execute_steps
        )
        self._steps, self._frequency = parameters.execute_steps, frequency
        self._gate, self._playback, self._order, self._warn = gate, playback, order, warn
        self._asked = self._degradation.rung.reuse
        self._took = 0.0  # s, the last inference
        self.period = round(1e9 / frequency)

    def note(self, took: int, now: int) -> bool:
        """Take what an inference took (ns); return whether what is given up changes from now."""
        self._took = took * 1e-9
        change = self._degradation.note(self._took)
        if change:
            self._carry_out(now)
            stage = self._degradation.rung.stage.value
            text = f'{stage}: inferences have room again, the last took {self._took:.3g} s'
            self._warn(f'degradation: {self.message() if change > 0 else text}')
        return change != 0

    def restart(self, now: int) -> None:
        """Begin anew, with nothing given up."""
        self._degradation.restart()
        self._carry_out(now)

    def resume(self, now: int) -> None:
        """End a stop: go on at the slowest rate, where there was one."""
        self._degradation.resume()
        self._carry_out(now)

    def slowed(self, action: np.ndarray) -> np.ndarray:
        """Return the part of an action [7] that is made in the time it is meant for."""
        share = self._degradation.rung.frequency / self._frequency
        return np.append(action[:6] * share, action[6])

    @property
    def stopped(self) -> bool:
        """Say whether there is nothing left to give up but motion."""
        return self._degradation.rung.stage is Stage.STOPPED

    def message(self) -> str:
        """Return what is given up and why, in one line; empty if nothing is."""
        rung = self._degradation.rung
        if rung.stage is Stage.NONE:
            return ''
        rate = rung.frequency if self.stopped else self._frequency
        given_up = '' if self.stopped else f'; now {rung.frequency:.3g} Hz, reuse {self._reuse()}'
        return (
            f'{rung.stage.value}: expected an inference within {self._steps / rate:.3g} s '
            f'({self._steps} actions at {rate:.3g} Hz), the last took {self._took:.3g} s'
            f'{given_up}; free the machine, or take a faster device or a smaller model'
        )

    def summary(self) -> dict[str, str]:
        """Return the state as text, for diagnostics."""
        rung = self._degradation.rung
        return {
            'degradation': rung.stage.value,
            'reuse asked': self._reuse(),
            'control frequency': f'{rung.frequency:.4g}',
            'overruns': str(self._degradation.overruns),
        }

    def _reuse(self) -> str:
        reuse = self._degradation.rung.reuse
        return "the gate's own" if reuse is None else f'{reuse:.3g}'

    def _carry_out(self, now: int) -> None:
        rung = self._degradation.rung
        if rung.reuse != self._asked:
            self._asked = rung.reuse
            self._order(self._gate.ask, rung.reuse)
        self.period = round(1e9 / rung.frequency)
        self._playback.change_period(self.period, now)
