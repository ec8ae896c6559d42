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
