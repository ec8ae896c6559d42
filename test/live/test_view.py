# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rerun is shown what a policy sees, says and commands; --view takes a file or none."""

import time

import numpy as np
import psutil
import pytest
from ros_graph import domain
from std_srvs.srv import SetBool
from vla_cache_ros.cli.main import parse


@pytest.mark.parametrize(
    ('words', 'view'), [([], None), (['--view'], ''), (['--view', 'run.rrd'], 'run.rrd')]
)
def test_view_takes_a_file_or_none(words, view):
    assert parse(['record', *words, '--out', 'bag']).view == view
    assert parse(['demo', *words]).view == view


def test_view_of_two_files_is_refused(capsys):
    with pytest.raises(SystemExit):
        parse(['demo', '--view', 'one.rrd', 'another.rrd'])
    assert 'expected one file or none, got 2' in ' '.join(capsys.readouterr().err.split())


def children(word):
    """Return this process's children whose command has a word."""
    return [one for one in psutil.Process().children() if word in one.cmdline()]


@pytest.fixture
def module():
    """Return the module, where Rerun is installed."""
    pytest.importorskip('rerun')
    from vla_cache_ros.live import view

    return view


def test_pictures_path_figures_commands_and_stops_are_logged(module, graph, monkeypatch, tmp_path):
    logged, log = {}, module.View._log

    def note(view, stamp, entity, what):
        logged.setdefault(entity, []).append((stamp, what))
        log(view, stamp, entity, what)

    def values(entity):
        return [what.scalars.as_arrow_array().to_pylist() for _, what in logged.get(entity, [])]

    monkeypatch.setattr(module.View, '_log', note)
    path = tmp_path / 'run.rrd'
    with graph.another(module.View, parameters={'path': str(path)}) as view:
        graph.healthy_start('push the cube')
        report, twist = '/vla_node/step_report', '/delta_twist_cmds'
        entities = {
            '/image_raw', '/wrist/image_raw', '/vla_node/overlay/image_raw/compressed',
            '/vla_node/overlay/wrist/image_raw/compressed', f'{report}/reuse', f'{report}/act_ms',
            f'{report}/image_to_command_ms', f'{twist}/angular', '/gripper/commands',
        }  # fmt: skip
        assert graph.wait(lambda: entities <= logged.keys())
        assert graph.wait(lambda: any(any(one) for one in values(f'{twist}/linear')))
        assert [0.1, 0, -0.2] in [list(np.round(v, 9)) for v in values(f'{twist}/linear')]
        assert values(f'{report}/reuse')[0] == [0.5]
        if '/vla_node/chunk' in view._topics:
            assert graph.wait(lambda: '/vla_node/chunk' in logged)
        assert graph.call(SetBool, 'vla_node/pause', SetBool.Request(data=True)).success

        def words(entity):
            return [
                what.text.as_arrow_array().to_pylist()[0] for _, what in logged.get(entity, [])
            ]

        assert words(f'{report}/instruction') == ['instruction: push the cube']
        assert graph.wait(
            lambda: words('/diagnostics/stop_causes')[-1:] == ['stop causes: paused']
        )
    assert path.stat().st_size > 10_000


def test_view_beside_a_recording_ends_with_it(module, tmp_path):
    path = tmp_path / 'run.rrd'
    with domain():
        with module.viewing(str(path)):
            (process,) = children(module.MODULE)
            deadline = time.monotonic() + 20
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            assert path.exists()
        assert not process.is_running()


def test_file_that_cannot_be_written_is_a_mistake_of_the_user(module, graph, tmp_path):
    path = tmp_path / 'none' / 'run.rrd'
    with (
        pytest.raises(ValueError, match=f'view: expected to open {path}'),
        graph.another(module.View, parameters={'path': str(path)}),
    ):
        pass
