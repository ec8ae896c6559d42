# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Keep the newest message of every input and say whether an observation can be made of them.

Pure Python: takes messages with the time they came, so that a bag can be walked through as a
live graph is. It does not know how messages arrive.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from vla_cache_ros.control.messages import stamp_of
from vla_cache_ros.control.safety import lateness
from vla_cache_ros.control.sensing.images import check_image
from vla_cache_ros.control.sensing.images import to_rgb
from vla_cache_ros.control.sensing.robot import RobotState
from vla_cache_ros.control.sensing.robot import StateInput
from vla_cache_ros.types import Observation

MAX_INSTRUCTION = 1000  # characters
# Every cause that problems() can name, and the one that Stillness can.
CAUSES = {
    'no_instruction', 'bad_instruction', 'no_image', 'bad_image', 'stale_image',
    'unstamped_image', 'future_stamp_image', 'no_state', 'bad_state', 'stale_state',
    'unstamped_state', 'future_stamp_state', 'unsynchronised_images', 'frozen_image',
}  # fmt: skip
HISTORY = 10  # images of each camera: a fast one's older image may belong to a slow one's newest


@dataclass(frozen=True)
class Frame:
    """A message, its header stamp (ns) and when it was received (perf_counter, s)."""

    message: object
    stamp: int
    received: float


@dataclass(frozen=True)
class FrameSet:
    """What one observation is made of, its images not decoded yet."""

    topics: tuple[str, ...]
    images: tuple[Frame, ...]
    instruction: str
    state: RobotState

    @property
    def stamp(self) -> int:
        """Return when the oldest image was taken (ns)."""
        return min(frame.stamp for frame in self.images)

    @property
    def received(self) -> float:
        """Return when the last image came (perf_counter, s)."""
        return max(frame.received for frame in self.images)

    def observation(self) -> Observation:
        """Decode the images; raises ValueError for one that cannot be used."""
        pairs = zip(self.topics, self.images, strict=True)
        images = tuple(to_rgb(frame.message, topic) for topic, frame in pairs)
        return Observation(images, self.instruction, self.state.vector)


