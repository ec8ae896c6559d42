# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""vla-eval itself against our model server, over its own wire: `make test-vla-eval`."""

from importlib.util import find_spec
import os
import subprocess
import sys

import numpy as np
from paths import ROOT
import pytest
from test_vla_eval_conventions import picture
from test_vla_eval_conventions import TEXT
from tiny_model import write_checkpoint
from vla_cache_ros.environments.libero import axis_angle
from vla_cache_ros.environments.libero import command
from vla_cache_ros.policy import Policy
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.files.errors import InputError

if find_spec('vla_eval') is None:
    pytest.skip('vla-eval is not installed: make test-vla-eval', allow_module_level=True)

import anyio
from vla_cache_ros.serving.vla_eval.server import VlaCacheModelServer
from vla_eval.api import serve_background
from vla_eval.benchmarks.base import StepResult
from vla_eval.benchmarks.libero.benchmark import LIBEROBenchmark
from vla_eval.benchmarks.libero.utils import preprocess_libero_image
from vla_eval.connection import Connection
from vla_eval.model_servers.base import SessionContext
from vla_eval.protocol.messages import MessageType
from vla_eval.runners.sync_runner import SyncEpisodeRunner
from vla_eval.specs import check_specs

needs_libero = pytest.mark.skipif(find_spec('libero') is None, reason='LIBERO is not installed')
STATE = np.array([0.1, -0.2, 0.9, 3.1, 0.1, -0.1, 0.03, -0.03])
SMOKE = 'vla_cache_ros/serving/vla_eval/libero.yaml'


def sent(seed=0, **changes):
    """Return an observation as vla-eval's LIBERO makes it of what the simulator gives."""
    image = preprocess_libero_image(picture(seed), 256)
    full = {'images': {'agentview': image}, 'task_description': TEXT, 'states': STATE}
    return {**full, **changes}


@pytest.fixture(scope='module')
def server():
    """Return a server of the shipped model with room for two."""
    return VlaCacheModelServer(gate='learned', reuse=0.73, sessions=2, threads=1)


@pytest.fixture
def url(server):
    """Yield the address at which the server is served."""
    with serve_background(server) as handle:
        yield handle.url
    assert len(server._free) == 2 and not server._episodes  # every client's room is back


def own(observations, gate='learned', reuse=0.73):
    """Return what our own path sends to the simulator for these, and the share reused."""
    policy = Policy.from_pretrained('libero-object', gate, reuse=reuse, threads=1)
    sends, shares = [], []
    for seed in observations:
        chunk, report = policy.act(Observation((picture(seed),), TEXT, STATE))
        sends += [command(action) for action in chunk.actions]
        shares.append(report.reuse)
    return np.array(sends), shares


