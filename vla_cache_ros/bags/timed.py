# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Choose the observations of a recording by time, with the rules of the live node's inputs.

Knows nothing of what was inferred or commanded while the bag was recorded.
"""

from collections import Counter
from collections.abc import Iterator
import re

from vla_cache_ros.bags.clocks import Clocks
from vla_cache_ros.bags.corrections import Corrections
from vla_cache_ros.bags.corrections import read_mode
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.reader import BagMessage
from vla_cache_ros.bags.steps import BagStep
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.bags.topics import STRING
from vla_cache_ros.control.messages import stamp_of
from vla_cache_ros.control.sensing.images import name_order
from vla_cache_ros.control.sensing.inputs import Inputs

_NUMBERS = re.compile(r'\d+\.\d+')


def timed_steps(
    bag: Bag, topics: BagTopics, cadence: Cadence, notes: Counter[str]
) -> Iterator[BagStep]:
    """Yield one observation a period; see `walk` for the arguments."""
    images, states = topics.recorded_images(bag), topics.states(bag)
    inputs = Inputs(images, topics.state_input(bag))
    wanted = {*images, *states}
    corrections = Corrections(topics.corrections)
    clocks = Clocks(bag, wanted, notes)
    chooser = _Chooser(inputs, states, cadence, notes, clocks, corrections)
    if bag.topics.get(topics.control) == STRING:
        wanted.add(topics.control)
    if topics.text:
        inputs.take_instruction(topics.text)
    else:
        wanted.add(topics.instruction)
    for message in bag.messages(wanted):
        if message.topic == topics.control:
            chooser.hand_over(message)
            continue
        name_order(message.message, topics.encoding_8uc3)
        step = chooser.take(message)
        if step is not None:
            yield step


class _Chooser:
    """Take messages one by one; say when an observation is due and complete."""

    def __init__(
        self,
        inputs: Inputs,
        states: dict[str, str],
        cadence: Cadence,
        notes: Counter[str],
        clocks: Clocks,
        corrections: Corrections,
    ):
        self._corrections, self._after = corrections, 0  # ns; earlier images are others'
        self._inputs, self._states, self._cadence = inputs, states, cadence
        self._notes, self._clocks = notes, clocks
        self._first_notes: dict[str, str] = {}
        self._newest: dict[str, int] = {}  # image topic -> stamp, ns
        self._episode, self._begun = 0, False
        self._due: int | None = None  # ns; None: with the first observation that is possible

    def hand_over(self, message: BagMessage) -> None:
        """Take who has the arm from now on."""
        person = read_mode(message.message.data)
        if person is None:
            self._notes[f'{message.topic}: a message that cannot be read'] += 1
        elif self._corrections.follow(person):
            self._end_episode()
            self._after = message.time

    def take(self, message: BagMessage) -> BagStep | None:
        """Keep a message; return the observation that it completes, if one is due."""
        if message.topic in self._states:
            self._clocks.correct(message)
            self._inputs.take_state(self._states[message.topic], message.message)
        elif message.topic in self._inputs.image_topics:
            self._clocks.correct(message)
            if not self._follows(message):
                return None
            self._inputs.take_image(message.topic, message.message, message.time * 1e-9)
        elif self._inputs.take_instruction(message.message.data):
            self._end_episode()
        return self._observe(message.time)

    def _observe(self, now: int) -> BagStep | None:
        if not self._corrections.wanted:
            return None
        cadence = self._cadence
        problems = self._inputs.problems(
            now, cadence.image_timeout, cadence.state_timeout, cadence.sync_slop
        )
        for text in problems.values():
            kind = _NUMBERS.sub('', text)  # one note, whatever the age in it
            self._notes[self._first_notes.setdefault(kind, text)] += 1
        frames = self._inputs.newest_set(self._due or self._after, cadence.sync_slop)
        if problems or frames is None:
            return None
        if self._due is None:
            self._due = frames.stamp + round(cadence.offset * 1e9)
            if frames.stamp < self._due:
                return None
        try:
            observation = frames.observation()
        except ValueError as error:  # as live: again, with newer images
            self._notes[str(error)] += 1
            self._due = frames.stamp + 1
            return None
        period = round(cadence.period * 1e9)
        # On a grid, so that the jitter of stamps does not add up; a late one begins a new grid.
        late = frames.stamp - self._due > period // 2
        self._due = (frames.stamp if late else self._due) + period
        self._begun = True
        correction = self._corrections.person
        return BagStep(self._episode, observation, frames.stamp, now, correction=correction)

    def _follows(self, message: BagMessage) -> bool:
        """Say whether an image is newer than its camera's last; end the episode at a leap."""
        stamp = stamp_of(message.message)
        before = self._newest.get(message.topic, stamp)
        if before - stamp > self._cadence.sync_slop * 1e9:
            self._notes[f'{message.topic}: stamps went back, a new episode begins'] += 1
            self._inputs.forget()
            self._newest.clear()
            self._end_episode()
        elif stamp < before:
            self._notes[f'{message.topic}: an image that came after a newer one'] += 1
            return False
        elif stamp - before > self._cadence.max_gap * 1e9:
            self._end_episode()
        self._newest[message.topic] = stamp
        return True

    def _end_episode(self) -> None:
        self._episode += self._begun
        self._begun, self._due = False, None
