# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the guide to extensions shows is run as it stands."""

from dataclasses import replace
import importlib
import re

from bench_samples import observe
import numpy as np
from paths import ROOT
import pytest
from tiny_model import tiny_config
from tiny_model import tiny_statistics
from tiny_model import tiny_tokenizer
from tiny_model import write_checkpoint
from vla_cache_ros.environments import Setup
from vla_cache_ros.evaluation.closed_loop import run_evaluate
from vla_cache_ros.evaluation.settings import ClosedLoop
from vla_cache_ros.policy import Policy
from vla_cache_ros.vla import families
from vla_cache_ros.vla.checkpoint import save_checkpoint
from vla_cache_ros.vla.model import init_model

GUIDE = ROOT / 'docs' / 'extend.md'


def example(heading):
    """Return the first block of Python under a heading."""
    section = GUIDE.read_text(encoding='utf-8').split(f'\n## {heading}\n')[1].split('\n## ')[0]
    return re.search(r'```python\n(.*?)```', section, re.DOTALL)[1]


def test_a_base_model_of_one_file_is_saved_loaded_and_cached(tmp_path, monkeypatch):
    monkeypatch.setattr(families, 'FAMILIES', list(families.FAMILIES))
    code = example('A new base model')
    assert len(code.splitlines()) <= 60
    (tmp_path / 'regression_vla.py').write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module('regression_vla')
    config = replace(tiny_config(causal=True), head=module.RegressionConfig(chunk=3))
    save_checkpoint(tmp_path / 'model', init_model(config), tiny_statistics(), tiny_tokenizer())
    policy, dense = (
        Policy.from_pretrained(tmp_path / 'model', gate=gate) for gate in ('motion', 'dense')
    )
    assert (policy.family, policy.chunk, policy.num_images) == ('regression', 3, 1)
    for step in range(3):
        chunk, report = policy.act(observe(0, 1))
        wanted, _ = dense.act(observe(0, 1))
        assert chunk.normalized == pytest.approx(wanted.normalized, abs=1e-5)
        assert report.reuse == (0.5 if step else 0.0)
    assert chunk.actions.shape == (3, 7) and np.abs(chunk.normalized).max() > 1e-4


def test_an_environment_of_one_file_is_evaluated(tmp_path, monkeypatch, capsys):
    code = example('A new environment')
    assert len(code.splitlines()) <= 60
    (tmp_path / 'my_line.py').write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    model = write_checkpoint(tmp_path / 'model')
    figures = run_evaluate(
        ClosedLoop(checkpoint=str(model), gate='motion', reuse=0.5, episodes=2, env='my_line:make')
    )
    assert figures['env'] == 'my_line:make' and figures['facts'] == {'numpy': np.__version__}
    steps = [episode['steps'] for episode in figures['per_episode']]
    every = figures['execute_steps']
    assert figures['inferences'] == sum(-(-count // every) for count in steps)
    assert 1 <= min(steps) <= max(steps) <= 40
    assert 'my_line:make, numpy' in capsys.readouterr().out

    env = importlib.import_module('my_line').make('', Setup('openvla', 1, 1))
    env.reset(0)
    for _ in range(12):
        env.step(np.array([0.02]))
    assert env.success()
