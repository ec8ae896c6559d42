# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""LeRobot's own factory and loops run our policies, over the wire and in process."""

import json
import os
from pathlib import Path
import socket
import subprocess
import time

from bag_samples import write_bag
from export_samples import exported
from export_samples import plain
from export_samples import PNG
import numpy as np
from paths import ROOT
import pytest

pytest.importorskip('lerobot', reason='needs an environment with LeRobot: make test-lerobot')
pytest.importorskip(
    'lerobot_policy_vla_cache.modeling_vla_cache', reason='needs the plugin: make test-lerobot'
)
OTHER = os.environ.get('VLA_CACHE_PYTHON', '')  # an interpreter with the package's own pins
needs_server = pytest.mark.skipif(
    not OTHER, reason='needs VLA_CACHE_PYTHON, which serves: make test-lerobot'
)
CAMERAS = 'observation.images.front', 'observation.images.wrist'
GATE, REUSE = 'motion', 0.5
ACT = """
import sys
import numpy as np
from vla_cache_ros.policy import Policy
from vla_cache_ros.types import Observation
given = np.load(sys.argv[1])
policy = Policy.from_pretrained('tabletop', sys.argv[3], reuse=float(sys.argv[4]))
chunks = [
    policy.act(Observation((front, wrist), str(given['task']), state))[0].actions
    for front, wrist, state in zip(given['front'], given['wrist'], given['state'])
]
np.save(sys.argv[2], np.stack(chunks))
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Return a data set, the world of these tests."""
    here = tmp_path_factory.mktemp('data')
    exported(write_bag(here / 'bag', plain(seconds=1, size=96)), here / 'out', PNG)
    return here / 'out'


@pytest.fixture(scope='module')
def meta(folder):
    """Return what lerobot knows of it."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset
    from lerobot.utils.import_utils import register_third_party_plugins

    register_third_party_plugins()
    return LeRobotDataset('ours/here', root=folder, video_backend='pyav').meta


@pytest.fixture(scope='module')
def url(tmp_path_factory):
    """Yield where the shipped model is served, in another environment."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    line = [OTHER, '-m', 'vla_cache_ros.cli', 'serve', '--checkpoint', 'tabletop', '--port']
    line += [str(port), '--gate', GATE, '--reuse', str(REUSE), '--sessions', '3']
    log = tmp_path_factory.mktemp('server') / 'log'
    with log.open('w') as out:
        process = subprocess.Popen(line, cwd=ROOT, stdout=out, stderr=out, env=_environment())
        try:
            deadline = time.monotonic() + 120
            while not _listens(port):
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield f'ws://127.0.0.1:{port}'
        finally:
            process.terminate()
            process.wait(30)


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(('127.0.0.1', port)) == 0


def _environment():
    return {**os.environ, 'PYTHONPATH': str(ROOT)}


def observations(folder, count):
    """Return what lerobot's loops give a policy: NumPy arrays by LeRobot's names."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    data = LeRobotDataset('ours/here', root=folder, video_backend='pyav')
    found = []
    for index in range(count):
        item = data[index]
        pictures = {
            name: (item[name].numpy() * 255).round().astype(np.uint8).transpose(1, 2, 0)
            for name in CAMERAS
        }
        found.append({**pictures, 'observation.state': item['observation.state'].numpy()})
    return found, item['task']


def expected(frames, task, tmp_path):
    """Return the chunks that the package's own environment gives along observations."""
    np.savez(
        tmp_path / 'given.npz', task=task,
        front=np.stack([one[CAMERAS[0]] for one in frames]),
        wrist=np.stack([one[CAMERAS[1]] for one in frames]),
        state=np.stack([one['observation.state'] for one in frames]),
    )  # fmt: skip
    line = [OTHER, '-c', ACT, tmp_path / 'given.npz', tmp_path / 'acted.npy', GATE, str(REUSE)]
    subprocess.run(line, cwd=ROOT, env=_environment(), check=True)
    return np.load(tmp_path / 'acted.npy')


def made(meta, **options):
    """Return policy and processors as lerobot's factory makes them."""
    from lerobot.policies.factory import make_policy
    from lerobot.policies.factory import make_policy_config
    from lerobot.policies.factory import make_pre_post_processors

    config = make_policy_config('vla_cache', device='cpu', **options)
    return make_policy(config, ds_meta=meta), *make_pre_post_processors(config)


