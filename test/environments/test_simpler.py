# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""SIMPLER's image and action paths, what is missing for it, and its simulator where it is."""

from dataclasses import replace
from importlib.util import find_spec
import sys
from types import SimpleNamespace

from fake_policy import FakePolicy
import numpy as np
import pytest
from tiny_cogact import write_cogact
from tiny_model import write_checkpoint
from vla_cache_ros.environments import make_environment
from vla_cache_ros.environments import Setup
from vla_cache_ros.environments import simpler
from vla_cache_ros.environments.adaptive_ensemble import EnsembledActor
from vla_cache_ros.environments.simpler_actions import bridge_action
from vla_cache_ros.environments.simpler_assets import asset_folder
from vla_cache_ros.environments.simpler_assets import missing_assets
from vla_cache_ros.evaluation.closed_loop import run_episode
from vla_cache_ros.extras import missing
from vla_cache_ros.policy import Policy

OPENVLA, COGACT = Setup('openvla', 1, 1), Setup('cogact', 1, 16)
MOVE = np.array([0.02, 0.01, -0.02, 0.05, -0.1, 0.2, 1.0])


def turn(axis, angle):
    """Return the matrix of a turn about a coordinate axis, for comparison."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[[i, j], [i, j]] = np.cos(angle)
    matrix[j, i], matrix[i, j] = np.sin(angle), -np.sin(angle)
    return matrix


def turn_about(vector):
    """Return the matrix of axis times angle, by the series of the exponential."""
    x, y, z = vector
    generator = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix, term = np.eye(3), np.eye(3)
    for k in range(1, 40):
        term = term @ generator / k
        matrix = matrix + term
    return matrix


@pytest.mark.parametrize(
    'angles', [(0.0, 0.0, 0.0), (0.1, -0.2, 0.3), (1.5, 0.7, -2.5), (0, 0, 3)]
)
def test_rotation_is_axis_and_angle_of_turns_about_fixed_axes(angles):
    roll, pitch, yaw = angles
    expected = turn(2, yaw) @ turn(1, pitch) @ turn(0, roll)
    found = bridge_action([0, 0, 0, *angles, 0])[3:6]
    assert np.allclose(turn_about(found), expected, atol=1e-12)


@pytest.mark.parametrize(('gripper', 'expected'), [(0.0, -1), (0.5, -1), (0.51, 1), (0.996, 1)])
def test_gripper_is_open_or_closed_and_translation_is_kept(gripper, expected):
    action = bridge_action([0.01, -0.02, 0.03, 0, 0, 0, gripper])
    assert action.tolist() == [0.01, -0.02, 0.03, 0, 0, 0, expected]


@pytest.mark.parametrize('action', [np.zeros(6), np.full(7, np.nan), np.zeros((1, 7))])
def test_an_action_of_another_kind_is_refused(action):
    with pytest.raises(ValueError, match=r'expected \[7\] finite numbers'):
        bridge_action(action)


def test_openvla_sees_area_averages_and_cogact_the_image():
    image = np.random.default_rng(0).integers(0, 256, (448, 672, 3), np.uint8)
    blocks = image.reshape(224, 2, 224, 3, 3).mean((1, 3))
    assert np.abs(simpler.model_image(image, 'openvla') - blocks).max() <= 0.5
    assert simpler.model_image(image, 'cogact') is image


class Chunks(FakePolicy):
    """Give random chunks of 16 actions; remember them."""

    num_images, chunk = 1, 16

    def __init__(self):
        """Begin with no chunk."""
        super().__init__()
        self.given, self.random = [], np.random.default_rng(0)

    def act(self, observation):
        """Return the next chunk, its normalised actions a half of the others."""
        chunk, report = super().act(observation)
        chunk = replace(chunk, actions=self.random.normal(size=(self.chunk, 7)))
        chunk = replace(chunk, normalized=0.5 * chunk.actions)
        self.given.append(chunk.actions)
        return chunk, report


def test_ensemble_is_the_weighted_mean_of_what_seven_chunks_say():
    policy = Chunks()
    actor = EnsembledActor(policy)
    for now in range(10):
        chunk, _ = actor.act(None)
        total, weights = np.zeros(7), 0.0
        for when in range(max(0, now - 6), now + 1):
            said, newest = policy.given[when][now - when], policy.given[now][0]
            cosine = said.dot(newest) / (np.sqrt(said.dot(said)) * np.sqrt(newest.dot(newest)))
            total, weights = total + np.exp(0.1 * cosine) * said, weights + np.exp(0.1 * cosine)
        assert np.allclose(chunk.actions, total[None] / weights, atol=1e-7)
        assert np.allclose(chunk.normalized, 0.5 * chunk.actions)
    actor.reset()
    assert np.allclose(actor.act(None)[0].actions[0], policy.given[-1][0])
    assert policy.resets == ['episode_reset']


def test_ensemble_refuses_chunks_that_do_not_reach_so_far():
    policy = Chunks()
    policy.chunk = 6
    with pytest.raises(ValueError, match='at least 7 actions, .* found 6'):
        EnsembledActor(policy).act(None)
    with pytest.raises(ValueError, match='horizon: expected at least 1, got 0'):
        EnsembledActor(policy, horizon=0)


def test_missing_assets_are_named_with_where_they_come_from(tmp_path, monkeypatch):
    monkeypatch.setenv('MS_ASSET_DIR', str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        make_environment('simpler_bridge', OPENVLA)
    assert str(tmp_path / 'data') in str(error.value)
    assert ': robots/widowx, tasks/bridge_v2_real2sim_dataset; found' in str(error.value)
    for word in ('haosulab/ManiSkill_bridge_v2_real2sim', 'haosulab/ManiSkill-WidowX250S'):
        assert word in str(error.value)
    assert 'download_asset' in str(error.value)


def test_only_what_the_chosen_tasks_lack_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv('MS_ASSET_DIR', str(tmp_path))
    carrot = simpler.BRIDGE[0]
    for path in carrot.assets.paths():
        file = tmp_path / 'data' / str(path).replace('*', 'dae')
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert missing_assets([carrot.assets], asset_folder()) == []
    with pytest.raises(FileNotFoundError) as error:
        make_environment('simpler_bridge', replace(OPENVLA, tasks=(simpler.BRIDGE[1].name,)))
    for word in ('models/bridge_spoon_generated_modified/collision.obj', 'textured.*'):
        assert word in str(error.value)
    assert 'stages' not in str(error.value) and 'carrot' not in str(error.value)
    assert 'widowx250s' not in str(error.value)


@pytest.mark.parametrize(
    ('setup', 'words'),
    [
        (Setup('openvla-oft', 1, 8), 'expected a checkpoint of openvla or cogact'),
        (Setup('openvla', 2, 1), 'expected a checkpoint with 1 camera and no robot state, got 2'),
        (Setup('cogact', 1, 16, tasks=('PickCube',)), "expected some of PickCube-v1, got 'Pick"),
    ],
)
def test_a_policy_or_task_that_does_not_fit_is_refused(setup, words):
    with pytest.raises(ValueError, match=words):
        make_environment('maniskill_pick_cube', setup)


def test_without_the_extra_its_name_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mani_skill.envs', None)
    monkeypatch.setitem(sys.modules, 'mani_skill', None)
    with pytest.raises(ModuleNotFoundError) as caught:
        make_environment('maniskill_pick_cube', OPENVLA)
    assert "pip install 'vla_cache_ros[simpler]'" in missing(caught.value)


def test_without_vulkan_packages_are_told(monkeypatch):
    def summary():
        raise RuntimeError('failed to find a rendering device')

    render = SimpleNamespace(get_device_summary=summary)
    monkeypatch.setitem(sys.modules, 'sapien', SimpleNamespace(render=render))
    with pytest.raises(OSError, match='bookworm-backports mesa-vulkan-drivers libvulkan1'):
        simpler.rendering_device()


@pytest.fixture(scope='module')
def _simulator():
    """Skip where mani_skill or a Vulkan device is absent, for no other reason."""
    if find_spec('mani_skill') is None:
        pytest.skip('mani_skill is absent: make test-simpler')
    try:
        simpler.rendering_device()
    except OSError as error:
        pytest.skip(str(error))


@pytest.fixture
def pick_cube(_simulator, monkeypatch, request):
    """Return PickCube for a setup, with an episode of six steps."""
    short = replace(simpler.PICK_CUBE, max_steps=6)
    monkeypatch.setitem(simpler.TWINS, 'maniskill_pick_cube', (short,))
    env = make_environment('maniskill_pick_cube', request.param)
    yield env
    env.close()


@pytest.mark.parametrize('pick_cube', [OPENVLA], indirect=True)
def test_tiny_openvla_acts_in_pick_cube(pick_cube, tmp_path):
    policy = Policy.from_pretrained(str(write_checkpoint(tmp_path, causal=True)), gate='motion')
    episode = run_episode(pick_cube.wrap(policy), pick_cube, 3)
    assert (episode.steps, len(episode.reuse), episode.success) == (6, 6, False)
    assert episode.task == 'PickCube-v1' and episode.reuse[0] == 0 and max(episode.reuse) > 0
    assert set(pick_cube.facts()) == {'mani_skill', 'sapien', 'physics', 'rendering'}


@pytest.mark.parametrize('pick_cube', [COGACT], indirect=True)
def test_tiny_cogact_acts_in_pick_cube_with_its_chunks_blended(pick_cube, tmp_path):
    policy = Policy.from_pretrained(str(write_cogact(tmp_path, chunk=16)), gate='motion')
    assert Setup.of(policy).family == 'cogact'
    episode = run_episode(pick_cube.wrap(policy), pick_cube, 3)
    assert (episode.steps, len(episode.reuse)) == (6, 6)
    assert episode.reuse[0] == 0 and max(episode.reuse) > 0


@pytest.mark.parametrize('pick_cube', [COGACT], indirect=True)
def test_chunks_act_blended_and_one_seed_gives_the_same_frames(pick_cube):
    def frames(seed):
        policy = Chunks()
        run_episode(pick_cube.wrap(policy), pick_cube, seed)
        return np.stack([observation.images[0] for observation in policy.observations])

    first, other, again = frames(3), frames(4), frames(3)
    assert first.shape == (6, 480, 640, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[-1])


@pytest.mark.parametrize('pick_cube', [OPENVLA], indirect=True)
def test_metres_and_radians_arrive_at_the_hand(pick_cube):
    pick_cube.reset(0)
    hand = pick_cube._simulator.unwrapped.agent.tcp
    before = hand.pose.to_transformation_matrix()[0].numpy()
    for action in [[0.02, -0.01, 0.01, 0, 0, 0.1, 1], [0.02, -0.01, 0.01, 0, 0, 0.1, 1]]:
        pick_cube.step(np.array(action))
    for _ in range(4):
        pick_cube.step(np.array([0, 0, 0, 0, 0, 0, 1.0]))
    after = hand.pose.to_transformation_matrix()[0].numpy()
    assert np.allclose(after[:3, 3] - before[:3, 3], [0.04, -0.02, 0.02], atol=0.004)
    assert np.allclose(after[:3, :3], turn(2, 0.2) @ before[:3, :3], atol=0.02)


class Expert(FakePolicy):
    """Pick the cube up and carry it to the goal, from the simulator's state."""

    def __init__(self, env):
        """Look at an environment from inside."""
        super().__init__()
        self.env, self.chunk = env, 1

    def act(self, observation):
        """Go above the cube, down, close, then to the goal and rest there."""
        world = self.env._simulator.unwrapped
        hand, cube, goal = (
            thing.pose.p[0].numpy() for thing in (world.agent.tcp, world.cube, world.goal_site)
        )
        count = len(self.observations)
        above = np.array([0, 0, 0.08 if count < 8 else 0.0])
        target = goal if count >= 20 else cube + above
        move = np.clip(0.5 * (target - hand), -0.04, 0.04)  # the hand lags behind
        self.action = np.concatenate([move, np.zeros(3), [float(count < 16)]])
        return super().act(observation)


