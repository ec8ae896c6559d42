# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A policy that is elsewhere: what is asked, what comes of an answer, what is none."""

from dataclasses import replace
import errno
import time

from fake_policy_server import ACTION
from fake_policy_server import FakePolicyServer
from fake_policy_server import METADATA
import numpy as np
import pytest
from vla_cache_ros.serving.client.errors import RemoteError
from vla_cache_ros.serving.client.errors import words
from vla_cache_ros.serving.client.policy import RemotePolicy
from vla_cache_ros.serving.messages import KEY
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.files.errors import InputError
from vla_cache_ros.vla.files.errors import NonFiniteOutputError

TIMEOUT = 0.25  # s


@pytest.fixture
def server():
    """Yield a server that listens."""
    with FakePolicyServer().listening() as server:
        yield server


@pytest.fixture
def remote(server):
    """Yield a policy of that server."""
    policy = RemotePolicy(server.url)
    policy.timeout = TIMEOUT
    yield policy
    policy.close()


def observation(instruction='go on', seed=0):
    """Return two pictures of different sizes and a state."""
    noise = np.random.default_rng(seed)
    pictures = [noise.integers(0, 255, (*size, 3), np.uint8) for size in ((48, 64), (240, 320))]
    return Observation(tuple(pictures), instruction, np.arange(8.0))


def wait(condition, timeout=10.0):
    """Return whether condition became true within timeout (s)."""
    deadline = time.monotonic() + timeout
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return found


def connected_again(policy, connections=2):
    """Wait for so many connections and begin an episode on the last one."""
    assert wait(lambda: policy.figures()['policy connections'] == str(connections))
    policy.reset('reconnected')


def test_it_has_the_outside_of_a_policy(remote, server):
    assert (remote.family, remote.num_images, remote.chunk, remote.proprio_size) == (
        'fake',
        2,
        8,
        8,
    )
    assert remote.camera_names == () and remote.takes_rest
    assert server.url in remote.summary and METADATA.summary in remote.summary
    assert remote.description['checkpoint'] == 'none' and remote.description['gate'] == 'motion'
    assert str(remote.images) == 'as they come'
    assert (remote.gate.name, remote.gate.reuse, remote.gate.largest_reuse) == ('motion', 0.5, 0.8)


def test_pictures_state_and_instruction_travel_unchanged(remote, server):
    seen = observation()
    rest = np.full((3, 7), 0.1)
    chunk, report = remote.act(seen, rest, 2)
    request = server.seen[-1]
    for key, picture in zip(METADATA.cameras, seen.images, strict=True):
        assert request[key].dtype == np.uint8
        np.testing.assert_array_equal(request[key], picture)
    np.testing.assert_array_equal(request['observation/state'], seen.proprio)
    np.testing.assert_array_equal(request[KEY]['rest'], rest)
    assert request['prompt'] == 'go on' and request[KEY]['delay'] == 2
    assert 0 < request[KEY]['deadline_ms'] <= 1e3 * TIMEOUT
    np.testing.assert_array_equal(chunk.actions, np.tile(ACTION, (8, 1)))
    chunk.actions[0] = 0  # its own
    _, second = remote.act(seen)
    assert (report.step, report.reuse, report.ages.max()) == (0, 0.0, 0)
    assert (second.step, second.reuse, second.ages.max()) == (1, 0.5, 1)
    assert set(report.latency_ms) == {'total', 'wire'}


def test_shadow_says_which_step_it_is_compared_with(remote, server):
    chunk = remote.shadow(observation(), 5, np.zeros((2, 7)), 1)
    assert server.seen[-1][KEY] | {'rest': 0, 'id': 0, 'deadline_ms': 0} == {
        'call': 'shadow', 'step': 5, 'delay': 1, 'rest': 0, 'id': 0, 'deadline_ms': 0,
    }  # fmt: skip
    np.testing.assert_array_equal(chunk.actions[0], ACTION)


def test_resets_and_causes_are_counted_by_the_server(remote, server):
    remote.reset()
    remote.invalidate('drift')
    assert [(one[KEY]['call'], one[KEY]['cause']) for one in server.seen] == [
        ('reset', 'episode_reset'), ('invalidate', 'drift'),
    ]  # fmt: skip
    assert remote.invalidations == {'episode_reset': 2, 'drift': 1}


def test_gate_is_asked_for_reuse(remote, server):
    remote.gate.ask(0.7)
    assert server.seen[-1][KEY]['call'] == 'ask' and server.seen[-1][KEY]['reuse'] == 0.7
    assert remote.gate.reuse == 0.7


@pytest.mark.parametrize(
    ('fault', 'error', 'cause', 'words'),
    [
        ('garbage', RemoteError, 'bad_answer', 'expected one msgpack message'),
        ('truncated', RemoteError, 'bad_answer', 'expected one msgpack message'),
        ('shape', RemoteError, 'bad_answer', r'actions: expected float64 \[8, 7\], got float64'),
        ('text', RemoteError, 'inference_failed', 'Traceback .* out of memory'),
        ('failed', RemoteError, 'inference_failed', 'instruction: too long'),
        ('late', RemoteError, 'policy_silent', 'expected an answer within'),
        ('silent', RemoteError, 'policy_silent', 'expected an answer within'),
        ('other', RemoteError, 'policy_silent', 'expected an answer within'),
        ('superseded', RemoteError, 'policy_silent', 'too long'),
        ('full', RemoteError, 'policy_refused', 'too long'),
        ('cut', RemoteError, 'policy_lost', 'the connection ended'),
        ('input', InputError, None, 'instruction: too long'),
        ('non_finite', NonFiniteOutputError, None, 'too long'),
    ],
)
def test_an_answer_that_is_none_is_an_error_of_one_line(
    remote, server, fault, error, cause, words
):
    remote.act(observation())
    server.fault = fault
    begin = time.monotonic()
    with pytest.raises(error, match=words) as caught:
        remote.act(observation())
    assert time.monotonic() - begin < TIMEOUT + 1.0  # a busy machine may be late
    assert getattr(caught.value, 'stop_cause', None) == cause
    assert '\n' not in str(caught.value)
    server.fault = ''
    if fault == 'cut':
        connected_again(remote)
    assert wait(lambda: not overdue(remote))
    chunk, _ = remote.act(observation())
    np.testing.assert_array_equal(chunk.actions[0], ACTION)


