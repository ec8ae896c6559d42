# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What waits for the model runs as one batch, newest and most urgent first, never too late."""

from concurrent.futures import wait
import threading
import time

import numpy as np
import pytest
from served import fake_scheduler
from served import FakeSession
from served import until
from vla_cache_ros.serving.calls import Call
from vla_cache_ros.serving.metrics import Metrics
from vla_cache_ros.serving.session import Refused
from vla_cache_ros.types import Observation

PICTURE = np.zeros((8, 8, 3), np.uint8)


def act(value=0, deadline=None, **options):
    """Return a call with an observation that is told apart by its instruction."""
    observation = Observation((PICTURE, PICTURE), str(value), np.zeros(8))
    return Call('act', observation=observation, deadline=deadline, **options)


class Model(FakeSession):
    """A fake model that waits in its first batch until the test lets it go."""

    def __init__(self, book=None):
        """Hold back the first batch."""
        super().__init__(book)
        self.busy, self.go = threading.Event(), threading.Event()

    def together(self, requests):
        """Wait, then act."""
        self.busy.set()
        self.go.wait(5)
        return super().together(requests)


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def schedule(model, metrics):
    """Yield what starts a scheduler with a first session that keeps the model busy."""
    made = []

    def start(**options):
        scheduler = fake_scheduler(metrics, model, **{'sessions': 5, **options})
        made.append(scheduler)
        sessions = [scheduler.open().result(5) for _ in range(5)]
        scheduler.submit(sessions[0], act('first'), time.monotonic())
        assert model.busy.wait(5)
        return scheduler, sessions

    yield start
    model.go.set()
    for scheduler in made:
        assert scheduler.stop(5)


def seen(session):
    """Return the instructions that a session's policy has acted on."""
    return [observation.instruction for observation in session.policy.observations]


def submit(scheduler, session, call):
    return scheduler.submit(session, call, time.monotonic())


def error(future):
    with pytest.raises(Refused) as refused:
        future.result(5)
    return refused.value


def test_all_that_wait_run_as_one_batch(schedule, model, metrics):
    scheduler, sessions = schedule()
    futures = [submit(scheduler, session, act(1)) for session in sessions[1:]]
    model.go.set()
    assert [future.result(5).batch for future in futures] == [4] * 4
    assert [len(batch) for batch in model.book.batches] == [1, 4]
    assert metrics.value('vla_cache_batch_size_sum') == 5


def test_a_batch_has_no_more_than_it_may_and_the_most_urgent_go_first(schedule, model):
    scheduler, sessions = schedule(max_batch=2)
    deadlines = [0.9, 0.5, None, 0.7]
    futures = [
        submit(scheduler, session, act(1, deadline))
        for session, deadline in zip(sessions[1:], deadlines, strict=True)
    ]
    model.go.set()
    wait(futures, 5)
    policies = [session.policy for session in sessions]
    assert model.book.batches[1:] == [[policies[2], policies[4]], [policies[1], policies[3]]]


def test_what_has_no_deadline_does_not_wait_for_ever(schedule, model):
    scheduler, sessions = schedule(max_batch=1)
    early = time.monotonic() - 2
    futures = [
        scheduler.submit(sessions[1], act(1), early),
        submit(scheduler, sessions[2], act(1, 0.5)),
    ]
    model.go.set()
    wait(futures, 5)
    assert model.book.batches[1:] == [[sessions[1].policy], [sessions[2].policy]]


def test_the_newest_observation_of_a_session_wins(schedule, model):
    scheduler, sessions = schedule()
    old, new = (submit(scheduler, sessions[1], act(n)) for n in range(2))
    other = submit(scheduler, sessions[2], act('other'))
    assert error(old).kind == 'superseded'
    model.go.set()
    assert new.result(5).chunk is not None and other.result(5).chunk is not None
    assert (seen(sessions[1]), seen(sessions[2])) == (['1'], ['other'])


def test_what_has_begun_is_not_replaced(schedule, model):
    scheduler, sessions = schedule()
    newer = submit(scheduler, sessions[0], act('second'))
    model.go.set()
    newer.result(5)
    assert seen(sessions[0]) == ['first', 'second']


