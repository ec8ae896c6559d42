# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Hold the learned gates to their budget, and their folder to the model it was made for."""

import json

from fake_cache import FakeCache
import numpy as np
import pytest
from safetensors.torch import load_file
from safetensors.torch import save_file
from test_motion_input import view
from tiny_model import write_checkpoint
import torch
from vla_cache_ros import policy as policy_module
from vla_cache_ros.caching.gates import gate_folder
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.caching.gates.gate_folder import load_gate_folder
from vla_cache_ros.caching.gates.gate_folder import save_gate
from vla_cache_ros.caching.gates.gate_folder import SavedGate
from vla_cache_ros.caching.gates.learned import LearnedGate
from vla_cache_ros.caching.gates.network import GateConfig
from vla_cache_ros.caching.gates.network import GateNetwork
from vla_cache_ros.caching.selection import budget_size
from vla_cache_ros.policy import Policy
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.errors import CheckpointError

NAMES = ['learned', 'learned-fixed']
CALIBRATION = {0.2: -8.0, 0.5: 0.0, 0.9: 8.0}
FINGERPRINT = 'abc'


def network(seed=0, **sizes):
    """Return a network whose scores and ratios depend on what it sees."""
    torch.manual_seed(seed)
    made = GateNetwork(GateConfig(**{'width': 16, 'depth': 2, **sizes}))
    torch.nn.init.normal_(made.selector.weight, std=0.5)
    torch.nn.init.normal_(made.predictor[-1].weight, std=4.0)
    return made.eval()


def saved(seed=0, **sizes):
    return SavedGate(network(seed, **sizes), CALIBRATION, 0.5, {})


def write_gate(folder, made=None, fingerprint=FINGERPRINT):
    save_gate(
        folder,
        made or network(),
        fingerprint=fingerprint,
        calibration=CALIBRATION,
        default_reuse=0.5,
        training={'updates': 3},
    )
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_gate(tmp_path / 'gate')


def gate_of(name, folder, **arguments):
    return make_gate(name, folder=folder, fingerprint=FINGERPRINT, cameras=2, **arguments)


