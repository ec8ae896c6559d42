# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Print rows of docs/bring-up.md's tables of faults from what the tests of them wrote."""

import json
from pathlib import Path
import sys

NOT_AT_ONCE = 'not at once: [three of five](#when-the-model-is-too-slow) have to'


def rows(faults):
    """Yield a row for each fault, in order: cause, and ms to the stop for each output."""
    times = {}
    for one in faults:
        times.setdefault((one['fault'], one['cause']), {})[one['output']] = one['stop_ms']
    for (fault, cause), stops in times.items():
        cells = [f'{round(stops[output])} ms' for output in ('twist', 'joint_positions')]
        if cause == 'overrun':
            cells = [NOT_AT_ONCE, 'likewise']
        yield f'| {fault} | `{cause}` | {" | ".join(cells)} |'


def remote_rows(faults):
    """Yield a row for each fault of a server, in order: cause, ms to the stop, s to go on."""
    for one in faults:
        times = f'{round(one["stop_ms"])} ms | {one["again_s"]:.1f} s'
        yield f'| {one["fault"]} | `{one["cause"]}` | {times} |'


if __name__ == '__main__':
    found = json.loads(Path(sys.argv[1]).read_text(encoding='utf-8'))['faults']
    print('\n'.join((remote_rows if 'again_s' in found[0] else rows)(found)))
