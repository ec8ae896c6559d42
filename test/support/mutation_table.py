# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Print what became of the mutants of each module that mutmut has tried, and name the survivors.

Reads the folder that mutmut writes; knows nothing of how it makes a mutant.
"""

from collections import Counter
import json
from pathlib import Path
import sys

from mutmut.stats import status_by_exit_code

COLUMNS = ('killed', 'survived', 'timeout', 'no tests')


def results(folder):
    """Return, by module, the status of each mutant that was tried."""
    found = {}
    for path in sorted(Path(folder).rglob('*.py.meta')):
        codes = json.loads(path.read_text(encoding='utf-8'))['exit_code_by_key']
        tried = {k: status_by_exit_code[code] for k, code in codes.items() if code is not None}
        if tried:
            found[str(path.relative_to(folder)).removesuffix('.meta')] = tried
    return found


def main():
    found = results(sys.argv[1])
    print(f'{"module":42} {"mutants":>8}' + ''.join(f'{name:>10}' for name in COLUMNS))
    for module, statuses in found.items():
        counts = Counter(statuses.values())
        cells = ''.join(f'{counts[name]:10}' for name in COLUMNS)
        print(f'{module:42} {len(statuses):8}{cells}')
    for statuses in found.values():
        for name, status in statuses.items():
            if status not in ('killed', 'timeout'):
                print(f'{status}: {name}')


if __name__ == '__main__':
    main()