def frames(count):
    """Return the images of an episode that moves, by a little more at every step."""
    return [view(i * (i + 1) // 2, i) for i in range(count)]


def play(gate, count=6):
    """Return the plans of an episode, the first of them full."""
    cache, plans = FakeCache(), []
    for frame in frames(count):
        plans.append(gate.plan(frame, cache))
        cache.apply(frame, plans[-1])
    return plans


def inputs(batch=1, cameras=2, seed=0):
    return torch.rand(batch, cameras, 7, 112, 112, generator=torch.manual_seed(seed)) * 2 - 1


# The network


@pytest.mark.parametrize('sizes', [{}, {'cameras': 3}, {'language_dim': 4096}])
def test_network_has_less_than_a_million_parameters_and_three_parts_to_freeze(sizes):
    made = GateNetwork(GateConfig(**sizes))
    assert sum(p.numel() for p in made.parameters()) < 1_000_000
    parts = {name.split('.')[0] for name, _ in made.named_parameters()}
    assert parts == {'trunk', 'selector', 'predictor'}


def test_network_gives_a_logit_a_token_and_one_a_ratio_undecided_at_first():
    made = GateNetwork(GateConfig())
    scores, ratios = made(inputs(3))
    assert scores.shape == (3, 512) and ratios.shape == (3, 6)
    assert scores.abs().max() < 0.1 and ratios.abs().max() < 0.1


def test_a_batch_and_its_cameras_do_not_mix():
    made, batch = network(), inputs(3)
    scores, ratios = made(batch)
    for index in range(3):
        one, ratio = made(batch[index : index + 1])
        assert torch.allclose(one[0], scores[index], atol=1e-5)
        assert torch.allclose(ratio[0], ratios[index], atol=1e-4)
    other = batch.clone()
    other[:, 1] = inputs(3, seed=1)[:, 1]
    changed, _ = made(other)
    assert torch.allclose(changed[:, :256], scores[:, :256], atol=1e-5)
    assert not torch.allclose(changed[:, 256:], scores[:, 256:], atol=1e-2)


def test_cameras_are_computed_alike_up_to_their_embedding():
    made, batch = network(), inputs()
    scores, ratios = made(batch)
    made.trunk.camera.data = made.trunk.camera.data.flip(0)
    swapped, same = made(batch.flip(1))
    assert torch.allclose(swapped[0].view(2, 256).flip(0).flatten(), scores[0], atol=1e-5)
    assert torch.allclose(same, ratios, atol=1e-4)


def test_training_and_inference_compute_the_same_and_every_parameter_learns():
    made, batch = network(), inputs(2)
    expected = made(batch)[0]
    scores, ratios = made.train()(batch)
    assert torch.equal(scores, expected)
    (scores.square().mean() + ratios.square().mean()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_a_token_is_scored_from_its_own_place():
    made, batch = network(depth=0), inputs()
    changed = batch.clone()
    changed[0, 1, :, 21:28, 35:42] += 1  # second camera, row 3, column 5
    moved = (made(changed)[0] - made(batch)[0])[0].abs() > 1e-6
    assert moved.nonzero()[:, 0].tolist() == [256 + 3 * 16 + 5]


def test_language_starts_without_effect_and_then_shifts_the_scores():
    made, batch = network(language_dim=8), inputs()
    words = torch.arange(8.0)[None]
    blind = made(batch, words)[0]
    assert torch.equal(blind, made(batch, -words)[0])
    torch.nn.init.normal_(made.trunk.film.weight)
    assert not torch.allclose(made(batch, words)[0], made(batch, -words)[0], atol=1e-2)
    scaled = made(batch, 1e-2 * words)[0]  # embeddings differ in scale from model to model
    assert torch.allclose(scaled, made(batch, words)[0], atol=1e-1)


@pytest.mark.parametrize(
    'sizes, given, message',
    [
        ({}, (inputs(cameras=1),), 'gate inputs: expected [1, 2, 7, 112, 112], found [1, 1,'),
        ({}, (inputs(), torch.zeros(1, 8)), 'gate language: expected None, found [1, 8]'),
        ({'language_dim': 8}, (inputs(),), 'gate language: expected [1, 8], found None'),
    ],
)
def test_network_refuses_inputs_of_another_shape(sizes, given, message):
    with pytest.raises(ValueError, match='expected') as error:
        network(**sizes)(*given)
    assert message in str(error.value)


@pytest.mark.parametrize(
    'field, value',
    [
        ('cameras', 0),
        ('width', 10**9),
        ('depth', -1),
        ('width', 4.5),
        ('language_dim', True),
        ('ratios', ()),
        ('ratios', (0.0, 0.5, 0.5)),
        ('ratios', (0.5, 1.5)),
        ('ratios', (float('nan'),)),
    ],
)
def test_sizes_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f'{field}: expected'):
        GateConfig(**{field: value})


# The gates


@pytest.mark.parametrize('name', NAMES)
def test_an_invalid_cache_gets_a_full_plan_that_says_why(name, folder):
    gate, cache = gate_of(name, folder), FakeCache()
    plan = gate.plan(view(), cache)
    assert plan.active.shape == (512,) and plan.active.all() and plan.refresh == 'first_step'
    cache.apply(view(), plan)
    assert not gate.plan(view(), cache).refresh
    cache.invalidate('gap_too_long')
    assert (
        gate.plan(255 * (view() < 128).astype(np.uint8), cache).refresh == 'gap_too_long'
    )  # and no cut
    assert gate.ratio == 0


@pytest.mark.parametrize('reuse', [0.0, 0.3, 0.7, 0.95])
def test_the_fixed_gate_recomputes_exactly_the_budget(folder, reuse):
    plans = play(gate_of('learned-fixed', folder, reuse=reuse))
    assert [int(plan.active.sum()) for plan in plans[1:]] == [round(512 * (1 - reuse))] * 5
    assert plans[0].refresh and not any(plan.refresh for plan in plans[1:])


@pytest.mark.parametrize('reuse', [0.2, 0.5, 0.9])
def test_the_learned_gate_recomputes_exactly_what_its_ratio_leaves(folder, reuse):
    gate, cache = gate_of('learned', folder, reuse=reuse), FakeCache()
    for index, frame in enumerate(frames(6)):
        plan = gate.plan(frame, cache)
        cache.apply(frame, plan)
        if index:
            assert gate.ratio in GateConfig().ratios
            assert plan.active.sum() == budget_size(512, gate.ratio, gate.max_age)
            assert gate.probabilities.sum() == pytest.approx(1)
            assert GateConfig().ratios[gate.probabilities.argmax()] == gate.ratio
        else:
            assert gate.ratio == 0 and gate.probabilities is None


@pytest.mark.parametrize('name', NAMES)
def test_plans_carry_scores_and_take_the_highest(name, folder):
    gate = gate_of(name, folder, reuse=0.5, max_age=10**6, recovery=0)
    for plan in play(gate)[1:]:
        scores = plan.scores
        assert scores.dtype == np.float32 and scores.shape == (512,)
        assert scores.min() >= 0 and scores.max() <= 1 and np.ptp(scores) > 0.01
        if not plan.active.all():
            assert scores[plan.active].min() >= scores[~plan.active].max()


def test_no_token_is_reused_beyond_the_maximum_age(folder):
    gate, cache = gate_of('learned', folder, reuse=0.9, max_age=5, recovery=0), FakeCache()
    oldest = 0
    for step in range(20):
        frame = view(step % 3, 0)
        ages = cache.ages().copy()
        reused = ~cache.apply(frame, gate.plan(frame, cache))
        oldest = max(oldest, ages[reused].max(initial=0))
    assert 0 < oldest <= 5


def test_a_higher_requested_reuse_never_lowers_the_chosen_ratio():
    logits = np.random.default_rng(0).normal(0, 3, (200, 6))
    requests = np.linspace(0.2, 0.9, 15)
    gates = [LearnedGate(saved(), reuse) for reuse in requests]
    chosen = np.array([[gate.choose_ratio(row) for row in logits] for gate in gates])
    assert (np.diff(chosen, axis=0) >= 0).all()
    assert chosen[0].mean() < 0.35 < 0.7 < chosen[-1].mean()
    assert [gate.bias for gate in gates] == sorted(gate.bias for gate in gates)


def test_bias_is_interpolated_and_the_default_is_used_where_nobody_asks():
    assert LearnedGate(saved(), 0.7).bias == pytest.approx(4)
    assert LearnedGate(saved()).bias == 0 and LearnedGate(saved()).reuse == 0.5


@pytest.mark.parametrize('reuse', [0.1, 0.95])
def test_a_reuse_outside_the_calibration_is_refused_with_its_range(folder, reuse):
    with pytest.raises(ValueError, match=f'reuse: expected 0.2 to 0.9, .* found {reuse}'):
        gate_of('learned', folder, reuse=reuse)
    assert gate_of('learned-fixed', folder, reuse=reuse).reuse == reuse


@pytest.mark.parametrize('name', NAMES)
def test_the_same_episode_gives_the_same_plans(name, folder):
    gate = gate_of(name, folder, reuse=0.7, seed=3)
    first = np.stack([plan.active for plan in play(gate)])
    gate.reset()
    assert np.array_equal(first, np.stack([plan.active for plan in play(gate)]))
    again = gate_of(name, folder, reuse=0.7, seed=3)
    assert np.array_equal(first, np.stack([plan.active for plan in play(again)]))
    other = gate_of('learned-fixed', folder, reuse=0.7, seed=4)
    assert not np.array_equal(first, np.stack([plan.active for plan in play(other)]))


@pytest.mark.parametrize('name', NAMES)
def test_a_camera_cut_is_a_named_full_step_and_the_next_is_not(name, folder):
    gate, cache = gate_of(name, folder, reuse=0.8), FakeCache()
    cut = view()
    cut[1] = 255 * (cut[1] < 128)  # one camera is enough
    refreshes = []
    for frame in (view(), view(), cut, cut):
        plan = gate.plan(frame, cache)
        refreshes.append(plan.refresh)
        assert plan.active.all() or not plan.refresh
        cache.apply(frame, plan)
    assert refreshes == ['first_step', '', 'camera_cut', '']


def test_another_number_of_cameras_is_refused(folder):
    with pytest.raises(ValueError, match='images: expected 2 cameras, found 1'):
        gate_of('learned', folder).plan(view()[:1], FakeCache(256))


def test_an_instruction_reaches_the_scores_and_has_to_come_first():
    made = saved(language_dim=8)
    torch.nn.init.normal_(made.network.trunk.film.weight)

    def scores(words):
        gate = LearnedGate(made)
        if words is not None:
            gate.instruct(words)
        return play(gate, 2)[1].scores

    assert not np.allclose(scores(torch.arange(8.0)), scores(-torch.arange(8.0)), atol=1e-3)
    with pytest.raises(ValueError, match='gate language: expected'):
        scores(None)
    with pytest.raises(ValueError, match=r'expected \[8\], found \[9\]'):
        scores(torch.zeros(9))


@pytest.mark.parametrize('fails', [False, True])
def test_a_plan_leaves_the_number_of_threads_as_it_was(folder, monkeypatch, fails):
    gate, before, within = gate_of('learned', folder), torch.get_num_threads(), []
    forward = GateNetwork.forward

    def watched(*arguments):
        within.append(torch.get_num_threads())
        if fails:
            raise RuntimeError('failed')
        return forward(*arguments)

    monkeypatch.setattr(GateNetwork, 'forward', watched)
    torch.set_num_threads(2)
    try:
        if fails:
            with pytest.raises(RuntimeError, match='failed'):
                play(gate, 2)
        else:
            play(gate, 2)
        assert within == [1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# The folder


@pytest.mark.parametrize('language_dim', [0, 8])
def test_a_saved_gate_comes_back_with_the_same_scores(tmp_path, language_dim):
    made = network(language_dim=language_dim)
    loaded = load_gate_folder(write_gate(tmp_path, made), fingerprint=FINGERPRINT, cameras=2)
    assert loaded.network.config == made.config and not loaded.network.training
    assert not any(p.requires_grad for p in loaded.network.parameters())
    assert loaded.calibration == CALIBRATION and loaded.default_reuse == 0.5
    assert loaded.training == {'updates': 3}
    language = torch.arange(8.0)[None] if language_dim else None
    pairs = zip(made(inputs(), language), loaded.network(inputs(), language), strict=True)
    assert all(torch.allclose(*pair, atol=1e-4) for pair in pairs)
    again = write_gate(tmp_path / 'again', loaded.network)
    state = load_file(again / 'gate.safetensors')
    assert all(torch.equal(state[k], v) for k, v in made.state_dict().items())


def test_the_description_says_what_the_gate_was_made_for(folder):
    content = json.loads((folder / 'gate.json').read_text())
    assert content['format'] == 1 and content['model_fingerprint'] == FINGERPRINT
    assert (content['cameras'], content['tokens']) == (2, 512)
    assert content['calibration'] == {'0.2': -8.0, '0.5': 0.0, '0.9': 8.0}
    assert {path.name for path in folder.iterdir()} == {'gate.json', 'gate.safetensors'}


def edit(**changes):
    """Return a damage: change these keys of gate.json, or delete those that are None."""

    def damage(folder):
        path = folder / 'gate.json'
        content = json.loads(path.read_text())
        for key, value in changes.items():
            place, _, inner = key.partition('__')
            target = content[place] if inner else content
            target[inner or place] = value
            if value is None:
                del target[inner or place]
        path.write_text(json.dumps(content))

    return damage


def reweigh(change):
    """Return a damage: change the tensors of gate.safetensors."""

    def damage(folder):
        state = load_file(folder / 'gate.safetensors')
        change(state)
        save_file(state, folder / 'gate.safetensors')

    return damage


REFUSALS = {
    'no description': (lambda f: (f / 'gate.json').unlink(), 'expected the file'),
    'no weights': (lambda f: (f / 'gate.safetensors').unlink(), 'expected the file'),
    'broken JSON': (lambda f: (f / 'gate.json').write_text('{"form'), 'expected JSON'),
    'a list': (lambda f: (f / 'gate.json').write_text('[]'), 'expected an object, found list'),
    'no format': (edit(format=None), 'expected format 1, found None'),
    'other format': (edit(format=2), 'expected format 1, found 2'),
    'missing key': (edit(calibration=None), "missing ['calibration']"),
    'other cameras': (edit(cameras=1), 'number of cameras: expected 2, found 1'),
    'other tokens': (edit(tokens=392), 'number of tokens: expected 512, found 392'),
    'cameras within': (edit(config__cameras=1), 'config.cameras: expected 2, found 1'),
    'other model': (edit(model_fingerprint='def'), "fingerprint abc, found 'def'"),
    'config a number': (edit(config=3), 'config: expected an object, found int'),
    'unknown size': (edit(config__heads=3), "unexpected keyword argument 'heads'"),
    'width of text': (edit(config__width='16'), "width: expected 1 to 1024, found '16'"),
    'huge width': (edit(config__width=10**9), 'width: expected 1 to 1024, found 1000000000'),
    'falling ratios': (edit(config__ratios=[0.5, 0.2]), 'ratios: expected shares'),
    'ratio of text': (edit(config__ratios=['a']), "ratios: expected a number, found 'a'"),
    'no calibration': (edit(calibration={}), 'calibration: expected a finite bias'),
    'infinite bias': (edit(calibration={'0.5': float('inf')}), 'calibration: expected a finite'),
    'bias of text': (edit(calibration={'0.5': 'a'}), "bias: expected a number, found 'a'"),
    'reuse of text': (edit(calibration={'half': 1}), 'could not convert'),
    'reuse above one': (edit(calibration={'1.5': 1}), 'at least one reuse from 0 to 1'),
    'falling bias': (edit(calibration={'0.2': 1, '0.6': 0}), 'expected no bias to fall'),
    'default outside': (edit(default_reuse=0.95), 'default_reuse: expected 0.2 to 0.9'),
    'NaN default': (edit(default_reuse=float('nan')), 'default_reuse: expected 0.2 to 0.9'),
    'other width': (
        edit(config__width=24),
        'selector.weight expected [1, 24, 1, 1] found [1, 16, 1, 1]',
    ),
    'missing tensor': (reweigh(lambda s: s.pop('selector.bias')), 'missing: selector.bias'),
    'surplus tensor': (
        reweigh(lambda s: s.update(extra=torch.zeros(1))),
        'surplus: extra',
    ),
    'misshapen tensor': (
        reweigh(lambda s: s.update({'selector.bias': torch.zeros(2)})),
        'misshapen: selector.bias expected [1] found [2]',
    ),
    'NaN weight': (
        reweigh(lambda s: s['trunk.stem.weight'].view(-1)[5:6].fill_(torch.nan)),
        "found NaN or infinity in ['trunk.stem.weight']",
    ),
    'truncated weights': (
        lambda f: (f / 'gate.safetensors').write_bytes(
            (f / 'gate.safetensors').read_bytes()[:-100]
        ),
        'expected a complete safetensors file',
    ),
}


@pytest.mark.parametrize('case', REFUSALS)
def test_a_folder_that_does_not_fit_is_refused_in_one_line_that_names_the_fault(folder, case):
    damage, message = REFUSALS[case]
    damage(folder)
    with pytest.raises(CheckpointError) as error:
        gate_of('learned', folder)
    text = str(error.value)
    assert message in text and '\n' not in text and str(folder) in text


def test_no_folder_says_how_to_get_one(tmp_path):
    advice = 'checkpoint has no gate folder: train one with `vla-cache train gate`'
    for missing in (None, tmp_path / 'gate'):
        with pytest.raises(ValueError, match=advice):
            gate_of('learned', missing)


def test_nothing_out_of_range_is_saved(tmp_path):
    with pytest.raises(ValueError, match='default_reuse: expected 0.4 to 0.4'):
        save_gate(
            tmp_path / 'gate',
            network(),
            fingerprint='',
            calibration={0.4: 1},
            default_reuse=0.6,
            training={},
        )
    assert not (tmp_path / 'gate').exists()


@pytest.mark.parametrize('writes', [0, 1])
def test_an_interrupted_save_leaves_the_old_gate_or_none_never_a_mixture(
    folder, monkeypatch, writes
):
    replace_file, done = gate_folder.os.replace, []

    def interrupted(*paths):
        if len(done) == writes:
            raise KeyboardInterrupt
        done.append(replace_file(*paths))

    monkeypatch.setattr(gate_folder.os, 'replace', interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_gate(folder, network(1))
    with pytest.raises(CheckpointError, match=r'expected the file .*gate\.json'):
        gate_of('learned', folder)
    monkeypatch.undo()
    write_gate(folder, network(1))
    expected = network(1).state_dict()
    assert torch.equal(gate_of('learned', folder)._network.trunk.camera, expected['trunk.camera'])


def test_a_save_that_fails_while_writing_keeps_the_old_gate(folder):
    with pytest.raises(TypeError, match='serializable'):
        save_gate(
            folder,
            network(1),
            fingerprint=FINGERPRINT,
            calibration=CALIBRATION,
            default_reuse=0.5,
            training={'module': network},
        )
    old = network().state_dict()['trunk.camera']
    assert torch.equal(gate_of('learned', folder)._network.trunk.camera, old)


# The policy


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    made = write_checkpoint(tmp_path_factory.mktemp('model'))
    write_gate(made / 'gate', fingerprint=load_checkpoint(made).fingerprint)
    return made


def observe(step=0, instruction='pick up the red cube'):
    return Observation(tuple(view(2 * step, 0)), instruction, np.zeros(8, np.float32))


@pytest.mark.parametrize('name', NAMES)
def test_learned_gates_walk_the_corridor(checkpoint, name):
    policy = Policy.from_pretrained(checkpoint, gate=name, reuse=0.5)
    reports = [policy.act(observe(step))[1] for step in range(4)]
    assert [report.gate for report in reports] == [name] * 4
    assert [report.refresh for report in reports] == ['first_step', '', '', '']
    if name == 'learned-fixed':
        assert [report.reuse for report in reports[1:]] == [0.5] * 3
    else:
        assert policy.gate.bias == 0


def test_a_gate_may_come_from_another_folder(checkpoint, tmp_path):
    fingerprint = load_checkpoint(checkpoint).fingerprint
    other = write_gate(tmp_path / 'other', network(7), fingerprint)
    policy = Policy.from_pretrained(checkpoint, gate=f'learned@{other}')
    assert torch.equal(policy.gate._network.trunk.camera, network(7).trunk.camera)


@pytest.mark.parametrize(
    'gate, reuse, message',
    [
        ('lerned', 0.5, 'gate: expected one of dense, random, motion, vla-cache, learned, learn'),
        ('learned', 1.5, 'reuse: expected a share from 0 to 1, got 1.5'),
        ('motion@/tmp', 0.5, "'name@folder', got 'motion@/tmp'"),
        ('learned@', 0.5, "'name@folder', got 'learned@'"),
        ('learned@/none', 0.5, '/none: checkpoint has no gate folder: train one with'),
        ('learned', 0.5, 'gate: checkpoint has no gate folder: train one with'),
    ],
)
def test_what_is_wrong_with_a_gate_shows_before_the_model_is_loaded(
    tmp_path, monkeypatch, gate, reuse, message
):
    def load(*arguments, **keywords):
        raise AssertionError('loaded')

    monkeypatch.setattr(policy_module, 'load_checkpoint', load)
    with pytest.raises(ValueError, match='gate|reuse') as error:
        Policy.from_pretrained(tmp_path, gate=gate, reuse=reuse)
    assert message in str(error.value)


def test_a_gate_of_a_model_that_was_trained_further_is_refused(tmp_path):
    before = load_checkpoint(write_checkpoint(tmp_path)).fingerprint
    write_gate(tmp_path / 'gate', fingerprint=before)
    assert load_checkpoint(tmp_path).fingerprint == before
    Policy.from_pretrained(tmp_path, gate='learned')
    write_checkpoint(tmp_path, seed=1)
    after = load_checkpoint(tmp_path).fingerprint
    with pytest.raises(CheckpointError, match=f'fingerprint {after}, found .{before}'):
        Policy.from_pretrained(tmp_path, gate='learned')


@pytest.mark.parametrize('file', ['model.safetensors', 'heads.safetensors'])
def test_a_single_weight_changes_the_fingerprint(tmp_path, file):
    before = load_checkpoint(write_checkpoint(tmp_path)).fingerprint
    state = load_file(tmp_path / file)
    state[sorted(state)[0]].view(-1)[:1] += 1
    save_file(state, tmp_path / file, metadata={'format': 'pt'})
    assert load_checkpoint(tmp_path).fingerprint != before


def test_a_gate_that_sees_language_is_told_every_new_instruction(checkpoint):
    vla = load_checkpoint(checkpoint)
    told = []

    class Listener(LearnedGate):
        def instruct(self, embedding):
            told.append(embedding)
            super().instruct(embedding)

    policy = Policy(vla, Listener(saved(language_dim=vla.config.hidden_dim)))
    for step, instruction in enumerate(['pick up the cube'] * 2 + ['put on green plate'] * 2):
        policy.act(observe(step, instruction))
    assert len(told) == 2 and not torch.equal(*told)
    ids = torch.tensor(vla.prompt_ids('pick up the cube'))
    assert torch.allclose(told[0], vla.model.embed_text(ids).mean(0), atol=1e-6)
    deaf = Policy(vla, LearnedGate(saved()))
    deaf.gate.instruct = lambda embedding: pytest.fail('a gate without language was instructed')
    deaf.act(observe())
