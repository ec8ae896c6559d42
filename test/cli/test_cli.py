# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The console command names its verbs and turns mistakes into one line."""

from dataclasses import dataclass
from pathlib import Path
import subprocess
import sys

import pytest
from vla_cache_ros import __version__
from vla_cache_ros.cli import main as cli
from vla_cache_ros.cli.main import main
from vla_cache_ros.cli.main import parse
from vla_cache_ros.cli.main import VERBS


def help_of(*arguments):
    """Return what a new interpreter prints, which must not have loaded what is slow to load."""
    code = (
        'import sys; from vla_cache_ros.cli.main import main\n'
        'try: main()\n'
        'finally: assert not {"torch", "rclpy", "mujoco", "rosbags"} & set(sys.modules)'
    )
    result = subprocess.run(
        [sys.executable, '-c', code, *arguments], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize('arguments', [(), ('--help',)])
def test_help_lists_every_verb_without_loading_torch(arguments):
    text = help_of(*arguments)
    for name in VERBS:
        assert f'\n  {name} ' in text
    assert len({name.split()[0] for name in VERBS}) == 12


@pytest.mark.parametrize('name', VERBS)
def test_help_of_a_verb_loads_nothing_either(name):
    text = help_of(*name.split(), '--help')
    assert text.startswith(f'usage: vla-cache {name} [-h]')
    assert '{None}' not in text


def test_help_of_a_group_lists_its_verbs(capsys):
    for arguments in (['drill'], ['drill', '--help']):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        text = capsys.readouterr().out
        assert not ended.value.code and '  drill growth ' in text and 'evaluate' not in text


def test_version_is_the_packages():
    assert help_of('--version').strip() == __version__


def test_options_may_be_repeated_and_have_the_types_of_their_fields():
    line = ['evaluate', '--gate', 'dense', '--gate=a=motion,reuse=0.5', '--reuse', '0.5']
    line += ['--reuse', '1', '--json', 'f.json', '--task', '3', '--seed', '7']
    verb = parse(line)
    assert verb.gate == ('dense', 'a=motion,reuse=0.5') and verb.reuse == (0.5, 1.0)
    assert verb.closed_loop.json == Path('f.json') and verb.closed_loop.task == ('3',)
    assert verb.closed_loop.seed == 7 and verb.checkpoint == 'tabletop'
    trained = parse(['train', 'gate', '--out', 'x', '--no-language', '--from-gate', 'g']).training
    assert (trained.language, trained.relative, trained.start) == (False, True, 'g')
    along = parse('evaluate --bag x --corrections leave-out'.split()).recordings.named()
    assert (along.corrections, along.control) == ('leave-out', '/vla_node/control_mode')
    assert parse(['demo']).reuse is None


def test_state_of_a_bag_is_told_as_that_of_a_robot():
    line = 'evaluate --bag a --ee-frame tool0 --finger-scale 1 --finger-scale -0.05 --arm-joint a'
    topics = parse(line.split()).recordings.named()
    assert (topics.pose, topics.base_frame, topics.ee_frame) == ('/tf', 'base_link', 'tool0')
    assert topics.finger_scale == (1.0, -0.05) and topics.arm_joints == ('a',)
    line = 'evaluate --bag a --arm-joint a --joint-scale 0.02 --joint-offset -0.1 --finger-joint'
    topics = parse([*line.split(), '']).recordings.named()
    assert (topics.joint_scale, topics.joint_offset) == ((0.02,), (-0.1,))
    assert topics.layout.joints == ('a',)
    line = 'train gate --out o --bag a --ee-frame tool0 --pose-topic /robot/tf --base-frame base'
    topics = parse(line.split()).along.named()
    assert (topics.pose, topics.base_frame) == ('/robot/tf', 'base')


@pytest.mark.parametrize(
    ('line', 'expected'),
    [
        ('verify --golden /does/not/exist', '/does/not/exist'),
        ('evaluate --checkpoint /does/not/exist', '/does/not/exist'),
        ('evaluate --gate telepathy', 'telepathy'),
        ('evaluate --bag x --seed 3', '--seed cannot be combined with --bag'),
        ('evaluate --instruction wave', '--instruction needs --bag'),
        ('evaluate --gate dense --gate motion', 'expected it once'),
        ('bench --out nowhere --shape pi1', 'openvla-oft-7b'),
        ('nonsense', 'expected one of evaluate, compare'),
        ('drill nonsense', "got 'drill nonsense'"),
    ],
)
def test_mistake_is_one_line_and_exit_code_2(line, expected, capsys):
    assert main(line.split()) == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith('vla-cache: ') and expected in message


@pytest.mark.parametrize(
    ('line', 'expected'),
    [
        ('evaluate --reuse 3', 'reuse: expected from 0 to 1, got 3'),
        ('evaluate --episodes 0', 'episodes: expected at least 1, got 0'),
        ('evaluate --seed x', '--seed'),
        ('evaluate --tasks 3', '--tasks'),
        ('evaluate --bag x --state none', '--state'),
        ('train gate --out x --bag y --corrections some', '--corrections'),
        ('demo --execution fast', 'ensembled'),
        ('compare', '--out'),
        ('compare --out x --reuse 0.5 --reuse 1.5', 'reuse: expected from 0 to 1, got 1.5'),
        ('bench --out x --steps 1', 'steps: expected at least 2, got 1'),
        ('drill growth --out x --steps 9', 'steps: expected at least 10, got 9'),
        ('record --out', '--out'),
    ],
)
def test_bad_option_is_named_before_anything_runs(line, expected, capsys):
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    assert expected in capsys.readouterr().err


def test_evaluation_of_which_no_bag_can_be_read_ends_with_exit_code_1(tmp_path, capsys):
    bag, out = str(tmp_path / 'none'), str(tmp_path / 'out')
    assert main(['evaluate', '--bag', bag, '--gate', 'dense', '--out', out]) == 1
    assert f'{bag}: not evaluated: expected a rosbag2 folder or file' in capsys.readouterr().err


@dataclass(frozen=True)
class Verb:
    """A verb that ends as it is told."""

    def __call__(self):
        """Raise what the test says."""
        raise self.error


@pytest.mark.parametrize(
    ('error', 'code', 'said'),
    [
        (ChildProcessError('died; the log:\n  last words'), 1, 'died; the log:\n  last words'),
        (ModuleNotFoundError('No module named rclpy', name='rclpy'), 2, 'source a ROS 2 install'),
        (FileNotFoundError('a\nb'), 2, 'vla-cache: a b\n'),
        (ValueError(), 2, 'vla-cache: ValueError\n'),
        (KeyboardInterrupt(), 130, ''),
    ],
)
def test_what_a_verb_raises_is_told_and_counted(error, code, said, monkeypatch, capsys):
    monkeypatch.setattr(cli, '_verb', lambda name: Verb)
    monkeypatch.setattr(Verb, 'error', error, raising=False)
    assert main(['demo']) == code
    assert said in (told := capsys.readouterr().err) and 'Traceback' not in told
    if code == 2:
        monkeypatch.setenv(cli.TRACEBACK_VARIABLE, '1')
        assert main(['demo']) == code and 'Traceback' in capsys.readouterr().err
