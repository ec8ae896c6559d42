# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A comparison whose episodes run elsewhere: the folder has the same, and is shared as before."""

from collections import Counter
import json
import multiprocessing

from fake_comparison import CountingWorld
from fake_comparison import FakeGatePolicy
import pytest
from small_cluster import small_cluster
from tiny_model import write_checkpoint
from untimed import untimed
from vla_cache_ros.cli.main import main
from vla_cache_ros.environments.tabletop import environment
from vla_cache_ros.evaluation.comparison.compare import run_compare
from vla_cache_ros.evaluation.comparison.folder import ComparisonFolder
from vla_cache_ros.evaluation.settings import Comparison
from vla_cache_ros.fleet.jobs import Outcome
from vla_cache_ros.policy import Policy


class Turns:
    """Run blocks here, by turns of two pretended processes; give up the seeds in `poison`."""

    processes, status = 2, 'here'

    def __init__(self, poison=()):
        self.poison, self.given = poison, []

    def run(self, job, tasks):
        shared = [job.begin(job.spec) for _ in range(2)]
        for index, block in enumerate(tasks):
            self.given.append(block)
            if block.seed in self.poison:
                yield Outcome(index, error='its process died 3 times')
                continue
            (result,) = job.work(shared[index % 2], block)
            yield Outcome(index, result)


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """Return a checkpoint folder, whose policies are fake."""
    actions = {'random': 0.5}
    monkeypatch.setattr(
        Policy,
        'from_pretrained',
        lambda _, gate='dense', **__: FakeGatePolicy(actions.get(gate, 1.0), gate),
    )
    monkeypatch.setattr(environment, 'make', lambda name, setup: CountingWorld(setup.cameras))
    folder = tmp_path / 'model'
    folder.mkdir()
    (folder / 'model.safetensors').write_bytes(b'1')
    return folder


def compare(out, checkpoint, gates, runner=None, episodes=4, **settings):
    given = {'out': out, 'checkpoint': str(checkpoint), 'episodes': episodes, **settings}
    return run_compare(Comparison(gate=tuple(gates), **given), runner)


def test_figures_are_those_of_episodes_run_here(tmp_path, checkpoint):
    gates = ['dense', 'motion', 'random']
    here = compare(tmp_path / 'here', checkpoint, gates, shadow=2)
    runner = Turns()
    there = compare(tmp_path / 'there', checkpoint, gates, runner, shadow=2)
    assert untimed(there) == untimed(here)
    assert there['entries'][2]['action_error']['episodes'] == 2
    assert there['processes']['total'] == 2  # each with a file of its own, as for its times
    # dense and the others of a seed were timed in one process
    assert there['entries'][1]['latency_ratio']['episodes'] == 4
    # turns are taken in an order that changes
    assert len({tuple(entry.gate for entry in block.entries) for block in runner.given}) > 1


def test_what_is_there_is_not_run_again_wherever_it_ran(tmp_path, checkpoint):
    compare(tmp_path / 'out', checkpoint, ['dense', 'motion'], episodes=2)
    runner = Turns()
    compare(tmp_path / 'out', checkpoint, ['dense', 'motion', 'random'], runner)
    asked = Counter((block.seed, entry.gate) for block in runner.given for entry in block.entries)
    expected = {(seed, 'random') for seed in range(4)}
    expected |= {(seed, gate) for seed in (2, 3) for gate in ('dense', 'motion')}
    assert set(asked) == expected and set(asked.values()) == {1}
    again = Turns()
    compare(tmp_path / 'out', checkpoint, ['dense', 'motion', 'random'], again)
    assert again.given == []


def test_a_seed_that_cannot_be_run_is_told_and_left_for_the_next_time(
    tmp_path, checkpoint, capsys
):
    figures = compare(tmp_path / 'out', checkpoint, ['dense', 'motion'], Turns(poison=[1]))
    assert figures['failed'] == {1: 'its process died 3 times'}
    assert [entry['episodes'] for entry in figures['entries']] == [3, 3]
    assert capsys.readouterr().err.count('seed 1: not run: its process died 3 times') == 1
    rest = Turns()
    assert 'failed' not in compare(tmp_path / 'out', checkpoint, ['dense', 'motion'], rest)
    assert [block.seed for block in rest.given] == [1]


def test_a_label_of_another_definition_is_refused_before_anything_runs(tmp_path, checkpoint):
    compare(tmp_path / 'out', checkpoint, ['x=motion'], episodes=1)
    runner = Turns()
    with pytest.raises(ValueError, match="'x' was run with gate 'motion', not 'random'"):
        compare(tmp_path / 'out', checkpoint, ['x=random'], runner)
    assert runner.given == []


@pytest.mark.slow
def test_seeds_are_claimed_while_they_are_out(tmp_path, checkpoint):
    class Watching(Turns):
        def run(self, job, tasks):
            blocks = list(tasks)  # all handed out at once
            probe.put([block.seed for block in blocks])
            assert held.get(timeout=300) == [False] * 4
            yield from super().run(job, blocks)

    context = multiprocessing.get_context('spawn')
    probe, held = context.Queue(), context.Queue()
    other = context.Process(target=_try_claims, args=(tmp_path / 'out', probe, held))
    other.start()
    compare(tmp_path / 'out', checkpoint, ['dense'], Watching())
    other.join()
    with ComparisonFolder(tmp_path / 'out').claim(0) as mine:
        assert mine


def _try_claims(path, seeds, held):
    """Say which seeds another process could claim."""
    found = []
    wanted = seeds.get(timeout=300)
    folder = ComparisonFolder(path)
    for seed in wanted:
        with folder.claim(seed) as mine:
            found.append(mine)
    held.put(found)


@pytest.mark.slow
def test_a_cluster_compares_as_one_process_does(tmp_path, capsys):
    checkpoint = write_checkpoint(tmp_path / 'model')
    verb = ['compare', '--checkpoint', str(checkpoint), '--env', 'plain_world:make']
    verb += ['--gate', 'dense', '--gate', 'motion', '--reuse', '0.5', '--episodes', '5']
    assert main([*verb, '--out', str(tmp_path / 'here')]) == 0
    with small_cluster() as nodes:
        assert main([*verb, '--out', str(tmp_path / 'far'), '--ray', nodes.address]) == 0
    here, far = (
        json.loads((tmp_path / name / 'compare.json').read_text()) for name in ('here', 'far')
    )
    assert untimed(far) == untimed(here)
    assert far['processes']['total'] == 2 and far['threads'] == [1]
    assert far['entries'][1]['reuse_mean_cached'] == pytest.approx(0.5, abs=0.01)
