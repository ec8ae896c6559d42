# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One-byte weights: close to what they stand for, exact where rows are cut, joined or cached."""

import json

from engine_steps import choice
from engine_steps import contents
from engine_steps import frames
from engine_steps import run
from gpu_frames import read_frames
import numpy as np
import pytest
from tiny_model import tiny_config
from tiny_model import write_checkpoint
import torch
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.recording.graphs import Direct
from vla_cache_ros.caching.recording.recorded import RecordedEngine
from vla_cache_ros.policy import Policy
from vla_cache_ros.vla import device as devices
from vla_cache_ros.vla import fused
from vla_cache_ros.vla import quantized
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import save_checkpoint
from vla_cache_ros.vla.device import check_device
from vla_cache_ros.vla.device import check_dtype
from vla_cache_ros.vla.families.cogact import CogactConfig
from vla_cache_ros.vla.files import memory
from vla_cache_ros.vla.files import weights
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.model import VLAModel
from vla_cache_ros.vla.quantized import FP8
from vla_cache_ros.vla.quantized import linear
from vla_cache_ros.vla.quantized import quantize
from vla_cache_ros.vla.shapes import random_vla
from vla_cache_ros.vla.shapes import SHAPES


@pytest.fixture(scope='module', params=[False, True], ids=['oft', 'causal'])
def folder(request, tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp('light'), causal=request.param)


@pytest.fixture
def pair(folder):
    """Return the same model with float32 and with int8 weights."""
    dtypes = (torch.float32, torch.int8)
    return [load_checkpoint(folder, dtype=dtype).model for dtype in dtypes]


@pytest.fixture(params=['int8', 'converted', 'fp8'])
def held(request, monkeypatch):
    """Return a type of weights, for each way of multiplying by them that a CPU has."""
    if request.param == 'converted':
        monkeypatch.setattr(quantized, '_fast_int8', lambda: False)
    return FP8 if request.param == 'fp8' else torch.int8


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_weight_is_off_by_half_a_step_at_most():
    weight = random(48, 64) * torch.logspace(-3, 2, 48)[:, None]
    found = quantize(weight, torch.int8)
    assert ((found.dequantize() - weight).abs() <= 0.5001 * found.scale[:, None]).all()
    assert torch.allclose(found.scale * 127, weight.abs().amax(1))
    eighth = quantize(weight, FP8)
    relative = (eighth.dequantize() - weight).abs() / weight.abs().clamp(min=1e-3 * 448)
    assert relative.max() <= 2**-4 and torch.allclose(eighth.scale * 448, weight.abs().amax(1))


def test_a_product_is_near_that_of_the_weight(held):
    x, weight, bias = random(40, 64), random(48, 64, seed=1), random(48, seed=2)
    for added in (None, bias, random(40, 48, seed=3)):
        exact = x @ weight.T + (0 if added is None else added)
        found = linear(x, quantize(weight, held), added)
        limit = 0.04 if held == FP8 else 0.015
        assert (found - exact).norm() < limit * exact.norm()


def test_some_outputs_are_those_of_the_whole(held):
    x, weight = random(20, 64), quantize(random(48, 64, seed=1), held)
    assert torch.allclose(linear(x, weight[16:]), linear(x, weight)[:, 16:], atol=1e-6)


def test_a_row_does_not_depend_on_the_rows_beside_it():
    x, weight = random(40, 64) * torch.logspace(-2, 2, 40)[:, None], random(48, 64, seed=1)
    weight = quantize(weight, torch.int8)
    whole = linear(x, weight)
    for rows in ([3], [0, 39], list(range(5, 30))):
        # some CPUs round the product of the two scales otherwise for a few rows than for many
        apart = (linear(x[rows], weight) - whole[rows]).abs().amax(1)
        assert (apart <= 1e-6 * whole[rows].abs().amax(1)).all()


def test_rows_of_zeros_stay_zeros_and_what_is_not_finite_shows():
    x, weight = random(4, 64), quantize(random(48, 64, seed=1), torch.int8)
    x[0], x[1, 5], x[2, 5] = 0, torch.nan, torch.inf
    y = linear(x, weight)
    assert (y[0] == 0).all() and y[3].isfinite().all()
    assert not y[1].isfinite().any() and not y[2].isfinite().any()


