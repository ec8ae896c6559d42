# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The newest chunk joins at the action that is due; nothing plays twice or late."""

import numpy as np
import pytest
from vla_cache_ros.control.motion.playback import Due
from vla_cache_ros.control.motion.playback import Playback

MS = 1_000_000


def chunk(first, count=8):
    """Return actions whose first number counts from first."""
    return np.tile(np.arange(first, first + count, dtype=float)[:, None], (1, 7))


def player(**options):
    return Playback(period=100 * MS, tolerance=0, timeout=300 * MS, **options)


def play(playback, begin, end, step=20):
    """Return what is due from begin to end (ms): the first number of an action, or a Due."""
    found = [playback.due(t * MS) for t in range(begin, end, step)]
    return [due if isinstance(due, Due) else due[0] for due in found]


def test_chunk_of_an_arm_at_rest_is_played_from_its_first_action_however_long_it_took():
    playback = player()
    playback.start(chunk(0), now=900 * MS, since=0)
    assert play(playback, 900, 1100) == [0] * 5 + [1] * 5


def test_actions_of_the_time_in_which_the_arm_was_moved_are_skipped():
    playback = player()
    playback.start(chunk(0), now=0)
    play(playback, 0, 400)
    playback.start(chunk(100), now=400 * MS, since=150 * MS)  # 250 ms were played meanwhile
    assert play(playback, 400, 500) == [102] * 3 + [103] * 2


def test_only_motion_counts_as_the_past_of_a_late_chunk():
    playback = player()
    playback.start(chunk(0, 4), now=0)
    assert play(playback, 0, 420)[-1] is Due.FINISHED
    # observed at 300 ms; the arm moved for 100 ms more and then stood still for a second
    playback.start(chunk(100), now=1400 * MS, since=300 * MS)
    assert play(playback, 1400, 1500) == [101] * 5


def test_end_of_a_chunk_is_told_once():
    playback = player()
    playback.start(chunk(0, 1), now=0)
    assert play(playback, 80, 160) == [0, Due.FINISHED, Due.NOTHING, Due.NOTHING]


@pytest.mark.parametrize('gap', [301, -1])
def test_chunk_that_nobody_held_has_lapsed(gap):
    playback = player()
    playback.start(chunk(0), now=1000 * MS)
    assert playback.due((1000 + gap) * MS) is Due.LAPSED
    assert playback.due((1001 + gap) * MS) is Due.NOTHING


def test_ensemble_averages_what_the_chunks_say_of_one_instant_but_for_the_gripper():
    playback = player(decay=np.log(2))
    playback.start(chunk(0), now=0, since=0)
    play(playback, 0, 200)
    playback.start(chunk(9), now=200 * MS, since=200 * MS)
    due = playback.due(200 * MS)
    assert due[0] == pytest.approx((2 * 9 + 1 * 2) / 3)  # the older one weighs half
    assert due[6] == 9
    assert play(playback, 300, 310)[0] == pytest.approx((2 * 10 + 1 * 3) / 3)


def test_chunk_that_has_ended_leaves_the_ensemble():
    playback = player(decay=0.0)
    playback.start(chunk(0, 3), now=0, since=0)
    play(playback, 0, 200)
    playback.start(chunk(10), now=200 * MS, since=200 * MS)
    assert play(playback, 200, 420, 100) == [(2 + 10) / 2, 11, 12]


@pytest.mark.parametrize('decay', [None, 0.0])
def test_what_is_left_of_a_chunk_is_stretched_when_the_period_changes(decay):
    playback = player(decay=decay)
    playback.start(chunk(0, 4), now=0)
    assert play(playback, 0, 160) == [0] * 5 + [1] * 3
    playback.change_period(200 * MS, now=150 * MS)  # half of the second action is left: 100 ms
    assert play(playback, 160, 640) == [1] * 5 + [2] * 10 + [3] * 9
    playback.change_period(100 * MS, now=640 * MS)  # five hundredths of the last: 0.05 periods
    assert play(playback, 640, 660)[0] == 3
    assert play(playback, 660, 680) == [Due.FINISHED]


def test_actions_in_the_past_of_a_late_chunk_are_counted_at_the_rate_they_were_played_at():
    playback = player()
    playback.start(chunk(0), now=0)
    play(playback, 0, 200)
    playback.change_period(200 * MS, now=200 * MS)
    play(playback, 200, 400)
    # observed at 100 ms: since then one action was played at the full rate and one at half of it
    playback.start(chunk(100), now=400 * MS, since=100 * MS)
    assert play(playback, 400, 600) == [102] * 10


