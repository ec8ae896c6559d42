# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""CogACT's head gives what its equations give; a policy with it caches as any other does."""

from bench_samples import observe
from engine_steps import choice
from engine_steps import frames
from engine_steps import nothing
from engine_steps import run
import numpy as np
from paths import DATA
import pytest
from reference_weights import CONDITION
from reference_weights import NOISE
from reference_weights import reference_weights
from tiny_cogact import cogact_config
from tiny_cogact import cogact_model
from tiny_cogact import Equations
from tiny_cogact import write_cogact
import torch
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.caching.gates import RULES
from vla_cache_ros.caching.recording.graphs import Direct
from vla_cache_ros.caching.recording.recorded import RecordedEngine
from vla_cache_ros.policy import Policy
from vla_cache_ros.training.run import model_to_train_through
from vla_cache_ros.vla import dit
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.dit import ddim_times
from vla_cache_ros.vla.dit import finish
from vla_cache_ros.vla.families.cogact import CogactConfig
from vla_cache_ros.vla.files.errors import NonFiniteOutputError
from vla_cache_ros.vla.images import ImagePreprocessor

REFERENCE = DATA / 'cogact_head.npz'
IDS = (*range(1, 24), 29, 2)  # a prompt, its last token the one that is read


@pytest.fixture(scope='module')
def model():
    return cogact_model()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_cogact(tmp_path_factory.mktemp('cogact'))


@pytest.fixture
def unclipped(monkeypatch):
    """Let actions be what was denoised: clipped, those of random weights are mostly equal."""
    monkeypatch.setattr(dit, 'finish', lambda actions: actions)


def derived(head, dtype=torch.float64, **changes):
    """Return actions of the module and of the equations for the same condition and noise."""
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(2, 1, 32, generator=generator)
    noise = torch.randn(2, 5, 7, generator=generator)
    with torch.no_grad():
        found = head.to(dtype).sample(hidden.to(dtype), noise.to(dtype)).double().numpy()
    head.float()
    equations = Equations(head, **changes)
    wanted = [equations(h[0].numpy(), n.numpy()) for h, n in zip(hidden, noise, strict=True)]
    return found, np.stack(wanted)


@pytest.mark.parametrize('dtype, limit', [(torch.float64, 1e-6), (torch.float32, 1e-5)])
def test_the_head_gives_what_the_equations_give(model, dtype, limit):
    found, wanted = derived(model.action_head, dtype)
    assert found.std() > 0.3
    assert np.abs(found - wanted).max() < limit  # angles of time steps are float32 in any case


@pytest.mark.parametrize(
    'change',
    [
        {'guidance': 1.6},
        {'unguided': True},
        {'erf': True},
        {'steps': 20},
        {'train_steps': 101},
        {'offset': 0.0},
        {'eps': 1e-5},
        {'heads': 2},
    ],
    ids=str,
)
def test_one_thing_that_is_wrong_shows(model, change):
    found, wanted = derived(model.action_head, **change)
    assert np.abs(found - wanted).max() > 1e-5


@pytest.mark.parametrize('steps, guidance', [(10, 1.5), (5, 1.5), (10, 1.0)])
def test_the_head_gives_what_the_published_classes_gave(steps, guidance):
    config = CogactConfig(width=24, depth=2, num_heads=3, ddim_steps=steps, guidance=guidance)
    head = config.build(4096)
    shapes = {name: tuple(tensor.shape) for name, tensor in head.state_dict().items()}
    head.load_state_dict(reference_weights(shapes))
    with torch.no_grad():
        found = head.sample(torch.from_numpy(CONDITION), torch.from_numpy(NOISE))[0].numpy()
    with np.load(REFERENCE) as wanted:
        gap = np.abs(found - wanted[f'actions_{steps}_{guidance}']).max()
    assert gap < 1e-5 * max(1, np.abs(found).max())


def test_without_guidance_the_unconditional_pass_is_left_out():
    head = cogact_model(guidance=1.0).action_head
    found, wanted = derived(head, unguided=True)
    assert np.abs(found - wanted).max() < 1e-6