def test_large_weights_become_bytes_the_rest_stays(pair):
    model, light = pair
    before = dict(model.named_parameters())
    for name, parameter in light.named_parameters():
        if name.endswith('.scale'):
            continue
        assert parameter.shape == before[name].shape
        if parameter.dtype == torch.int8:
            scale = light.get_parameter(quantized.scale_name(name))
            near = quantized.Quantized(parameter, scale).dequantize()
            assert ((near - before[name]).abs() <= 0.5001 * scale[:, None]).all(), name
        else:
            assert torch.equal(parameter, before[name]), name
            odd = any(n % quantized.MULTIPLE for n in parameter.shape)
            assert parameter.ndim != 2 or odd or 'proprio' in name, name
    actual = sum(parameter.nbytes for parameter in light.parameters())
    assert actual == model.weight_bytes(torch.int8, torch.float32)


def test_actions_on_moving_images_stay_near_those_of_float32(folder):
    model, light = (load_checkpoint(folder, dtype=d).model for d in (torch.float32, torch.int8))
    engines = [SlotEngine(model), SlotEngine(light)]
    differences = []
    for step, pixels in enumerate(frames(model, 4)):
        active = choice(engines[0], 1.0 if step == 0 else 0.3, step)
        one, other = (run(engine, pixels, active) for engine in engines)
        if one.tokens is None:
            differences.append(np.abs(one.normalized - other.normalized).max())
        near = np.abs(contents(engines[0]) - contents(engines[1])).mean()
        assert near < 0.02 * np.abs(contents(engines[0])).mean()
    assert not differences or max(differences) < 0.05


def test_a_trained_model_acts_on_recorded_frames_as_in_float32():
    policies = [Policy.from_pretrained('tabletop', dtype=name) for name in ('float32', 'int8')]
    differences = []
    for observation in read_frames()[0][:6]:
        one, other = (policy.act(observation)[0] for policy in policies)
        differences.append(np.abs(one.normalized - other.normalized))
    assert 0 < np.mean(differences) < 0.005 and np.max(differences) < 0.06


def test_a_cached_step_that_recomputes_everything_is_the_dense_step(pair):
    cached, dense = SlotEngine(pair[1], reuse_towers=False), SlotEngine(pair[1])
    first, second = frames(pair[1], 2)
    run(cached, first)
    one, other = run(cached, second), run(dense, second, refresh='episode_reset')
    assert np.abs(one.normalized - other.normalized).max() < 1e-4
    assert np.abs(contents(cached) - contents(dense)).max() < 1e-2  # of one step of an input


def test_recorded_shapes_and_transformers_layers_give_what_fused_layers_give(pair):
    light = pair[1]
    plain = SlotEngine(light, reuse_towers=False)
    recorded = RecordedEngine(light, reuse_towers=False, recorder=Direct())
    reference = SlotEngine(light, reuse_towers=False, capture=False)
    for step, pixels in enumerate(frames(light, 3)):
        active = choice(plain, (1.0, 0.4, 0.0)[step], step)
        one, two, three = (run(e, pixels, active) for e in (plain, recorded, reference))
        if one.tokens is not None:
            assert np.array_equal(one.tokens, two.tokens)
        else:
            assert np.abs(one.normalized - two.normalized).max() < 2e-3
            assert np.abs(one.normalized - three.normalized).max() < 2e-3


def test_joined_weights_are_held_once(pair):
    first, second = (fused.fuse(pair[1].language_model)[0] for _ in range(2))
    attention = pair[1].language_model.model.layers[0].self_attn
    assert first.qkv.values.data_ptr() == second.qkv.values.data_ptr()
    assert attention.q_proj.weight.data_ptr() == first.qkv.values.data_ptr()
    key = attention.k_proj
    found = first.qkv[first.queries * first.head_dim :][: len(key.weight)]
    assert torch.equal(found.values, key.weight) and torch.equal(found.scale, key.scale)


def test_the_fingerprint_is_of_the_files_whatever_holds_the_weights(folder):
    prints = {load_checkpoint(folder, dtype=d).fingerprint for d in (torch.float32, torch.int8)}
    assert len(prints) == 1


def test_weights_that_another_program_quantised_are_refused_by_name(tmp_path):
    folder = write_checkpoint(tmp_path)
    path = folder / 'config.json'
    raw = json.loads(path.read_text())
    settings = {'quant_method': 'bitsandbytes', 'load_in_4bit': True}
    for changed, key in (
        ({**raw, 'quantization_config': settings}, r'config.json: quantization_config'),
        (
            {**raw, 'text_config': {**raw['text_config'], 'quantization_config': settings}},
            r'config.json: text_config.quantization_config',
        ),
    ):
        path.write_text(json.dumps(changed))
        with pytest.raises(CheckpointError, match=f'{key}: expected none.*dtype int8') as error:
            load_checkpoint(folder)
        assert '\n' not in str(error.value)