@pytest.mark.parametrize(
    ('since', 'first'), [(0, 0), (149, 1), (151, 2), (320, 3), (449, 4), (451, None), (-80, 0)]
)
def test_what_is_left_begins_with_the_action_nearest_to_a_time(since, first):
    playback = player()
    assert playback.left(0) is None
    playback.start(chunk(0, 5), now=0)
    left = playback.left(since * MS)
    assert (None if left is None else left[:, 0].tolist()) == (
        None if first is None else list(range(first, 5))
    )


def test_what_is_left_is_of_the_newest_chunk_and_follows_the_period():
    playback = player(blend=80 * MS)
    playback.start(chunk(0, 5), now=0, since=0)
    play(playback, 0, 200)
    playback.start(chunk(10, 5), now=200 * MS, since=200 * MS)
    playback.change_period(200 * MS, now=200 * MS)
    assert playback.left(600 * MS)[:, 0].tolist() == [12, 13, 14]
    playback.stop()
    assert playback.left(600 * MS) is None


def test_chunk_takes_over_evenly_in_the_time_of_the_blend():
    playback = player(blend=80 * MS)
    playback.start(chunk(0), now=0, since=0)
    assert play(playback, 0, 200) == [0] * 5 + [1] * 5  # there is nothing to take over from
    playback.start(chunk(100), now=200 * MS, since=200 * MS)
    expected = [2, 0.75 * 2 + 0.25 * 100, 0.5 * 2 + 0.5 * 100, 0.25 * 2 + 0.75 * 100, 100, 101]
    assert play(playback, 200, 320) == pytest.approx(expected)


def test_gripper_is_not_blended():
    playback = player(blend=80 * MS)
    playback.start(chunk(0), now=0, since=0)
    play(playback, 0, 200)
    playback.start(chunk(100), now=200 * MS, since=200 * MS)
    assert playback.due(220 * MS)[6] == 100


def test_chunk_that_ends_while_it_fades_out_goes_on_as_it_was():
    playback = player(blend=200 * MS)
    playback.start(chunk(0, 2), now=0, since=0)
    play(playback, 0, 180)
    playback.start(chunk(100), now=180 * MS, since=180 * MS)
    assert play(playback, 280, 300)[0] == pytest.approx(0.5 * 1 + 0.5 * 101)


def test_third_chunk_takes_over_from_what_the_two_before_it_came_to():
    playback = player(blend=100 * MS)
    for number, now in enumerate((0, 200, 240)):
        playback.start(chunk(100 * number), now=now * MS, since=now * MS)
        play(playback, now, now + 40)
    two = 0.2 * 2 + 0.8 * 100
    assert play(playback, 280, 300)[0] == pytest.approx(0.6 * two + 0.4 * 200)
    assert play(playback, 340, 360) == [201]


def test_blended_chunk_ends_with_its_last_action():
    playback = player(blend=80 * MS)
    playback.start(chunk(0), now=0, since=0)
    play(playback, 0, 100)
    playback.start(chunk(100, 1), now=100 * MS, since=100 * MS)
    assert play(playback, 100, 240, 60)[1:] == [pytest.approx(0.25 * 1 + 0.75 * 100), Due.FINISHED]


@pytest.mark.parametrize('rate', [5, 10, 20, 50])
@pytest.mark.parametrize('share', [1.0, 0.6])
@pytest.mark.parametrize('delay', [0.0, 0.4, 1.0, 1.7, 2.3, 4.9])
def test_action_that_is_due_after_a_delay_is_counted_at_the_true_rate(rate, share, delay):
    period = round(1e9 / rate)
    playback = Playback(period=period, tolerance=0, timeout=10**10)
    true = round(period / share)  # ns that an action lasts since the rate fell
    playback.start(chunk(0, 40), now=0)
    playback.change_period(true, now=3 * period)
    observed = 3 * period + 2 * true
    now = observed + round(delay * true)
    for at in np.linspace(0, now, 50):
        playback.due(int(at))
    playback.start(chunk(100), now=now, since=observed)
    assert playback.due(now)[0] == 100 + int(delay)
    assert playback.due(now + true)[0] == 101 + int(delay)
