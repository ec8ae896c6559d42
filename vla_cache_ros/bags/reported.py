# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Find the observations that a live node used: its step reports name them by their header stamps.

Reads the bag twice, first the reports alone, so that only messages that a report names are kept
until it comes, however long the inference took. Knows nothing of how they were chosen.
"""

from collections import Counter
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from vla_cache_ros.bags.corrections import Corrections
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.reader import BagMessage
from vla_cache_ros.bags.reported_states import ReportedStates
from vla_cache_ros.bags.steps import BagStep
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.control.messages import stamp_of
from vla_cache_ros.control.sensing.images import name_order
from vla_cache_ros.control.sensing.inputs import Frame
from vla_cache_ros.control.sensing.inputs import FrameSet
from vla_cache_ros.control.sensing.robot import RobotState
from vla_cache_ros.control.step_report import read_report
from vla_cache_ros.control.takeover import PERSON

PATIENCE = 2 * 10**9  # ns; a recorder under load may write a report before its images


def usable_reports(bag: Bag, topics: BagTopics) -> bool:
    """Say whether there is a report of a node with at least as many cameras as topics has."""
    reports = (read_report(message.message.data) for message in bag.messages({topics.report}))
    return any(report and len(report['image_stamps']) >= len(topics.images) for report in reports)


def reported_steps(bag: Bag, topics: BagTopics, notes: Counter[str]) -> Iterator[BagStep]:
    """Yield one observation a report; see `walk` for the arguments."""
    finder = _Finder(bag, topics, notes)
    for message in bag.messages(finder.wanted):
        name_order(message.message, topics.encoding_8uc3)
        yield from finder.take(message)
    yield from finder.finish()


@dataclass(frozen=True)
class _Waiting:
    """A report whose messages may still come; run: how many runs had begun by then."""

    report: dict
    time: int
    run: int


class _Finder:
    """Keep what reports name, and put it together when they come."""

    def __init__(self, bag: Bag, topics: BagTopics, notes: Counter[str]):
        self._topics, self._notes = topics, notes
        self._images = topics.recorded_images(bag)
        self._states = topics.states(bag)
        self._run_info = topics.report.rpartition('/')[0] + '/run_info'
        self.wanted = {*self._images, *self._states, topics.report, self._run_info}
        self._needed = {topic: Counter() for topic in self._images}
        reports = [read_report(m.message.data) for m in bag.messages({topics.report})]
        reports = [report for report in reports if report]
        for report in reports:
            for topic, stamp in self._keys(report):
                self._needed[topic][stamp] += 1
        self._robot = ReportedStates(topics, topics.state_input(bag), reports)
        self._held: dict[tuple[str, int], Frame] = {}
        self._beside: dict[tuple[str, int], RobotState] = {}  # image -> state then
        self._reports: deque[_Waiting] = deque()
        self._runs, self._episode, self._last = 0, -1, None
        self._corrections, self._spans, self._dry = Corrections(topics.corrections), 0, False

    def take(self, message: BagMessage) -> Iterator[BagStep]:
        """Keep a message; yield the observations that are complete with it, in their order."""
        topic = message.topic
        if topic == self._run_info:
            self._runs += 1
        elif topic == self._topics.report:
            report = read_report(message.message.data)
            if report is None:
                self._notes[f'{topic}: a report that cannot be read'] += 1
            else:
                self._reports.append(_Waiting(report, message.time, self._runs))
        else:
            self._keep(message)
        yield from self._complete(message.time)

    def finish(self) -> Iterator[BagStep]:
        """Yield what is left; no further message will come."""
        return self._complete(None)

    def _keep(self, message: BagMessage) -> None:
        if message.topic in self._states:
            self._robot.take(self._states[message.topic], message.message)
            return
        stamp = stamp_of(message.message)
        if self._needed[message.topic][stamp]:
            key = (message.topic, stamp)
            self._held[key] = Frame(message.message, stamp, message.time * 1e-9)
            self._beside[key] = self._robot.newest()

    def _complete(self, now: int | None) -> Iterator[BagStep]:
        while self._reports:
            waiting = self._reports[0]
            keys, states = self._keys(waiting.report), self._robot.keys(waiting.report) or []
            complete = bool(keys) and all(key in self._held for key in keys)
            complete = complete and self._robot.complete(states)
            if not complete and now is not None and now - waiting.time < PATIENCE:
                return
            self._reports.popleft()
            if complete:
                yield from self._step(waiting, keys, states)
            else:
                self._notes['a report names images or states that are not in the bag'] += 1
            self._release(keys)
            self._robot.release(states)

    def _step(
        self, waiting: _Waiting, keys: list[tuple[str, int]], states: list[tuple[str, int]]
    ) -> Iterator[BagStep]:
        self._spans += self._corrections.follow(waiting.report.get('control') == PERSON)
        if not self._corrections.wanted:
            return
        report, images = waiting.report, tuple(self._held[key] for key in keys)
        if states:
            state = self._robot.find(states)
        else:  # a report of old, or of a model without state
            state = self._beside[max(keys, key=lambda key: self._held[key].received)]
        text = self._topics.text or report['instruction']
        frames = FrameSet(self._images, images, text, state)
        try:
            observation = frames.observation()
        except ValueError as error:
            self._notes[str(error)] += 1
            return
        correction = self._corrections.person
        # An arm that is driven and a dry run are two episodes, whatever their number; while a
        # person drives, nobody says which of them it is.
        self._dry = self._dry if correction else report['command_stamp'] == 0
        run = (waiting.run, report['gate'], self._dry, report['episode'], self._spans)
        self._episode += run != self._last
        self._last = run
        yield BagStep(
            self._episode, observation, frames.stamp, waiting.time, report, correction=correction
        )

    def _keys(self, report: dict) -> list[tuple[str, int]]:
        """Return (topic, stamp) of the images that a report was made from."""
        images = report['image_stamps']
        enough = len(images) >= len(self._images)
        return list(zip(self._images, images, strict=False)) if enough else []

    def _release(self, keys: list[tuple[str, int]]) -> None:
        for topic, stamp in keys:
            self._needed[topic][stamp] -= 1
            if self._needed[topic][stamp] <= 0:
                self._held.pop((topic, stamp), None)
                self._beside.pop((topic, stamp), None)