class Inputs:
    """The newest of everything, and what is wrong with it."""

    def __init__(
        self,
        image_topics: tuple[str, ...],
        state: StateInput,
        check: Callable[[str], None] = lambda instruction: None,
    ):
        """
        Expect one image per topic, and what of the state is needed.

        check: raises what the model has against an instruction.
        """
        self.image_topics = image_topics
        self.states = state.topics
        self._state, self._check = state, check
        self.instruction = ''
        self._frames: dict[str, deque[Frame]] = {}
        self._paired: tuple[float, tuple[Frame, ...] | None] | None = None  # None: not known
        self._faults: dict[str, tuple[str, str]] = {}

    def take_image(self, topic: str, message: object, received: float) -> None:
        """Keep an image unless its header is wrong; a wrong one is a problem until the next."""
        try:
            if hasattr(message, 'encoding'):
                check_image(message, topic)
        except ValueError as error:
            self._faults[topic] = ('bad_image', str(error))
            return
        self._faults.pop(topic, None)
        frames = self._frames.setdefault(topic, deque(maxlen=HISTORY))
        frame = Frame(message, stamp_of(message), received)
        if frames and frame.stamp < frames[-1].stamp:
            frames.clear()  # the source began anew, or its clock was set
        frames.append(frame)
        self._paired = None

    def take_state(self, topic: str, message: object) -> bool:
        """Keep what a message says of the state; return whether anything of it is used."""
        return self._state.take(topic, message)

    def take_instruction(self, text: str) -> bool:
        """Keep an instruction; return whether it differs from the one before."""
        before, self.instruction = self.instruction, ''
        self._faults.pop('instruction', None)
        text = text.strip()
        if 0 < len(text) <= MAX_INSTRUCTION:
            try:
                self._check(text)
                self.instruction = text
            except Exception as error:  # noqa: BLE001 - a tokenizer may raise anything
                self._faults['instruction'] = ('bad_instruction', f'{error}; publish a new one')
        else:
            self._faults['instruction'] = (
                'bad_instruction',
                f'instruction: expected 1 to {MAX_INSTRUCTION} characters, got {len(text)}; '
                'publish a new one',
            )
        return self.instruction != before

    def forget(self) -> None:
        """Forget images and states, but not the instruction: it is latched."""
        self._frames.clear()
        self._state.forget()
        self._paired = None
        self._faults = {k: v for k, v in self._faults.items() if k == 'instruction'}

    def pose(self) -> np.ndarray | None:
        """Return the newest pose [6], xyz (m) and axis-angle (rad), or None before the first."""
        return self._state.pose()

    def newest(self, topic: str) -> Frame | None:
        """Return the newest message of an input that can be used, None before the first."""
        frames = self._frames.get(topic)
        return frames[-1] if frames else None

    def joint_positions(self, names: tuple[str, ...]) -> np.ndarray | None:
        """Return the newest positions [n], rad, of the named joints, None before the first."""
        return self._state.joint_positions(names)

    def newest_images(self) -> dict[str, Frame]:
        """Return the newest image of every camera that has sent one."""
        return {t: self._frames[t][-1] for t in self.image_topics if t in self._frames}

    def problems(
        self, now: int, image_timeout: float, state_timeout: float, slop: float
    ) -> dict[tuple[str, str], str]:
        """
        Return (cause, source) -> message for whatever forbids an observation at now (ns).

        Ages and slop (largest spread of the image stamps) in s.
        """
        found = {(cause, source): text for source, (cause, text) in self._faults.items()}
        if not self.instruction and 'instruction' not in self._faults:
            found['no_instruction', 'instruction'] = 'waiting for a message on instruction'
        for topic in self.image_topics:
            frames = self._frames.get(topic)
            if topic in self._faults:
                continue
            if frames is None:
                found['no_image', topic] = f'waiting for image {topic}'
            elif late := lateness(topic, frames[-1].stamp, now, image_timeout):
                found[f'{late[0]}_image', topic] = late[1]
        found |= self._state.problems(now, state_timeout)
        if not found:
            images = self._images(slop)
            if images is None or now - min(f.stamp for f in images) > image_timeout * 1e9:
                stamps = [self._frames[topic][-1].stamp for topic in self.image_topics]
                found['unsynchronised_images', ', '.join(self.image_topics)] = (
                    f'expected images stamped within {slop:g} s of each other (sync_slop), the '
                    f'newest are {(max(stamps) - min(stamps)) * 1e-9:.3f} s apart; '
                    "synchronise the cameras' clocks or raise sync_slop"
                )
        return found

    def newest_set(self, after: int, slop: float) -> FrameSet | None:
        """
        Return the newest messages that go together if none is older than after (ns), else None.

        slop: largest spread of the image stamps, s.
        """
        images = self._images(slop)
        if images is None or min(frame.stamp for frame in images) < after:
            return None
        state = self._state.newest(after)
        if state is None:
            return None
        return FrameSet(self.image_topics, images, self.instruction, state)

    def _images(self, slop: float) -> tuple[Frame, ...] | None:
        """Return the newest images of all cameras whose stamps spread by no more than slop (s)."""
        if self._paired is None or self._paired[0] != slop:
            self._paired = (slop, self._pair(slop))  # asked for far more often than images come
        return self._paired[1]

    def _pair(self, slop: float) -> tuple[Frame, ...] | None:
        kept = [self._frames.get(topic, ()) for topic in self.image_topics]
        spread = round(slop * 1e9)  # ns; stamps are too large for floats
        for newest in sorted((f.stamp for frames in kept for f in frames), reverse=True):
            near = [
                next((f for f in reversed(frames) if f.stamp <= newest), None) for frames in kept
            ]
            if all(frame and frame.stamp >= newest - spread for frame in near):
                return tuple(near)
        return None