def test_their_smoke_run_passes_against_our_server():
    environment = {**os.environ, 'UV_NO_PROJECT': '1', 'VIRTUAL_ENV': sys.prefix}
    environment['PATH'] = f'{sys.prefix}/bin{os.pathsep}{environment["PATH"]}'
    environment['PYTHONPATH'] = str(ROOT)
    done = subprocess.run(
        ['vla-eval', 'test', '--config', SMOKE, '--timeout', '240'],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Results: 1 passed, 0 failed, 0 skipped' in done.stdout


def test_what_the_server_states_fits_their_libero_without_a_warning(server, tmp_path):
    two = VlaCacheModelServer(checkpoint=str(write_checkpoint(tmp_path)), gate='dense')
    for each, images in ((server, {'agentview'}), (two, {'agentview', 'wrist'})):
        theirs = LIBEROBenchmark(**each.get_observation_params())
        specs = (
            each.get_action_spec(),
            theirs.get_action_spec(),
            each.get_observation_spec(),
            theirs.get_observation_spec(),
        )
        assert check_specs(*specs) == []
        assert set(specs[0]) == set(specs[1])
        assert set(specs[2]) == images | {'state', 'language'}
        assert theirs.send_wrist_image == ('wrist' in images) and theirs.env_seed == 0


def test_actions_over_their_wire_equal_our_own_path_on_the_same_frames(url):
    async def drive():
        async with Connection(url) as connection:
            assert connection.server_info['model_server'] == 'VlaCacheModelServer'
            await connection.start_episode({'task': {'name': TEXT}})
            return [(await connection.act(sent(step // 8)))['actions'] for step in range(24)]

    expected, shares = own(range(3))
    found = np.array(anyio.run(drive))
    assert found.shape == (24, 7) and max(shares) > 0.3
    np.testing.assert_array_equal(found, expected.astype(np.float32))


def test_their_benchmark_moves_the_simulator_as_our_environment_does():
    """Hand both the same actions of the model; what reaches the simulator is the same."""
    sends, _ = own(range(2))

    class Simulator:
        got = []

        def step(self, action):
            self.got.append(np.array(action))
            state = np.zeros(3), np.array([0, 0, 0, 1.0]), np.zeros(2)
            keys = ('robot0_eef_pos', 'robot0_eef_quat', 'robot0_gripper_qpos')
            return dict(zip(keys, state, strict=True)), 0.0, False, {}

    class Recorder:
        def record_video(self, frame):
            pass

        def record_step(self, **fields):
            pass

    theirs = LIBEROBenchmark()
    theirs._env, theirs._recorder = Simulator(), Recorder()
    for action in sends.astype(np.float32):
        assert isinstance(theirs.step({'actions': action}), StepResult)
    np.testing.assert_allclose(Simulator.got, sends, atol=1e-7)
    assert set(sends[:, 6]) <= {-1.0, 1.0}


def test_their_state_is_ours_to_what_single_precision_leaves(server):
    theirs = LIBEROBenchmark(**server.get_observation_params())
    rng = np.random.default_rng(0)
    for quaternion in rng.normal(size=(200, 4)):
        quaternion /= np.linalg.norm(quaternion)
        raw = {
            'robot0_eef_pos': rng.normal(size=3),
            'robot0_eef_quat': quaternion,
            'robot0_gripper_qpos': rng.normal(size=2),
        }
        ours = [raw['robot0_eef_pos'], axis_angle(quaternion), raw['robot0_gripper_qpos']]
        np.testing.assert_allclose(theirs._proprio_state(raw), np.concatenate(ours), atol=1e-6)


def test_bad_input_is_one_line_in_their_error_message_and_the_client_goes_on(url):
    async def drive():
        async with Connection(url) as connection:
            lines = []

            async def fails(observation):
                with pytest.raises(RuntimeError, match='Server error') as caught:
                    await connection.act(observation)
                lines.append(caught.value.args[0])

            await fails(sent())  # no episode
            await connection.start_episode({})
            first = await connection.act(sent())
            await fails(sent(depth=np.zeros(3)))
            await fails(sent(images={'agentview': picture()[:, :, [0, 1, 2, 0]]}))
            await fails(sent(states=STATE[:7]))
            second = await connection.act(sent())
            return lines, first['actions'], second['actions']

    lines, first, second = anyio.run(drive)
    expected, _ = own([0])
    for line, part in zip(
        lines,
        (
            'expected an episode under way, got none; send EPISODE_START',
            'got also depth; another benchmark',
            r'agentview: expected uint8 [H, W, 3], got uint8 [256, 256, 4]',
            'state: expected 8 numbers, got float64 [7]',
        ),
        strict=True,
    ):
        assert part in line and 'observation_failed: InputError: ' in line and '\\n' not in line
    np.testing.assert_array_equal([first, second], expected[:2].astype(np.float32))


def test_a_state_that_is_not_finite_is_refused_by_the_policy_in_one_line(url):
    async def drive():
        async with Connection(url) as connection:
            await connection.start_episode({})
            with pytest.raises(RuntimeError, match='observation_failed: InputError: proprio.*nan'):
                await connection.act(sent(states=np.full(8, np.nan)))
            return (await connection.act(sent()))['actions']

    np.testing.assert_array_equal(anyio.run(drive), own([0])[0][0].astype(np.float32))


def test_a_new_episode_starts_with_an_empty_cache_even_if_nobody_ended_the_last(url):
    async def drive():
        async with Connection(url) as connection:
            found = []
            for _ in range(3):
                await connection.start_episode({})
                found.append((await connection.act(sent()))['actions'])
            await connection.end_episode({})
            with pytest.raises(RuntimeError, match='expected an episode under way, got none'):
                await connection.act(sent())
            return found

    first, *others = anyio.run(drive)
    for other in others:
        np.testing.assert_array_equal(first, other)


def test_a_client_too_many_is_told_and_has_room_once_another_is_gone(url):
    async def drive():
        async with Connection(url) as one, Connection(url) as two, Connection(url) as three:
            for connection in (one, two):
                await connection.start_episode({})
                await connection.act(sent())
            await three.start_episode({})
            refusal = await three.recv(timeout=60)
            assert refusal.type == MessageType.ERROR
            await two.close()
            for _ in range(100):
                await three.start_episode({})
                await three.send_observation(sent())
                reply = await three.recv(timeout=60)
                if reply.type == MessageType.ACTION:
                    break
                await three.recv(timeout=60)  # of the observation
                await anyio.sleep(0.05)
            return refusal.payload['error'], reply.type

    refusal, last = anyio.run(drive)
    assert 'sessions: expected at most 2 clients with an episode at once, got one more' in refusal
    assert last == MessageType.ACTION


def test_a_session_id_that_another_client_took_is_told_and_nothing_mixes(url):
    episode = {'recording': {'sid': 'same', 'eid': 'a'}}

    async def drive():
        async with Connection(url) as one, Connection(url) as two:
            await one.start_episode(episode)
            await one.act(sent(5))
            await two.start_episode(episode)
            with pytest.raises(RuntimeError, match='one that another client has started since'):
                for _ in range(2):  # the first may come before the second client's start
                    await one.act(sent(5))
                    await anyio.sleep(0.5)
            await one.close()
            return [(await two.act(sent(step // 8)))['actions'] for step in range(9)]

    expected, _ = own(range(2))
    np.testing.assert_array_equal(anyio.run(drive), expected[:9].astype(np.float32))


def test_a_batch_gives_each_session_what_it_gets_alone_and_an_error_to_its_own(server):
    contexts = [SessionContext(name, 'episode') for name in ('one', 'two')]

    async def start():
        for context in contexts:
            await server.on_episode_start({}, context)

    async def end():
        for context in contexts:
            await server.on_episode_end({}, context)

    anyio.run(start)
    try:
        batches = [
            server.predict_batch([sent(seed), sent(5 + seed)], contexts) for seed in range(2)
        ]
        wrong, right = server.predict_batch([sent(depth=1), sent(7)], contexts)
    finally:
        anyio.run(end)
    for place, first in enumerate((0, 5)):
        expected, shares = own(range(first, first + 2 + place))
        found = np.concatenate([batch[place]['actions'] for batch in batches])
        np.testing.assert_allclose(found, expected[:16], atol=1e-5)
        assert max(shares) > 0.3
    np.testing.assert_allclose(right['actions'], expected[16:], atol=1e-5)
    with pytest.raises(InputError, match='got also depth'):
        server._normalize_result(wrong, contexts[0])


@pytest.mark.parametrize('most', [1, 2])
def test_two_clients_get_what_each_would_get_alone(most):
    server = VlaCacheModelServer(
        gate='learned', reuse=0.73, sessions=2, threads=1, max_batch_size=most
    )
    found = {}

    async def client(name, url):
        async with Connection(url) as connection:
            await connection.start_episode({})
            seeds = (name + step // 8 for step in range(16))
            found[name] = [(await connection.act(sent(seed)))['actions'] for seed in seeds]

    async def drive(url):
        async with anyio.create_task_group() as group:
            for name in (0, 5):
                group.start_soon(client, name, url)

    with serve_background(server) as handle:
        anyio.run(drive, handle.url)
    for name, actions in found.items():
        expected, _ = own(range(name, name + 2))
        np.testing.assert_allclose(actions, expected, atol=1e-5 if most > 1 else 1e-7)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--args.sessions=0'], 'sessions: expected at least 1, got 0'),
        (['--args.checkpoint=no/such'], 'no/such'),
    ],
)
def test_the_command_says_in_one_line_what_it_cannot_serve(arguments, message):
    done = subprocess.run(
        [sys.executable, '-m', 'vla_cache_ros.serving.vla_eval', *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and message in done.stderr
    assert done.stderr.count('\n') == 1


def test_settings_that_cannot_be_are_refused_before_anything_is_served():
    with pytest.raises(ValueError, match='sessions: expected at least 1, got 0'):
        VlaCacheModelServer(sessions=0)
    with pytest.raises(ValueError, match='chunk_size: expected 1 to 8, got 9'):
        VlaCacheModelServer(chunk_size=9)
    with pytest.raises(ValueError, match='benchmark: expected one of libero, plain'):
        VlaCacheModelServer(benchmark='calvin')


@needs_libero
def test_an_episode_of_their_libero_starts_with_our_frames_and_actions(server, url):
    """vla-eval's benchmark and runner against our environment: the same frames, the same steps."""
    from vla_cache_ros.environments import make_environment
    from vla_cache_ros.environments import Setup

    frames, moves = [], []

    class Watched(LIBEROBenchmark):
        def make_obs(self, raw_obs, task):
            found = super().make_obs(raw_obs, task)
            frames.append(found)
            return found

        def step(self, action):
            moves.append(action['actions'])
            return super().step(action)

    theirs = Watched(suite='libero_object', seed=0, **server.get_observation_params())

    async def drive():
        async with Connection(url, timeout=120.0) as connection:
            task = {**theirs.get_tasks()[2], 'episode_idx': 1}
            await SyncEpisodeRunner().run_episode(theirs, task, connection, max_steps=16)

    anyio.run(drive)
    theirs.cleanup()
    policy = Policy.from_pretrained('libero-object', 'learned', reuse=0.73, threads=1)
    env = make_environment('libero_object', Setup.of(policy, ('2',)))
    try:
        seen, sends = env.reset(1), []
        for look in (0, 8):
            theirs_now = frames[look]
            np.testing.assert_array_equal(
                theirs_now['images']['agentview'], seen.images[0][::-1, ::-1]
            )
            np.testing.assert_allclose(theirs_now['states'], seen.proprio, atol=1e-6)
            assert theirs_now['task_description'] == seen.instruction
            chunk, _ = policy.act(seen)
            for action in chunk.actions:
                env.step(action)
                sends.append(command(action))
            seen = env.observe()
        np.testing.assert_allclose(moves, sends, atol=1e-5)
    finally:
        env.close()
