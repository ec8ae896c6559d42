# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Print the rows of docs/bring-up.md's table of faults from what test_faults.py wrote."""

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


if __name__ == '__main__':
    print('\n'.join(rows(json.loads(Path(sys.argv[1]).read_text(encoding='utf-8'))['faults'])))
