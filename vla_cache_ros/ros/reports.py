# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say what the node did: one JSON text per inference, one diagnostic status per second.

Only gathers and formats figures that others measured.
"""

from collections import Counter
from collections import deque
from collections.abc import Mapping
import json

from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_msgs.msg import KeyValue
import numpy as np
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import StepReport

from .controller import Controller
from .inputs import FrameSet
from .parameters import VLAParameters

_WINDOW = 500  # inferences over which percentiles are taken


def step_report(
    report: StepReport,
    chunk: ActionChunk,
    frames: FrameSet,
    *,
    episode: int,
    published: int,
    timings: Mapping[str, float],
) -> str:
    """
    Return what one inference used, did and cost, as JSON text.

    published: stamp (ns) of the first command, 0 in a dry run; timings: milliseconds by name.
    The active tokens are a bitmap in hexadecimal, most significant bit first, camera-major.
    """
    active = np.asarray(report.active, bool)
    return json.dumps(
        {
            'episode': episode,
            'step': report.step,
            'instruction': frames.instruction,
            'gate': report.gate,
            'reuse': round(float(report.reuse), 6),
            'refresh': report.refresh,
            'passes': report.passes,
            'cameras': len(frames.topics),
            'tokens': int(active.size),
            'active': np.packbits(active).tobytes().hex(),
            'age_max': int(np.max(report.ages, initial=0)),
            'age_mean': round(float(np.mean(report.ages)) if np.size(report.ages) else 0.0, 3),
            'image_stamps': [frame.stamp for frame in frames.images],
            'command_stamp': published,
            'actions': np.asarray(chunk.actions, float).round(9).tolist(),
            'latency_ms': {k: round(float(v), 3) for k, v in report.latency_ms.items()},
            **{name: round(value, 3) for name, value in timings.items()},
        }
    )


def active_tokens(text: str) -> np.ndarray:
    """Return the bool [V] that a step report's bitmap stands for."""
    report = json.loads(text)
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(report['active']), np.uint8))
    return bits[: report['tokens']].astype(bool)


class Figures:
    """Counters and latencies since configure."""

    def __init__(self):
        """Start at zero."""
        self.counts: Counter[str] = Counter()
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
        return lines


def diagnostics(
    name: str, parameters: VLAParameters, controller: Controller | None, figures: Figures
) -> DiagnosticArray:
    """Return the node's health: OK, or WARN with the reasons for which the arm stands still."""
    status = DiagnosticStatus(
        name=f'{name}: inference', hardware_id='vla_cache_ros', level=DiagnosticStatus.OK
    )
    status.message = 'unconfigured'
    values = {'gate': parameters.gate, 'dry run': parameters.dry_run}
    if controller is not None:
        causes = controller.causes
        status.message = 'active' if controller.active else 'inactive'
        if causes:
            status.level = DiagnosticStatus.WARN
            status.message = '; '.join(causes.messages())
        values |= {
            'episode': controller.episode,
            'last image stamp': f'{controller.last_image * 1e-9:.3f}',
            'limited commands': controller.limited,
            'stop causes': ', '.join(sorted(causes.names())) or 'none',
            **{f'stops {cause}': n for cause, n in sorted(causes.counts.items())},
            **{f'invalidations {cause}': n for cause, n in controller.invalidations.items()},
        }
    values |= figures.summary()
    status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticArray(status=[status])
