# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Print the lines and branches that a coverage run reached, for each room, and fail below a limit.

What is measured, and what is left out and why, is in pyproject.toml.
"""

import json
from pathlib import Path
import sys

LEAST = 95.0  # % of the lines and of the branches of each room
ROOMS = {
    'caching/': 'vla_cache_ros/caching/',
    'control/safety.py, limits.py': 'vla_cache_ros/control/',
    'vla/checkpoint.py, files/weights.py, families/': 'vla_cache_ros/vla/',
}
KEYS = (('num_statements', 'covered_lines'), ('num_branches', 'covered_branches'))


def table(files):
    """Return (room, statements, % of them, branches, % of them) for files of `coverage json`."""
    rows = []
    for room, begin in ROOMS.items():
        found = [one['summary'] for name, one in files.items() if name.startswith(begin)]
        row = [room]
        for all_of_them, reached in KEYS:
            total = sum(one[all_of_them] for one in found)
            row += [total, 100 * sum(one[reached] for one in found) / total]
        rows.append(row)
    return rows


def main():
    rows = table(json.loads(Path(sys.argv[1]).read_text(encoding='utf-8'))['files'])
    print(f'{"room":42} {"lines":>6} {"covered":>8} {"branches":>9} {"covered":>8}')
    for room, lines, line_share, branches, branch_share in rows:
        print(f'{room:42} {lines:6} {line_share:6.1f} % {branches:9} {branch_share:6.1f} %')
    low = [row[0] for row in rows if min(row[2], row[4]) < LEAST]
    if low:
        sys.exit(f'coverage: expected {LEAST:g} % of lines and branches, less in {", ".join(low)}')


if __name__ == '__main__':
    main()
