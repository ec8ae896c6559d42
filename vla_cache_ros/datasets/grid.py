# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Take the frames of a data set out of a recording: at equal distances, each with its action.

A frame holds the newest complete observation not after its time, and what the arm was commanded
then. Knows no file that is written.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace

import numpy as np
from vla_cache_ros.bags.colour import watched
from vla_cache_ros.bags.corrections import Corrections
from vla_cache_ros.bags.corrections import read_mode
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.bags.topics import STRING
from vla_cache_ros.control.sensing.images import name_order
from vla_cache_ros.control.sensing.images import to_rgb
from vla_cache_ros.control.sensing.inputs import FrameSet
from vla_cache_ros.control.sensing.inputs import Inputs
from vla_cache_ros.control.step_report import read_report
from vla_cache_ros.control.takeover import PERSON
from vla_cache_ros.datasets.commands import Found
from vla_cache_ros.datasets.commands import Held
from vla_cache_ros.datasets.ordered import camera_period
from vla_cache_ros.datasets.ordered import ordered
from vla_cache_ros.datasets.ordered import Timed
from vla_cache_ros.types import Observation


@dataclass(frozen=True)
class Moment:
    """
    Hold one frame.

    episode: counts from 0. observation: pictures, instruction and the state when the newest of
    them came. time: of the frame, stamp: of its oldest picture, ns by the recorder's clock.
    action: float32 [A]. correction: whether a person had the arm. step, reuse: of the newest step
    report in the episode, -1 and 0 before one. held: whether the observation is the frame's
    before, since none was complete. repeated: whether all pictures are.
    """

    episode: int
    observation: Observation
    time: int
    stamp: int
    action: np.ndarray
    correction: bool = False
    step: int = -1
    reuse: float = 0.0
    held: bool = False
    repeated: bool = False


def moments(
    bag: Bag, topics: BagTopics, commands: Found, cadence: Cadence, notes: Counter[str]
) -> Iterator[Moment]:
    """
    Yield a frame every `cadence.period` s of each episode.

    The first is half a camera's period after the first complete observation, so that the jitter
    of stamps leaves no picture out and shows none twice. notes: takes what was missing, how stamps
    were read, and how often.
    Raises ValueError if the bag lacks images or an instruction.
    """
    topics.check(bag, needs_state=False)
    images, states = topics.recorded_images(bag), topics.states(bag)
    grid = _Grid(bag, topics, commands, cadence, notes)
    stamped = {*images, *states, *commands.stamped}
    wanted = {*stamped, *commands.topics, *grid.texts}
    patience = max(cadence.image_timeout, cadence.state_timeout)
    items = ordered(bag, wanted, stamped, images, patience, notes)
    return watched(grid.walk(items), bag, images, notes)