def step(policy, before, after, observation, task):
    """Return the action [A] of one step of lerobot's loop."""
    from lerobot.common.control_utils import predict_action
    import torch

    device = torch.device('cpu')
    action = predict_action(observation, policy, device, before, after, False, task)
    return action.squeeze(0).numpy()


@needs_server
def test_lerobots_loop_acts_as_the_servers_policy_does(folder, meta, url, tmp_path):
    policy, before, after = made(meta, url=url, n_action_steps=4)
    found, task = observations(folder, 9)
    chunks = expected(found[::4], task, tmp_path)  # the model is asked once a chunk
    for _ in range(2):  # a reset begins anew
        policy.reset()
        for index, observation in enumerate(found):
            action = step(policy, before, after, observation, task)
            assert action.dtype == np.float32
            assert np.allclose(action, chunks[index // 4][index % 4], atol=1e-6)


@needs_server
def test_each_row_of_a_batch_has_a_session_of_its_own(folder, meta, url, tmp_path):
    import torch

    policy, before, _ = made(meta, url=url)
    found, task = observations(folder, 6)
    policy.reset()
    given = []
    for index in range(3):
        pair = [found[index], found[index + 3]]
        batch = {name: torch.from_numpy(np.stack([one[name] for one in pair])) for name in pair[0]}
        for name in CAMERAS:
            batch[name] = batch[name].permute(0, 3, 1, 2).float() / 255
        given.append(policy.predict_action_chunk(before({**batch, 'task': [task, task]})))
    given = torch.stack(given).numpy()
    assert np.allclose(given[:, 0], expected(found[:3], task, tmp_path), atol=1e-6)
    assert np.allclose(given[:, 1], expected(found[3:], task, tmp_path), atol=1e-6)


@needs_server
def test_a_folder_with_a_configuration_makes_the_policy(folder, meta, url, tmp_path):
    from lerobot.configs import PreTrainedConfig
    from lerobot.policies.factory import make_policy

    (tmp_path / 'policy').mkdir()
    options = {'type': 'vla_cache', 'url': url, 'device': 'cpu'}
    (tmp_path / 'policy/config.json').write_text(json.dumps(options))
    config = PreTrainedConfig.from_pretrained(tmp_path / 'policy')
    config.pretrained_path = tmp_path / 'policy'
    policy = make_policy(config, ds_meta=meta)
    policy.save_pretrained(tmp_path / 'saved')
    assert [path.name for path in Path(tmp_path / 'saved').iterdir()] == ['config.json']
    assert PreTrainedConfig.from_pretrained(tmp_path / 'saved').url == url


@needs_server
def test_cameras_that_do_not_fit_are_named_and_sessions_given_back(folder, meta, url):
    # more often than the server has room for
    for _ in range(3):
        with pytest.raises(ValueError, match='expected 2 cameras.*got observation.images.front;'):
            made(meta, url=url, cameras=['observation.images.front'])
        with pytest.raises(ValueError, match='expected 2 cameras.*there are observation'):
            made(meta, url=url, cameras=['observation.images.front', 'observation.images.top'])
        made(meta, url=url)[0].close()


def test_a_place_of_the_model_is_asked_for(meta):
    with pytest.raises(ValueError, match='expected either --policy.url'):
        made(meta)


def test_no_server_is_told_in_one_line(meta):
    with pytest.raises(RuntimeError, match='ws://127.0.0.1:9') as told:
        made(meta, url='ws://127.0.0.1:9')
    assert '\n' not in str(told.value)


@needs_server
def test_in_process_it_acts_as_in_an_environment_of_its_own(folder, meta, tmp_path):
    pytest.importorskip('transformers', reason='a model in this process needs transformers')
    policy, before, after = made(
        meta, checkpoint='tabletop', gate=GATE, reuse=REUSE, n_action_steps=1
    )
    found, task = observations(folder, 3)
    chunks = expected(found, task, tmp_path)
    policy.reset()
    for observation, chunk in zip(found, chunks, strict=True):
        action = step(policy, before, after, observation, task)
        assert np.allclose(action, chunk[0], atol=1e-4)  # another release of torch
