# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Take the offset of another computer's clock off header stamps, so that those of a bag go together.

A clock that is steadily wrong keeps the spacing and the order of its stamps. Where it is not
steady, or only once it leaps, recording time stands in for it. Knows no policy.
"""

from collections import Counter
from collections.abc import Collection
from collections.abc import Iterator
from typing import Any

from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.reader import BagMessage

SAMPLE = 5 * 10**9  # ns of recording from which a clock is judged
TOLERATED = 10**8  # ns between stamp and recording; a message may have been under way for so long
STEADY = 5 * 10**7  # ns by which a clock may go wrong within the sample
LEAP = 10**9  # ns beside a steady clock, at which it is believed no longer


class Clocks:
    """The offset of every source of stamps: a topic, and who speaks on it."""

    def __init__(self, bag: Bag, topics: Collection[str], notes: Counter[str]):
        """Read the begin of a bag; notes: takes what is done to which stamps."""
        self._notes = notes
        self._offsets: dict[tuple[str, str], int] = {}  # ns to add
        self._unsteady: set[tuple[str, str]] = set()
        self._said: set[tuple[str, str, str]] = set()
        for source, sample in _sample(bag, topics).items():
            half = len(sample) // 2
            # the smallest: what else a message waits for comes on top
            parts = [min(part) for part in (sample[:half], sample[half:]) if part]
            if max(parts) - min(parts) <= STEADY:
                self._offsets[source] = min(parts)
            elif max(map(abs, parts)) > LEAP:
                self._unsteady.add(source)
        self._take_together()

    def _take_together(self) -> None:
        """Leave right clocks alone; give those that are off alike, by one clock, one offset."""
        right = [off for off in self._offsets.values() if abs(off) <= TOLERATED]
        delay = min(right, default=0)  # of the quickest message: it is no clock's
        first = -(2**63)
        for source, off in sorted(self._offsets.items(), key=lambda item: item[1]):
            if off - first > TOLERATED:
                first = off
            self._offsets[source] = first - delay if abs(off) > TOLERATED else 0

    def correct(self, message: BagMessage) -> None:
        """Change the stamps of a message to what they would be by the recorder's clock."""
        for name, header in headers(message.message):
            source, stamp = (message.topic, name), _stamp(header)
            offset = self._offsets.get(source, 0)
            off = message.time - stamp
            if abs(off - offset) > LEAP:
                self._unsteady.add(source)
            if source in self._unsteady:
                self._say(source, off, 'recording time is taken for them')
                _set_stamp(header, message.time)
            elif offset:
                self._say(source, offset, 'that is taken off')
                _set_stamp(header, stamp + offset)

    def _say(self, source: tuple[str, str], off: int, what: str) -> None:
        if (*source, what) not in self._said:
            self._said.add((*source, what))
            side = 'behind' if off > 0 else 'ahead of'
            self._notes[
                f'{" ".join(filter(None, source))}: header stamps are {abs(off) * 1e-9:.2f} s '
                f'{side} recording time; {what}'
            ] += 1


def headers(message: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield (whose, header) of a message; whose: what tells publishers of one topic apart."""
    if hasattr(message, 'transforms'):
        for transform in message.transforms:
            yield transform.child_frame_id, transform.header
    elif hasattr(message, 'position'):  # joint states
        yield message.name[0] if message.name else '', message.header
    else:
        yield '', message.header


def _sample(bag: Bag, topics: Collection[str]) -> dict[tuple[str, str], list[int]]:
    """Return how far recording time is from the first stamps (ns), by source."""
    found: dict[tuple[str, str], list[int]] = {}
    begun: dict[str, int] = {}
    waiting = {topic for topic in topics if bag.counts.get(topic)}
    for message in bag.messages(topics):
        begin = begun.setdefault(message.topic, message.time)
        if message.time - begin > SAMPLE:
            waiting.discard(message.topic)
            if not waiting:
                break
            continue
        for name, header in headers(message.message):
            off = message.time - _stamp(header)
            found.setdefault((message.topic, name), []).append(off)
    return found


def _stamp(header: Any) -> int:  # noqa: ANN401
    return header.stamp.sec * 10**9 + header.stamp.nanosec


def _set_stamp(header: Any, stamp: int) -> None:  # noqa: ANN401
    header.stamp.sec, header.stamp.nanosec = divmod(stamp, 10**9)
