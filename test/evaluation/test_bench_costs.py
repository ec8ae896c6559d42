# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Work is counted right: by hand, and as torch counts the products that really run."""

from bench_samples import costs
from bench_samples import observe
import pytest
from tiny_model import write_checkpoint
from torch.nn.attention import sdpa_kernel
from torch.nn.attention import SDPBackend
from torch.utils.flop_counter import FlopCounterMode
from vla_cache_ros.caching.gates import DenseGate
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.evaluation.bench.costs import StepWork
from vla_cache_ros.evaluation.bench.costs import Work
from vla_cache_ros.evaluation.bench.hf_loop import HFLoop
from vla_cache_ros.evaluation.bench.sampling import make_sample
from vla_cache_ros.evaluation.bench.summary import step_work
from vla_cache_ros.evaluation.bench.variants import GREEDY
from vla_cache_ros.evaluation.bench.variants import Variant
from vla_cache_ros.policy import Policy
from vla_cache_ros.vla.checkpoint import load_checkpoint

# one tower: width 16, 2 blocks of which 1 is used, inner 32, 5 prefix tokens; decoder: width 32,
# inner 48, 4 layers; head 224 -> 32 -> 32 -> 32 -> 7
LINEAR = 4 * 32 * 32 + 3 * 32 * 48


@pytest.fixture(scope='module', params=[False, True], ids=['oft', 'causal'])
def vla(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp('model')
    return load_checkpoint(write_checkpoint(folder, causal=request.param))


def test_a_tower_counts_as_by_hand():
    rows = 100 + 5
    block = rows * (4 * 16 * 16 + 2 * 16 * 32) + 2 * rows * 261 * 16
    assert costs().vision((100, 0)).macs == 100 * 588 * 16 + block


def test_a_decoder_counts_as_by_hand():
    step = StepWork(active=(), visual=200, entering=300, fixed=70, visible=582)
    assert costs().projector(300).macs == 300 * (16 * 32 + 32 * 32)
    prefill = 4 * (270 * LINEAR + 2 * 270 * 582 * 32)
    assert costs().prefill(step).macs == prefill + 8 * 32 + 32 * 32


def test_decoding_counts_as_by_hand():
    step = StepWork((), 256, 256, 20, 276, passes=6)
    assert costs().decode(step).macs == 8 * (224 * 32 + 2 * 32 * 32 + 32 * 7)
    one = 4 * (LINEAR + 2 * (276 + 3.5) * 32) + 32 * 576
    assert costs(causal=True).decode(step).macs == 32 * 576 + 6 * one


def test_bytes_of_a_projector_are_its_weights_inputs_and_outputs():
    wanted = 4 * (16 * 32 + 32 * 32 + 300 * (16 + 32 + 32 + 32))
    assert costs().projector(300).moved == wanted
    assert costs().vision((0, 0)) == Work()


def test_every_pass_reads_the_weights_again():
    def decode(passes, rows):
        return costs(causal=True).decode(StepWork((), 0, 0, 0, 276, passes, rows)).moved

    once = decode(1, 6) - decode(0, 6)
    assert decode(4, 6) - decode(0, 6) == 4 * once
    assert once < 1.6 * (decode(1, 1) - decode(0, 1))


def counted(actor, observation):
    """Return what a step did and the multiply-accumulates that torch saw."""
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:  # the fused kernel is not counted on the CPU
        chunk, report = actor.act(observation)
    return chunk, report, counter.get_total_flops() / 2


def test_the_plain_loop_does_what_is_counted(vla):
    check(Variant('hf', capture=False, decoding=GREEDY), HFLoop(vla), vla, steps=1)


@pytest.mark.parametrize('gate', ['dense', 'motion', 'vla-cache'])
@pytest.mark.parametrize('capture', [False, True])
def test_the_engine_does_what_is_counted(vla, gate, capture):
    variant = Variant(gate, None if gate == 'dense' else 0.4, capture, GREEDY)
    policy = Policy(
        vla, make_gate(gate, variant.reuse, layers=4), capture=capture, decoding=GREEDY
    )
    check(variant, policy, vla, steps=3)


def test_guesses_are_counted_with_the_prefill(vla):
    if vla.config.oft is None:
        check(Variant('dense', decoding='jacobi'), Policy(vla, DenseGate()), vla, 1, rel=0.05)


def check(variant, actor, vla, steps, rel=0.02):
    model = costs(causal=vla.config.oft is None)
    # what is left is rotary tables and, in the causal engine, empty action slots that a mask hides
    rel = rel if vla.config.oft is None and variant.gate != 'hf' else 0.001
    if variant.gate == 'vla-cache' and variant.capture:
        rel = 0.06  # rows are known as their mean over the layers; the last, cheap one has fewer
    cameras = model.layout.cameras
    for step in range(steps):
        observation = observe(step, cameras)
        chunk, report, macs = counted(actor, observation)
        sample = make_sample(vla, observation, 0, step, chunk, report)
        total = sum(model.stages(step_work(variant, sample, model)).values(), Work())
        assert total.macs == pytest.approx(macs, rel=rel), f'step {step}'