class _Grid:
    """Take messages in their order; say what there was at each tick."""

    def __init__(
        self,
        bag: Bag,
        topics: BagTopics,
        commands: Found,
        cadence: Cadence,
        notes: Counter[str],
    ):
        self._topics, self._cadence, self._notes = topics, cadence, notes
        self._images, self._states = topics.recorded_images(bag), topics.states(bag)
        self._inputs = Inputs(self._images, topics.state_input(bag))
        self._commands, self._held = commands, Held(commands, notes)
        self._corrections = Corrections(topics.corrections)
        self._reports = topics.report if topics.has_reports(bag) else ''
        self._run_info = topics.report.rpartition('/')[0] + '/run_info'
        self._control = topics.control if bag.topics.get(topics.control) == STRING else ''
        self._begins = _begins(bag, self._reports, self._run_info, self._images[0])
        texts = [self._reports, self._control, self._reports and self._run_info]
        if topics.text:
            self._inputs.take_instruction(topics.text)
        else:
            texts.append(topics.instruction)
        self.texts = {topic for topic in texts if topic and topic in bag.topics}
        self._period = round(cadence.period * 1e9)
        camera = camera_period(bag, self._images[0]) or cadence.period
        self._phase = round(min(camera, cadence.period) * 1e9 / 2)
        self._episode, self._after, self._open = 0, 0, not self._reports
        self._missed, self._shown = [], None
        self._newest: dict[str, int] = {}  # image topic -> ns
        self._decoded: dict[str, tuple[object, np.ndarray]] = {}
        self._end()

    def walk(self, items: Iterator[Timed]) -> Iterator[Moment]:
        """Yield the frames of a recording."""
        newest = 0
        for item in items:
            while self._due is not None and self._due < item.when:
                yield from self._tick(self._due)
            self._take(item)
            newest = max(newest, item.when)
        if self._due is not None and self._due <= newest + self._phase:
            yield from self._tick(self._due)
        self._end()

    def _take(self, item: Timed) -> None:
        topic, message = item.topic, item.message
        if topic in self._images:
            self._take_image(item)
        elif topic in self._states:
            self._inputs.take_state(self._states[topic], message)
        elif topic == self._run_info:
            self._close()
        elif topic == self._reports:
            self._take_report(message.data)
        elif topic == self._control:
            person = read_mode(message.data)
            if person is None:
                self._notes[f'{topic}: a message that cannot be read'] += 1
            else:
                self._give(person, item.when)
        elif topic == self._topics.instruction and not self._topics.text:
            if self._inputs.take_instruction(message.data):
                self._close()
        if topic in self._commands.topics:
            self._held.take(topic, message, item.when)

    def _take_image(self, item: Timed) -> None:
        if item.when < self._newest.get(item.topic, item.when):
            self._notes[f'{item.topic}: an image that came after a newer one'] += 1
            return
        self._newest[item.topic] = item.when
        if item.topic == self._images[0] and item.taken in self._begins:
            self._end()
            self._after, self._open = item.when, True
        name_order(item.message, self._topics.encoding_8uc3)
        self._inputs.take_image(item.topic, item.message, item.when * 1e-9)
        if not self._corrections.wanted:
            return
        frames = self._inputs.newest_set(self._after, self._cadence.sync_slop)
        self._frames = frames or self._frames
        if self._due is None:
            self._begin(item)

    def _begin(self, item: Timed) -> None:
        """Begin an episode with an image, if that completes an observation."""
        problem = self._problem(item.when)
        if problem is None and not self._open:
            problem = 'no inference of the live node yet'
        if problem is None and self._frames is not None:
            self._due = item.when + self._phase
        elif problem is not None and item.topic == self._images[0]:
            self._notes[f'{item.topic}: an image before the first frame: {problem}'] += 1

    def _take_report(self, text: str) -> None:
        report = read_report(text)
        if report is None:
            self._notes[f'{self._reports}: a report that cannot be read'] += 1
            return
        reuse = report.get('reuse')
        self._report = report['step'], float(reuse) if type(reuse) in (int, float) else 0.0
        if not self._control:
            self._give(report.get('control') == PERSON, None)

    def _give(self, person: bool, when: int | None) -> None:
        if self._corrections.follow(person):
            self._end()
            self._after = self._after if when is None else when

    def _problem(self, now: int) -> str | None:
        """Return what forbids a frame at now (ns); None for nothing."""
        cadence = self._cadence
        found = self._inputs.problems(
            now, cadence.image_timeout, cadence.state_timeout, cadence.sync_slop
        )
        if found:
            # without the ages, which are others each time
            told = {
                text if cause.startswith('bad') else f'{cause} ({source})'
                for (cause, source), text in found.items()
            }
            return '; '.join(sorted(told))
        if self._held.at(now) is None:
            return f'nothing was commanded yet ({", ".join(sorted(self._commands.topics))})'
        return self._unknown(now)

    def _unknown(self, now: int) -> str | None:
        """Return why nobody can tell what was commanded at now (ns), None if one can."""
        silent, arm = self._held.silent(now), self._commands.arm
        if silent > self._cadence.max_gap:
            return f'nothing was commanded for {self._cadence.max_gap:g} s ({arm})'
        if self._corrections.person and silent > self._commands.timeout:
            return f'a person had the arm, by other means than {arm}'
        return None

    def _tick(self, now: int) -> Iterator[Moment]:
        self._due = now + self._period
        problem, moment = self._problem(now), None
        if problem is None:
            try:
                moment = self._moment(now)
            except ValueError as error:  # a picture that does not decode
                problem = str(error)
        if moment is None:
            self._notes[f'a frame without a complete observation: {problem}'] += 1
            if self._shown is None:  # not begun yet
                self._due = None
                return
            if self._unknown(now):  # what was done then is not what is held
                self._end()
                return
            action = self._held.at(now)
            self._missed.append((now, self._shown.action if action is None else action))
            if now - self._shown.stamp > self._cadence.max_gap * 1e9:
                self._end()
            return
        for missed, action in self._missed:  # it went on: what was seen before holds
            yield replace(self._shown, time=missed, action=action, held=True, repeated=True)
        self._missed, self._shown = [], moment
        yield moment

    def _moment(self, now: int) -> Moment:
        pictures, frames = [], self._frames
        repeated = True
        for topic, frame in zip(frames.topics, frames.images, strict=True):
            if topic not in self._decoded or self._decoded[topic][0] is not frame:
                self._decoded[topic] = frame, to_rgb(frame.message, topic)
                repeated = False
            pictures.append(self._decoded[topic][1])
        step, reuse = self._report
        observation = Observation(tuple(pictures), frames.instruction, frames.state.vector)
        action, person = self._held.at(now), self._corrections.person
        return Moment(
            self._episode, observation, now, frames.stamp, action, person, step, reuse,
            repeated=repeated and self._shown is not None,
        )  # fmt: skip

    def _close(self) -> None:
        """End the episode; where a live node ran, the next begins with its first inference."""
        self._end()
        self._open = not self._reports

    def _end(self) -> None:
        """End the episode: the next begins with the next complete observation."""
        if self._missed:
            note = 'a frame without a complete observation at the end of an episode is left out'
            self._notes[note] += len(self._missed)
        self._episode += self._shown is not None
        self._due: int | None = None  # ns, of the next frame
        self._missed: list[tuple[int, np.ndarray]] = []  # ns, action
        self._shown: Moment | None = None
        self._frames: FrameSet | None = None
        self._report = -1, 0.0


def _begins(bag: Bag, reports: str, run_info: str, camera: str) -> set[int]:
    """Return the stamps of a camera's pictures with which a live node's episodes began."""
    found: set[int] = set()
    if not reports:
        return found
    runs, last = 0, None
    for message in bag.messages({reports, run_info}):
        if message.topic == run_info:
            runs += 1
            continue
        report = read_report(message.message.data)
        if report is None or not report['image_stamps']:
            continue
        run = runs, report['episode']
        if run != last:
            found.add(report['image_stamps'][0])
        last = run
    return found
