# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Every tensor of a gate's training is where the model is: shown on torch's `meta`, without a GPU.

There a tensor has no numbers, and a mix with the CPU's is an error, as on a GPU. What is copied
to the CPU or read off there is zeros and ones.
"""

from dataclasses import replace

from noise_recordings import write_noise
import pytest
from tiny_model import write_checkpoint
import torch
from torch.fx.experimental import _config as shapes
from torch.overrides import TorchFunctionMode
from vla_cache_ros.training import walks
from vla_cache_ros.training.gate import GateTrainer
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.training.run import model_to_train_through
from vla_cache_ros.training.settings import GateTraining

pytestmark = pytest.mark.filterwarnings('ignore:invalid value encountered in divide')


class Reading(TorchFunctionMode):
    """Answer where a tensor without numbers is read."""

    def __init__(self):
        super().__init__()
        self.copied = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        tensor = args[0] if args else None
        if isinstance(tensor, torch.Tensor) and tensor.device.type == 'meta':
            to_cpu = func is torch.Tensor.to and 'cpu' in (*args[1:], *(kwargs or {}).values())
            if func is torch.Tensor.cpu or to_cpu:
                self.copied += 1
                return torch.zeros(tensor.shape, dtype=tensor.dtype)
            if func is torch.Tensor.item:
                return 1.0
            if func is torch.Tensor.__bool__:
                return True
            if func is torch.Tensor.tolist:
                return torch.zeros(tensor.shape, dtype=tensor.dtype).tolist()
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope='module')
def recordings(tmp_path_factory):
    return Recordings([write_noise(tmp_path_factory.mktemp('shards'))], held_out=1)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(walks, 'STREAMS', 2)
    monkeypatch.setattr(walks, 'STEPS', 3)
    with shapes.patch(meta_nonzero_assume_all_nonzero=True):
        yield


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    return str(write_checkpoint(tmp_path_factory.mktemp('model')))


def on_meta(checkpoint):
    vla = model_to_train_through(checkpoint)
    return replace(vla, model=vla.model.to('meta'))


@pytest.mark.parametrize(
    'options',
    [
        {},
        {'loss': 'demonstrations', 'predictor': 'relaxed'},
        {'align': 'attention', 'language': False},
    ],
)
def test_both_stages_run_where_the_model_is(options, checkpoint, recordings, tmp_path):
    training = GateTraining(stage1=1, stage2=3, walks=1, batch=2, **options)
    with Reading() as reading:
        trainer = GateTrainer(on_meta(checkpoint), recordings, tmp_path / 'run', training)
        trainer.train()
    assert {p.device.type for p in trainer.network.parameters()} == {'meta'}
    moments = trainer.loop.optimizer.state_dict()['state'].values()
    assert {m['exp_avg'].device.type for m in moments} == {'meta'}
    assert reading.copied
    assert (tmp_path / 'run' / 'gate' / 'gate.safetensors').exists()


def test_a_tensor_left_behind_is_noticed(checkpoint, recordings, tmp_path):
    with Reading():
        training = GateTraining(stage1=1, walks=1, batch=2)
        trainer = GateTrainer(on_meta(checkpoint), recordings, tmp_path / 'run', training)
        trainer.network.to_empty(device='cpu')
        with pytest.raises(RuntimeError, match='device'):
            trainer.train()