def test_fewer_steps_take_a_wider_stride():
    found, wanted = derived(cogact_model(ddim_steps=5).action_head, steps=5)
    assert np.abs(found - wanted).max() < 1e-6
    assert ddim_times(10) == list(range(0, 100, 10)) and ddim_times(5)[-1] == 80
    with pytest.raises(ValueError, match='ddim_steps: expected a number that a whole stride'):
        ddim_times(60)


def test_actions_are_clipped_and_the_gripper_is_open_or_shut():
    raw = torch.tensor([[-3.0, 0.2, 1.7, 0.5], [0.0, torch.nan, torch.inf, 0.49]])
    first, second = finish(raw).tolist()
    assert first == pytest.approx([-1.0, 0.2, 1.0, 1.0])
    assert np.isnan(second[1]) and second[2] == np.inf and second[3] == 0.0


def test_noise_depends_on_seed_and_step_alone(model):
    head = model.action_head
    assert torch.equal(head.noise(4, 7), head.noise(4, 7))
    drawn = torch.stack([head.noise(*draw) for draw in ((0, 0), (0, 1), (1, 0), (2**40, 0))])
    assert len(drawn.flatten(1).unique(dim=0)) == 4
    many = torch.cat([head.noise(0, step).flatten() for step in range(300)])
    assert abs(many.mean()) < 0.03 and abs(many.std() - 1) < 0.03


def dense(model, pixels, ids, step=0):
    """Return the actions of a whole causal sequence, computed without a cache."""
    values = ImagePreprocessor.for_towers(model.config.towers).normalize(pixels)
    with torch.inference_mode():
        visual = model.project(model.vision_features(values))
        words = model.embed_text(torch.tensor([ids]))
        embeds = torch.cat([words[:, :1], visual, words[:, 1:]], dim=1)
        hidden = model.decode(embeds, torch.arange(embeds.shape[1])[None])
        return model.action_head(hidden[:, -1:], model.action_head.noise(0, step))[0].numpy()


@pytest.mark.parametrize('capture', [False, True])
@pytest.mark.parametrize('decoding', ['greedy', 'jacobi'])
def test_a_step_with_every_slot_active_equals_the_whole_sequence(
    model, capture, decoding, unclipped
):
    engine = SlotEngine(model, capture=capture, decoding=decoding)
    assert engine.layout.actions == 0 and not engine.layout.stop
    first, second = frames(model, 2)
    result = run(engine, first, ids=IDS)
    assert result.normalized.shape == (5, 7) and result.tokens is None and result.passes == 0
    assert np.abs(result.normalized - dense(model, first, IDS)).max() < 1e-5
    run(engine, second, choice(engine, 0.3, 1), ids=IDS)
    result = run(engine, second, ids=IDS)
    assert np.abs(result.normalized - dense(model, second, IDS, step=2)).max() < 1e-5


def test_a_shorter_prompt_moves_what_is_read_and_reuse_of_an_unchanged_image_is_exact(
    model, unclipped
):
    engine = SlotEngine(model)
    (pixels,) = frames(model, 1)
    run(engine, pixels, ids=IDS)
    short = (1, 9, 8, 2)
    result = run(engine, pixels, nothing(engine), ids=short)
    assert result.reuse == 1
    assert np.abs(result.normalized - dense(model, pixels, short, step=1)).max() < 1e-5


def test_recorded_shapes_give_the_same_actions(model, unclipped):
    engine, plain = RecordedEngine(model, recorder=Direct()), SlotEngine(model)
    engine.prepare()
    for step, pixels in enumerate(frames(model, 3)):
        active = choice(engine, 0.4, step) if step else None
        pair = [run(each, pixels, active, ids=IDS).normalized for each in (engine, plain)]
        assert np.abs(pair[0] - pair[1]).max() < 2e-6 * np.abs(pair[0]).max()