def test_what_is_past_its_deadline_is_not_computed(schedule, model):
    scheduler, sessions = schedule()
    late = submit(scheduler, sessions[1], act(1, 0.02))
    time.sleep(0.05)
    good = submit(scheduler, sessions[2], act(2, 4.0))
    model.go.set()
    refused = error(late)
    assert refused.kind == 'late' and 'not begun' in str(refused)
    assert good.result(5).chunk is not None
    assert seen(sessions[1]) == []


def test_an_answer_that_comes_too_late_is_none(schedule, model):
    scheduler, sessions = schedule()
    model.go.set()
    assert submit(scheduler, sessions[1], act(0)).result(5)
    sessions[1].policy.delay = 0.1
    refused = error(submit(scheduler, sessions[1], act(1, 0.05)))
    assert refused.kind == 'late' and 'done' in str(refused)
    assert seen(sessions[1]) == ['0', '1']


def test_orders_keep_their_place_in_a_session(schedule, model):
    scheduler, sessions = schedule()
    session = sessions[0]
    futures = [
        submit(scheduler, session, Call('reset', cause='handed_back')),
        submit(scheduler, session, act('second')),
        submit(scheduler, session, Call('invalidate', cause='gap_too_long')),
    ]
    model.go.set()
    answers = [future.result(5) for future in futures]
    assert seen(session) == ['second']  # 'first' came before the reset
    assert answers[0].invalidations == {'episode_reset': 1, 'handed_back': 1}
    assert 'gap_too_long' not in answers[1].invalidations
    assert answers[2].invalidations['gap_too_long'] == 1


def test_what_takes_no_time_goes_before_others_steps(schedule, model):
    scheduler, sessions = schedule()
    step = submit(scheduler, sessions[1], act(1))
    reset = submit(scheduler, sessions[2], Call('reset', cause='episode_reset'))
    order = []
    step.add_done_callback(lambda _: order.append('step'))
    reset.add_done_callback(lambda _: order.append('reset'))
    model.go.set()
    wait([step, reset], 5)
    assert until(lambda: order == ['reset', 'step'])


def test_a_shadow_gives_way_to_its_sessions_next_step(schedule, model):
    scheduler, sessions = schedule()
    shadow = submit(scheduler, sessions[1], Call('shadow', observation=act().observation))
    step = submit(scheduler, sessions[1], act(1))
    assert error(shadow).kind == 'superseded'
    model.go.set()
    step.result(5)
    shadow = submit(scheduler, sessions[1], Call('shadow', observation=act().observation, step=4))
    answer = shadow.result(5)
    assert answer.chunk is not None and answer.report is None
    assert sessions[1].policy.shadows[0][1] == 4


def test_an_error_belongs_to_its_own_request(schedule, model):
    scheduler, sessions = schedule()
    sessions[1].policy.error = ValueError('image 0: odd')
    bad, good = (submit(scheduler, session, act(1)) for session in sessions[1:3])
    model.go.set()
    refused = error(bad)
    assert (refused.kind, str(refused)) == ('input', 'image 0: odd')
    assert good.result(5).batch == 2


def test_a_batch_that_fails_fails_alone(schedule, model):
    scheduler, sessions = schedule()
    model.go.set()
    together = scheduler._together
    scheduler._together = lambda _: 1 / 0
    refused = error(submit(scheduler, sessions[1], act(1)))
    assert refused.kind == 'failed' and str(refused).startswith('ZeroDivisionError')
    scheduler._together = together
    assert submit(scheduler, sessions[1], act(1)).result(5).chunk is not None


@pytest.mark.parametrize(
    'call', [Call('reset', cause='nonsense'), Call('ask', reuse=0.9), Call('check_instruction')]
)
def test_an_order_that_cannot_be_is_refused(schedule, model, call):
    scheduler, sessions = schedule()
    model.go.set()
    for session in sessions:
        session.policy.refusal = ValueError('instruction: expected words')
        session.policy.gate.ask = lambda reuse: 1 / 0
    kind = 'failed' if call.name == 'ask' else 'input'
    assert error(submit(scheduler, sessions[1], call)).kind == kind


