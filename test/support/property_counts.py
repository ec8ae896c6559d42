# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Count the inputs that hypothesis tries, in every test that uses it, and try more of them on demand.

VLA_CACHE_EXAMPLES=N multiplies the examples of each test, by less than one too.
VLA_CACHE_PROPERTIES=FILE writes what was tried as JSON and prints a table of it. Knows no test.
"""

import json
import os
from pathlib import Path
import time

from hypothesis import Phase
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine
from hypothesis.statistics import collector
import pytest

EXAMPLES = float(os.environ.get('VLA_CACHE_EXAMPLES', '1'))
FILE = os.environ.get('VLA_CACHE_PROPERTIES', '')
PHASES = ('reuse-phase', 'generate-phase')  # those that look for a counterexample
SETTINGS = '_hypothesis_internal_use_settings'
counts: list[dict] = []
changed: set[object] = set()
# `--hypothesis-profile=once`: whether a test fails, always with the same inputs, not the smallest.
settings.register_profile(
    'once', derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
)


def multiplied(one):
    return settings(one, max_examples=max(1, round(one.max_examples * EXAMPLES)))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    if EXAMPLES == 1:
        return
    # a parametrized test is several items of one function
    holders = {item.cls: 'settings' for item in items if hasattr(item.cls, 'settings')}
    holders |= {i.function: SETTINGS for i in items if hasattr(i.function, SETTINGS) and not i.cls}
    for holder, name in holders.items():
        if holder not in changed:  # tests may be collected again in one process
            changed.add(holder)
            setattr(holder, name, multiplied(getattr(holder, name)))


@pytest.hookimpl(hookwrapper=True, trylast=True)
def pytest_runtest_call(item):
    """Note what hypothesis tells its own plugin, which wraps this hook, and the steps taken."""
    tell, tried, invariants = collector.value, [], [0]
    check = RuleBasedStateMachine.check_invariants

    def note(statistics):
        phases = [statistics[name] for name in PHASES if name in statistics]
        tried.extend(case for phase in phases for case in phase['test-cases'])
        if tell is not None:
            tell(statistics)

    def count(machine, *arguments):
        invariants[0] += 1  # checked once before the first step and after each
        check(machine, *arguments)

    begin = time.perf_counter()
    RuleBasedStateMachine.check_invariants = count
    try:
        with collector.with_value(note):
            yield
    finally:
        RuleBasedStateMachine.check_invariants = check
    if tried:
        counts.append(
            {
                'name': item.nodeid.split('/')[-1],
                'inputs': len(tried),
                'refused': sum(case['status'] in ('invalid', 'overrun') for case in tried),
                'steps': max(0, invariants[0] - len(tried)),
                'seconds': round(time.perf_counter() - begin, 2),
            }
        )


def pytest_terminal_summary(terminalreporter):
    if not FILE:
        return
    Path(FILE).parent.mkdir(parents=True, exist_ok=True)
    Path(FILE).write_text(json.dumps(counts, indent=1) + '\n', encoding='utf-8')
    write = terminalreporter.write_line
    terminalreporter.section('properties')
    write(f'{"inputs":>9} {"steps":>9} {"seconds":>8}  property')
    for one in sorted(counts, key=lambda one: one['name']):
        write(f'{one["inputs"]:9} {one["steps"]:9} {one["seconds"]:8.1f}  {one["name"]}')
    total = [sum(one[key] for one in counts) for key in ('inputs', 'steps', 'seconds')]
    write(f'{total[0]:9} {total[1]:9} {total[2]:8.1f}  {len(counts)} properties')