def test_an_expert_succeeds_and_the_last_step_counts(_simulator):
    env = make_environment('maniskill_pick_cube', OPENVLA)
    try:
        episode = run_episode(Expert(env), env, 1)
    finally:
        env.close()
    assert episode.success and episode.steps == 50


def test_limits_are_those_of_the_published_evaluations():
    limits = {
        family: [simpler.SimplerEnvironment((twin,), family).max_steps for twin in simpler.BRIDGE]
        for family in simpler.FAMILIES
    }
    assert limits == {'openvla': [60, 60, 60, 120], 'cogact': [120] * 4}
    assert simpler.SimplerEnvironment((simpler.PICK_CUBE,), 'cogact').max_steps == 50


def test_bridge_tasks_run_where_their_assets_are(_simulator):
    missing = missing_assets([twin.assets for twin in simpler.BRIDGE], asset_folder())
    if missing:
        pytest.skip(f'assets are absent in {asset_folder()}: {", ".join(map(str, missing))}')
    env = make_environment('simpler_bridge', COGACT)
    try:
        frames = []
        for seed in (0, 1, 2, 3, 0):
            frames.append(env.reset(seed).images[0])
            world = env._simulator.unwrapped
            seen = [world.objs[name] for name in world.objects_excluded_from_greenscreening]
            seen += world.agent.robot.get_links()
            ids = {int(thing.per_scene_id[0]) for thing in seen}
            # all else is the photograph, whichever tasks ran before
            assert set(world._segmentation_ids_to_keep.tolist()) == ids, env.task.name
        assert np.array_equal(frames[0], frames[4])
        env.step(MOVE)
        assert not np.array_equal(env.observe().images[0], frames[0])
    finally:
        env.close()
