# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Our client and our server understand each other: what one asks the other's policy does."""

import numpy as np
import pytest
from served import fake_serving
from served import PROMPT
from vla_cache_ros.serving.client.errors import RemoteError
from vla_cache_ros.serving.client.policy import RemotePolicy
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.files.errors import InputError
from vla_cache_ros.vla.files.errors import NonFiniteOutputError

PICTURE = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
SEEN = Observation((PICTURE, PICTURE[::-1]), PROMPT, np.linspace(-1, 1, 8))


@pytest.fixture
def served():
    with fake_serving(sessions=1) as found:
        yield found


@pytest.fixture
def remote(served):
    policy = RemotePolicy(served.url)
    yield policy
    policy.close()


def test_a_step_is_the_same_at_both_ends(served, remote):
    rest = np.ones((3, 7))
    chunk, report = remote.act(SEEN, rest, 2)
    (seen,), (told,) = served.policy.observations, served.policy.left
    assert all(map(np.array_equal, seen.images, SEEN.images))
    assert np.array_equal(seen.proprio, SEEN.proprio) and seen.proprio.dtype == np.float64
    assert seen.instruction == PROMPT
    assert np.array_equal(told[0], rest) and told[1] == 2
    expected, local = served.policy.act(SEEN, rest, 2)
    assert np.array_equal(chunk.actions[1:], expected.actions[1:])
    assert np.array_equal(chunk.normalized, expected.normalized)
    assert (report.gate, report.reuse, report.step) == (local.gate, local.reuse, 1)
    assert np.array_equal(report.active, local.active)
    assert np.array_equal(report.ages, local.ages)


def test_orders_reach_the_policy(served, remote):
    served.policy.drift = 0.5
    assert remote.shadow(SEEN, 4).normalized[0, 0] == pytest.approx(0.51)
    remote.reset('handed_back')
    remote.invalidate('gap_too_long')
    assert served.policy.resets[-2:] == ['handed_back', 'gap_too_long']
    assert remote.invalidations['gap_too_long'] == 1
    remote.gate.ask(0.7)
    assert served.policy.gate.asked == [0.7]
    remote.check_instruction(PROMPT)


def test_errors_are_those_of_the_policy(served, remote):
    with pytest.raises(InputError, match='observation/image: expected uint8 RGB'):
        remote.act(Observation((PICTURE.astype(float), PICTURE), PROMPT, SEEN.proprio))
    for error, kind in (
        (InputError('image 0: odd'), InputError),
        (NonFiniteOutputError('NaN'), NonFiniteOutputError),
        (MemoryError('none left'), RemoteError),
    ):
        served.policy.error = error
        with pytest.raises(kind, match=str(error)):
            remote.act(SEEN)
    served.policy.error = None
    assert remote.act(SEEN)[1].gate == 'fake'


def test_a_server_that_is_full_says_so(served, remote):
    with pytest.raises(RemoteError, match='sessions: all 1 are taken'):
        RemotePolicy(served.url, wait=0.5)


def test_a_client_that_compares_for_itself_is_not_compared(served, remote):
    remote.act(SEEN)
    assert served.scheduler._open[0].guarded is False
