# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The commands that made a shipped model are ones that the recipes and `vla-cache` understand."""

import os
import subprocess

from paths import ROOT
import pytest
from vla_cache_ros.cli import main as cli

from recipes.__main__ import Demos
from recipes.__main__ import parse

BEGIN, ROUND = ['demos', 'towers', 'base'], ['demos', 'base']
NOTE = '#!/bin/bash\nprintf "%s\\n" "$*" >> "$COMMANDS"\n'


def commands(script, folder):
    """Return what a script would start: words after `-m`, one list a command."""
    for name in ('python', 'torchrun'):
        (folder / name).write_text(NOTE)
        (folder / name).chmod(0o755)
    where = {'PATH': f'{folder}:{os.environ["PATH"]}', 'COMMANDS': str(folder / 'commands')}
    subprocess.run([ROOT / 'recipes' / script], env=os.environ | where, check=True)
    lines = (folder / 'commands').read_text().splitlines()
    return [line.partition('-m ')[2].split() for line in lines]


@pytest.mark.parametrize(
    ('script', 'kinds'),
    [
        ('tabletop/run.sh', ['demos', 'towers', 'base', 'demos', 'base', 'demos', 'gate']),
        ('tabletop_openvla/run.sh', ['sight', 'base']),
        ('tabletop_pi/run.sh', ['demos', 'towers', 'base', 'demos', 'base', 'gate']),
        ('libero_object/run.sh', ['demos', 'base', 'demos', 'base', 'demos', 'base', 'gate']),
        ('libero_spatial/run.sh', [*BEGIN, *4 * ROUND, 'gate']),
        ('libero_goal/run.sh', [*BEGIN, *2 * ROUND, 'demos', 'gate']),
        (
            'libero_10/run.sh',
            [*BEGIN, *2 * ROUND, 'towers', 'base', *3 * ROUND, 'gate', *2 * ['demos', 'gate']],
        ),
        ('libero/transfer.sh', ['demos', 'gate']),
        ('libero/predictor.sh', ['demos', 'gate', 'adaptive']),
    ],
)
def test_every_command_of_a_shipped_model_is_understood(script, kinds, tmp_path):
    found = []
    for module, *words in commands(script, tmp_path):
        made = (parse if module == 'recipes' else cli.parse)(words)
        found.append(type(made).__name__.lower().removeprefix('train'))
    assert [kind for i, kind in enumerate(found) if kind not in found[max(0, i - 1) : i]] == kinds


def test_a_gate_acts_only_with_a_student(tmp_path):
    with pytest.raises(ValueError, match='expected a --student that acts with it'):
        Demos(out=tmp_path, gate=('motion',))()


def test_a_mistyped_option_is_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(['sight', '--data', 'a', '--out', 'b', '--untill', '3'])
    assert stopped.value.code == 2
    assert '--untill' in capsys.readouterr().err
