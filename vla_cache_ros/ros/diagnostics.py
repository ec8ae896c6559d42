# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say how the node fares: counters, latencies, one diagnostic status per second.

Only gathers and formats figures that others measured.
"""

from collections import Counter
from collections import deque
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import asdict
import json

from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_msgs.msg import KeyValue
import numpy as np
from vla_cache_ros import __version__
from vla_cache_ros.control.controller import Controller
from vla_cache_ros.control.drift_check import DRIFTED
from vla_cache_ros.control.sensing.colour import ColourWatch
from vla_cache_ros.control.sensing.colour import NO_COLOUR
from vla_cache_ros.control.vla_parameters import VLAParameters

_WINDOW = 500  # inferences over which percentiles are taken


class Figures:
    """Counters, latencies and cameras without colour since configure."""

    def __init__(self, more: Callable[[], Mapping[str, str]] = dict):
        """Start at zero; more: tells what somebody else counts."""
        self._more = more
        self.counts: Counter[str] = Counter()
        self.colours = ColourWatch()
        self._windows: dict[str, deque[float]] = {}

    def note(self, name: str, value: float) -> None:
        """Add one sample of a figure."""
        self._windows.setdefault(name, deque(maxlen=_WINDOW)).append(value)

    def summary(self) -> dict[str, str]:
        """Return the counters, and p50 and p95 of each figure, as text."""
        lines = {name: str(count) for name, count in sorted(self.counts.items())}
        for name, window in self._windows.items():
            for percentile in (50, 95):
                lines[f'{name} p{percentile}'] = f'{np.percentile(window, percentile):.3f}'
        return lines | dict(self._more())


def run_info(parameters: VLAParameters, policy: Mapping[str, str]) -> str:
    """Return as JSON text which software, weights and parameters act from here on."""
    return json.dumps(
        {'version': __version__, 'policy': dict(policy), 'parameters': asdict(parameters)}
    )


def diagnostics(
    name: str, parameters: VLAParameters, controller: Controller | None, figures: Figures
) -> DiagnosticArray:
    """Return the node's health: OK, or WARN with why the arm stands still, is slower or drifts."""
    status = DiagnosticStatus(
        name=f'{name}: inference', hardware_id='vla_cache_ros', level=DiagnosticStatus.OK
    )
    status.message = 'unconfigured'
    values = {'gate': parameters.gate, 'dry run': parameters.dry_run}
    if controller is not None:
        causes = controller.causes
        status.message = 'active' if controller.active else 'inactive'
        status.message += '; a person has the arm' * controller.takeover.person
        if causes:
            status.level = DiagnosticStatus.WARN
            status.message = '; '.join(causes.messages())
        else:
            gray = figures.colours.gray
            degraded = [controller.pace.message(), DRIFTED * controller.drift.guard.alarmed]
            degraded.append(f'{NO_COLOUR}: {", ".join(gray)}' if gray else '')
            if any(degraded):
                status.level = DiagnosticStatus.WARN
                status.message = '; '.join(filter(None, [status.message, *degraded]))
        values |= {
            'episode': controller.episode,
            'control': controller.takeover.who,
            'last image stamp': f'{controller.last_image * 1e-9:.3f}',
            **controller.pace.summary(),
            'stop causes': ', '.join(sorted(causes.names())) or 'none',
            **{f'limited by {limit}': n for limit, n in sorted(controller.limited.items())},
            **{f'stops {cause}': n for cause, n in sorted(causes.counts.items())},
            **{f'invalidations {cause}': n for cause, n in controller.invalidations.items()},
            **controller.drift.figures(),
            NO_COLOUR: ', '.join(figures.colours.gray) or 'none',
        }
    values |= figures.summary()
    status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticArray(status=[status])