def test_room_is_bounded_and_comes_back(schedule, model, metrics):
    scheduler, sessions = schedule()
    model.go.set()
    assert error(scheduler.open()).kind == 'full'
    waiting = sessions[1]
    scheduler.close(waiting).result(5)
    assert metrics.value('vla_cache_sessions') == 4
    with pytest.raises(Refused, match='closed'):
        submit(scheduler, waiting, act(1))
    assert scheduler.open().result(5).policy is waiting.policy
    assert len(model.book.made) == 5


def test_a_session_that_ends_gets_no_answers_and_leaves_nothing(schedule, model):
    scheduler, sessions = schedule()
    step = submit(scheduler, sessions[1], act(1))
    closing = scheduler.close(sessions[1])
    assert error(step).kind == 'failed'
    model.go.set()
    closing.result(5)
    policy = sessions[1].policy
    policy.gate.reuse = 0.5
    assert scheduler.close(sessions[1]).result(5) is None  # twice is once
    fresh = scheduler.open().result(5)
    assert fresh.policy is policy and fresh.invalidations() == {'episode_reset': 1}


def test_memory_that_a_long_prompt_took_goes_with_its_session(schedule, model):
    scheduler, sessions = schedule()
    model.go.set()
    grown, kept = sessions[1].policy, sessions[2].policy
    grown.session_bytes = 2000
    for session in sessions[1:3]:
        scheduler.close(session).result(5)
    fresh = [scheduler.open().result(5).policy for _ in range(2)]
    assert grown.closed and grown not in fresh and kept in fresh
    assert [policy.session_bytes for policy in fresh] == [1000, 1000]
    assert error(scheduler.open()).kind == 'full'


def test_all_sessions_have_the_seed_of_the_server():
    model = FakeSession()
    scheduler = fake_scheduler(Metrics(), model, sessions=3, seed=7)
    assert [one.seed for one in model.book.made[1:]] == [7, 7]
    assert scheduler.stop(5)


def test_a_model_that_does_not_load_says_so(metrics):
    class Broken(FakeSession):
        def session(self, seed=0):
            raise ValueError('sessions: expected at most 1')

    with pytest.raises(ValueError, match='at most 1'):
        fake_scheduler(metrics, Broken(), sessions=2)


class Test_the_guard_of_a_session:  # noqa: N801
    """A cached step that parts from the dense one has its session's cache forgotten."""

    def run(self, drift, steps=1000, guarded=True, threshold=0.2, until=None):
        model, metrics = FakeSession(), Metrics()
        scheduler = fake_scheduler(
            metrics, model, sessions=2, drift_threshold=threshold, execute_steps=4
        )
        session, other = (scheduler.open().result(5) for _ in range(2))
        session.guarded = guarded
        session.policy.drift = drift
        for step in range(steps):
            session.policy.gate.reuse = 0.0 if not step else 0.5
            session.policy.delay = 0.002
            submit(scheduler, session, act(1)).result(5)
            submit(scheduler, other, act(1)).result(5)
            scheduler._worker.order(lambda: None).result(5)
            if until and metrics.value(until):
                break
        assert scheduler.stop(5)
        counts = dict(session.invalidations()), dict(other.invalidations())
        checks = metrics.value('vla_cache_drift_checks_total')
        alarms = metrics.value('vla_cache_drift_alarms_total')
        return counts, checks, alarms

    def test_forgets_what_has_drifted(self):
        (mine, others), checks, alarms = self.run(8.0, until='vla_cache_drift_alarms_total')
        assert mine['drift'] >= 1 and 'drift' not in others
        assert alarms >= 1 and checks >= 2

    def test_leaves_alone_what_has_not(self):
        (mine, _), checks, alarms = self.run(0.0, until='vla_cache_drift_checks_total')
        assert 'drift' not in mine and alarms == 0 and checks >= 1

    def test_is_off_where_it_is_told_or_the_client_compares(self):
        for options in ({'threshold': 0.0}, {'guarded': False}):
            (mine, _), _, alarms = self.run(8.0, steps=60, **options)
            assert 'drift' not in mine and alarms == 0