def test_the_policy_says_what_it_is_and_unnormalises_by_percentiles(folder):
    policy = Policy.from_pretrained(folder)
    assert (policy.family, policy.num_images, policy.chunk) == ('cogact', 1, 5)
    chunk, _ = policy.act(observe(cameras=1))
    wanted = 0.05 * chunk.normalized[:, :6]
    assert chunk.actions[:, :6] == pytest.approx(wanted, abs=1e-9)
    assert set(chunk.actions[:, 6]) <= {0.0, 1.0}  # the mask leaves it raw
    assert np.abs(chunk.normalized[:, :6]).max() <= 1
    vla = policy._vla
    ids = vla.prompt_ids('Pick up the red cube')
    assert ids[-2:] == [vla.tokenizer.convert_tokens_to_ids('▁'), 2]
    values = vla.images.normalize(np.stack(observe(cameras=1).images))
    assert values.shape == (1, 6, 224, 224)


@pytest.mark.parametrize('name', RULES)
def test_every_gate_walks_the_corridor(folder, name):
    policy = Policy.from_pretrained(folder, gate=name, reuse=0.5)
    reuse = []
    for step in range(3):
        chunk, report = policy.act(observe(step // 2, cameras=1))
        assert np.isfinite(chunk.actions).all() and chunk.actions.shape == (5, 7)
        reuse.append(report.reuse)
    expected = {'dense': [0.0, 0.0], 'every': [1.0, 0.0]}.get(name, [0.5, 0.5])
    assert reuse[1:] == pytest.approx(expected, abs=0.01)
    assert report.passes == 0


def test_episodes_repeat_and_cached_and_dense_ones_share_their_noise(folder):
    def episode(policy):
        policy.reset()
        return np.stack([policy.act(observe(0, 1))[0].normalized for _ in range(3)])

    whole, cached = (Policy.from_pretrained(folder, gate=gate) for gate in ('dense', 'motion'))
    first = episode(whole)
    # several threads may add in another order
    assert np.abs(first - episode(whole)).max() < 1e-5
    assert np.abs(first - episode(cached)).max() < 1e-5
    assert not np.array_equal(first[0], first[1])  # noise is new at every step
    other = Policy.from_pretrained(folder, seed=1)
    assert not np.array_equal(first, episode(other))


def test_a_new_instruction_keeps_the_visual_tokens(folder):
    policy = Policy.from_pretrained(folder, gate='motion', reuse=0.5)
    policy.act(observe(cameras=1))
    _, report = policy.act(observe(instruction='put the cube on the plate', cameras=1))
    assert report.refresh == '' and report.reuse == 0.5


def test_non_finite_actions_are_an_error(folder):
    policy = Policy.from_pretrained(folder)
    policy._vla.model.action_head.net.final_layer.linear.bias.data.fill_(torch.nan)
    with pytest.raises(NonFiniteOutputError):
        policy.act(observe(cameras=1))


def test_the_head_stays_exact_where_the_rest_is_half_as_long(folder):
    vla = load_checkpoint(folder, dtype=torch.bfloat16)
    assert vla.model.action_head.net.x_embedder.linear.weight.dtype == torch.float32
    assert vla.model.projector.fc1.weight.dtype == torch.bfloat16
    chunk, _ = Policy(vla, make_gate('dense')).act(observe(cameras=1))
    assert np.isfinite(chunk.actions).all()


def test_no_gate_is_trained_through_it(folder):
    with pytest.raises(
        ValueError, match='expected an L1 action head, .* found the head of cogact'
    ):
        model_to_train_through(str(folder))


def test_what_the_head_is_asked_for_must_be_possible():
    for change, words in (
        ({'num_heads': 5}, 'num_heads: expected a divisor of the width 24, found 5'),
        ({'guidance': 0.5}, 'guidance: expected 1 to 1000, found 0.5'),
        ({'ddim_steps': 60}, 'cogact.ddim_steps: expected a number'),
        ({'chunk': 0}, 'cogact.chunk: expected 1 to 256, found 0'),
    ):
        with pytest.raises(ValueError, match=words):
            cogact_config(**change)
