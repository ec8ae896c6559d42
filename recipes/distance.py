# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure on held-out recordings how far cached actions are from the dense model's.

Quicker and less noisy than success, and needs no robot. Also measures two choosers that know
each token's effect (`recipes/knowing.py`): what a gate could reach.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vla_cache_ros.caching.gates import DenseGate
from vla_cache_ros.policy import Policy
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.hardware import measured_on
from vla_cache_ros.training.gate_report import answers
from vla_cache_ros.training.gate_report import summary
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import resolve

from recipes.knowing import knowing_answers
from recipes.knowing import same_share

# Where between the cached (0) and the new (1) keys and values the effect is measured.
KNOWING = {'effects': 0.5, 'effects-when-new': 1.0}


def run_distance(
    data: Sequence[Path],
    gates: Sequence[str],
    reuses: Sequence[float],
    checkpoint: str,
    recordings: int,
    json: Path | None,
    execute_steps: int,
) -> list[dict[str, object]]:
    """
    Print and write the distance of each gate at each reuse over the first held-out recordings.

    gates: as for `vla-cache evaluate`, or one of KNOWING, `NAME@STEPS` with the effects through so
    many steps of a flow. Distances are those of the first
    `execute_steps` actions, normalised, per cached step; a recording's first step is full.
    """
    held_out = Recordings(data)
    runs = held_out.held_out[:recordings]
    vla = load_checkpoint(resolve(checkpoint))
    vla = replace(vla, images=vla.images.as_seen())
    vla.model.requires_grad_(requires_grad=False)
    dense, _ = answers(Policy(vla, DenseGate()), held_out, runs)
    rows = []
    for gate in gates:
        for reuse in reuses:
            name, _, steps = gate.partition('@')
            if name in KNOWING:
                known = knowing_answers(
                    vla, held_out, runs, same_share(reuse), execute_steps,
                    KNOWING[name], int(steps or 1),
                )  # fmt: skip
                found = known.actions, known.reuses
            else:
                policy = Policy.from_pretrained(checkpoint, gate=gate, reuse=reuse)
                policy.images = vla.images
                found = answers(policy, held_out, runs)
            rows.append({'gate': gate, 'reuse': reuse, **summary(found, dense, execute_steps)})
            print(
                '{gate:<20} {reuse:.2f}  mean {mean:.4f}  median {median:.4f}  p90 {p90:.4f}  '
                'weighed {weighed:.4f}  '
                'reused {reused:.3f}  n {steps}'.format(**rows[-1]),
                flush=True,
            )
    if json is not None:
        facts = {'checkpoint': checkpoint, 'recordings': len(runs), 'digest': held_out.digest}
        write_json(json, {**facts, 'rows': rows, **measured_on()})
    return rows