def overdue(policy):
    """Say whether the link waits for a sign of life."""
    return policy._link._overdue


def test_nan_is_for_the_controller_to_judge(remote, server):
    server.fault = 'nan'
    chunk, _ = remote.act(observation())
    assert np.isnan(chunk.actions).all()


def test_a_late_answer_is_dropped_and_counted_and_never_the_next_ones(remote, server):
    server.fault = 'late'
    with pytest.raises(RemoteError, match='within'):
        remote.act(observation())
    server.fault = ''
    assert wait(lambda: remote.figures()['policy answers dropped'] == '1')
    _, report = remote.act(observation())
    assert report.step == 1  # the late one was 0
    assert remote.figures()['policy connections'] == '1'  # slow is not gone


def test_an_answer_of_another_number_is_dropped_and_counted(remote, server):
    server.fault = 'other'
    with pytest.raises(RemoteError, match='expected an answer'):
        remote.act(observation())
    assert remote.figures()['policy answers dropped'] == '1'


def test_after_another_connection_nothing_is_done_until_an_episode_begins(remote, server):
    remote.act(observation())
    server.cut()
    assert wait(lambda: remote.figures()['policy connections'] == '2')
    for _ in range(2):
        with pytest.raises(RemoteError) as caught:
            remote.act(observation())
        assert caught.value.stop_cause == 'reconnected'
    remote.reset('reconnected')
    _, report = remote.act(observation())
    assert report.step == 0
    # of both sessions: what the fake server counts at the beginning of each, and the reset
    assert remote.invalidations == {'episode_reset': 2, 'reconnected': 1}


def test_a_reset_that_the_server_did_not_hear_leaves_no_session_with_the_old_cache(server, remote):
    remote.act(observation())
    server.fault = 'silent'
    with pytest.raises(RemoteError, match='expected an answer'):
        remote.act(observation())
    remote.reset()  # while nobody knows whether the server lives
    server.fault = ''
    assert wait(lambda: remote.figures()['policy connections'] == '2')
    with pytest.raises(RemoteError) as caught:
        remote.act(observation())
    assert caught.value.stop_cause == 'reconnected'


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'checkpoint': 'other'}, "checkpoint: expected 'none' as at configure, got 'other'"),
        ({'gate': 'dense'}, "gate: expected 'motion'"),
        ({'gate_weights': 'ab'}, 'gate_weights: expected'),
        ({'images': 'turned by 180 degrees'}, "images: expected 'as they come'"),
        ({'chunk': 4}, 'chunk: expected 8 as at configure, got 4'),
        ({'state': 7}, 'state: expected 8'),
        ({'cameras': ('observation/wrist', 'observation/image')}, 'cameras: expected'),
    ],
)
def test_another_model_than_at_first_is_refused_until_it_is_the_same_again(
    remote, server, change, words
):
    server.metadata = replace(METADATA, **change)
    server.cut()
    assert wait(lambda: words in remote.figures()['policy server'])
    with pytest.raises(RemoteError) as caught:
        remote.act(observation())
    assert caught.value.stop_cause == 'policy_changed'
    server.metadata = replace(METADATA, summary='in other words', session_bytes=5)
    connected_again(remote)
    remote.act(observation())


def test_an_instruction_that_was_refused_is_refused_without_asking_again(remote, server):
    remote.check_instruction('pick up')
    server.fault = 'input'
    with pytest.raises(InputError):
        remote.act(observation('pick up'))
    asked = len(server.seen)
    with pytest.raises(InputError, match='instruction: too long'):
        remote.check_instruction('pick up')
    remote.check_instruction('another')
    assert len(server.seen) == asked


def test_another_number_of_pictures_is_refused_here(remote, server):
    with pytest.raises(InputError, match='images: expected 2 .*, found 1'):
        remote.act(Observation(observation().images[:1], 'go on', np.arange(8.0)))
    assert not server.seen


def test_memory_does_not_grow_while_there_is_no_server(server, remote):
    server.first = 'full: 8 sessions are open'
    server.cut()
    assert wait(lambda: 'full' in remote.figures()['policy server'])
    errors = []
    for _ in range(3):
        with pytest.raises(RemoteError, match='8 sessions') as caught:
            remote.act(observation())
        errors.append(caught.value)
    assert len({id(error) for error in errors}) == 3  # one error raised anew keeps every raise
    assert errors[0].stop_cause == 'policy_refused'


def test_a_socket_that_another_thread_closed_is_a_connection_that_ended():
    assert words(OSError(errno.EBADF, 'Bad file descriptor')).startswith('the connection ended')
    assert words(OSError(errno.EPIPE, 'Broken pipe')) == '[Errno 32] Broken pipe'