def test_int8_weights_are_not_saved_as_if_they_were_floats(pair, tmp_path):
    with pytest.raises(CheckpointError, match='expected float weights to save, got int8'):
        save_checkpoint(tmp_path / 'out', pair[1], {})
    assert not (tmp_path / 'out').exists()


def test_too_little_memory_is_said_before_loading_with_what_each_type_takes(folder, monkeypatch):
    monkeypatch.setattr(memory, 'free_memory', lambda device: {'the host': 1000})
    monkeypatch.setattr(weights, 'collect', lambda *_: pytest.fail('read'))
    wanted = r'expected 0\.00 GB of free memory on the host for weights as int8, found 0\.00 GB '
    with pytest.raises(CheckpointError, match=wanted) as error:
        load_checkpoint(folder, dtype=torch.int8)
    assert all(name in str(error.value) for name in quantized.DTYPES)
    assert '\n' not in str(error.value)
    monkeypatch.setattr(memory, 'free_memory', lambda device: {'cuda:0': 10e9})
    line = r'openvla-7b: expected 15.* GB .* on cuda:0 for weights as bfloat16, found 10.00 GB '
    with pytest.raises(CheckpointError, match=line + r'\(GB for float32 30.*int8 7\.[5-9]'):
        random_vla(SHAPES['openvla-7b'], dtype=torch.bfloat16, name='openvla-7b')


@pytest.mark.parametrize('name', [name for name in SHAPES if name.endswith('7b')])
def test_a_published_size_takes_less_than_nine_gigabytes(name):
    with torch.device('meta'):
        model = VLAModel(SHAPES[name])
    for dtype in (torch.int8, FP8):
        for compute in (torch.float32, torch.bfloat16):
            assert model.weight_bytes(dtype, compute) < 9e9
    assert model.weight_bytes(torch.bfloat16, torch.bfloat16) > 15e9


@pytest.mark.parametrize('causal', [False, True], ids=['oft', 'causal'])
def test_random_weights_of_bytes_act_as_those_of_floats(causal):
    config = tiny_config(causal)
    found = [random_vla(config, dtype=d).model for d in (torch.float32, torch.int8)]
    (pixels,) = frames(found[0], 1)
    one, other = (run(SlotEngine(model), pixels) for model in found)
    assert np.isfinite(other.normalized).all()
    names = dict(found[0].named_parameters())
    for name, parameter in found[1].named_parameters():
        if parameter.dtype == torch.int8:
            scale = found[1].get_parameter(quantized.scale_name(name))
            near = quantized.Quantized(parameter, scale).dequantize()
            assert (near - names[name]).abs().max() <= 0.5001 * scale.max()


def test_a_head_that_denoises_stays_exact():
    with torch.device('meta'):
        config = SHAPES['cogact-7b']
        model = VLAModel(config)
    assert isinstance(config.head, CogactConfig)
    light = model.light_weights(torch.int8)
    assert not any(name.startswith('action_head') for name in light)
    assert 'projector.fc2.weight' in light and 'language_model.lm_head.weight' in light


def test_fp8_is_refused_in_one_line_where_nothing_multiplies_it(folder, monkeypatch):
    with pytest.raises(ValueError, match=r'dtype: expected .* int8 on cpu \(fp8 .* 8\.9') as error:
        Policy.from_pretrained(str(folder), dtype='fp8')
    assert '\n' not in str(error.value)
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: (8, 6))
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device: 'A Card')
    with pytest.raises(ValueError, match=r"on cuda:0 .*A Card, which has 8\.6\), got 'fp8'"):
        check_dtype(FP8, 'cuda:0')
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: (9, 0))
    check_dtype(FP8, 'cuda:0')


def test_a_missing_gpu_is_explained_by_build_driver_or_card(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch.backends.cuda, 'is_built', lambda: False)
    with pytest.raises(ValueError, match=r'expected cpu .*built without CUDA\), got .cuda'):
        check_device('cuda')

    def fail():
        raise RuntimeError(
            'The NVIDIA driver on your system is too old (found version 11040). Please update\n'
            'your GPU driver by downloading and installing a new version'
        )

    monkeypatch.setattr(torch.backends.cuda, 'is_built', lambda: True)
    monkeypatch.setattr(torch.cuda, 'init', fail)
    with pytest.raises(ValueError, match=r'too old \(found version 11040\)\), got') as error:
        check_device('cuda')
    assert '\n' not in str(error.value) and 'Please' not in str(error.value)
    monkeypatch.setattr(devices.torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(devices.torch.cuda, 'device_count', lambda: 1)
    with pytest.raises(ValueError, match=r"cuda:N with N below 1, got 'cuda:3'"):
        check_device('cuda:3')
    check_device('cuda:0')
