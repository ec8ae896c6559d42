# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The console command names its commands and turns mistakes into one line."""

import subprocess
import sys

import pytest
from vla_cache_ros import __version__


def vla_cache(*arguments):
    code = 'from vla_cache_ros.cli.main import main; main()'
    return subprocess.run(
        [sys.executable, '-c', code, *arguments], capture_output=True, text=True, check=False
    )


def test_help_lists_every_command_without_loading_torch():
    code = (
        'import sys; from vla_cache_ros import cli; '
        'assert not {"torch", "rclpy", "mujoco"} & set(sys.modules); cli.main()'
    )
    result = subprocess.run(
        [sys.executable, '-c', code, '--help'], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    for name in (
        'evaluate',
        'bench',
        'growth',
        'demo',
        'demos',
        'verify',
        'record',
        'train',
        'drift',
    ):
        assert f'\n  {name} ' in result.stdout


def test_version_is_the_packages():
    assert vla_cache('version').stdout.strip() == __version__


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (('verify', '--golden', '/does/not/exist'), '/does/not/exist'),
        (('evaluate', '--checkpoint', '/does/not/exist'), '/does/not/exist'),
        (('evaluate', '--gate', 'telepathy'), 'telepathy'),
        (('evaluate', '--bag', 'x', '--seed', '3'), '--seed cannot be combined with --bag'),
        (('evaluate', '--instruction', 'wave'), '--instruction needs --bag'),
        (('evaluate', '--gate', 'dense', '--gate', 'motion'), 'expected it once'),
        (('evaluate', '--bag', 'x', '--state', 'none'), 'expected recorded or middle'),
        (('bench', '--out', 'nowhere', '--shape', 'pi0'), 'openvla-oft-7b'),
        (('bench', '--out', 'nowhere', '--steps', '1'), 'at least 2'),
        (('growth', '--out', 'nowhere', '--steps', '9'), 'at least 10'),
    ],
)
def test_mistake_is_one_line_and_exit_code_2(arguments, expected):
    result = vla_cache(*arguments)
    assert result.returncode == 2, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith('vla-cache: ')]
    assert len(lines) == 1
    assert expected in lines[0]
    assert 'Traceback' not in result.stderr


def test_evaluation_of_which_no_bag_can_be_read_ends_with_exit_code_1(tmp_path):
    bag, out = str(tmp_path / 'none'), str(tmp_path / 'out')
    result = vla_cache('evaluate', '--bag', bag, '--gate', 'dense', '--out', out)
    assert result.returncode == 1
    assert f'{bag}: not evaluated: expected a rosbag2 folder or file' in result.stderr
    assert 'Traceback' not in result.stderr


@pytest.mark.parametrize(
    'arguments',
    [
        ('evaluate', '--reuse', '3'),
        ('evaluate', '--episodes', '0'),
        ('demos', '--out', 'nowhere', '--gate', 'learned'),  # the expert has no gate
        ('nonsense',),
    ],
)
def test_bad_argument_is_refused_before_anything_loads(arguments):
    result = vla_cache(*arguments)
    assert result.returncode == 2
    assert 'Error: ' in result.stderr
    assert 'Traceback' not in result.stderr
