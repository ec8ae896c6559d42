# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Walk through a bag of a run and yield the pictures of its video.

Knows the topics it is told and the layout of a step report; draws and measures nothing.
"""

from collections import deque
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
import json
from typing import Any

from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.control.sensing.images import to_rgb
from vla_cache_ros.control.step_report import active_tokens
from vla_cache_ros.reports.video import Frame


@dataclass(frozen=True)
class Span:
    """Hold one episode of the run: begin and end (ns, recording time), gate and result."""

    begin: int
    end: int
    instruction: str
    gate: str
    result: str


def frames(
    bag: Bag, image_topics: Sequence[str], report_topic: str, spans: Sequence[Span], fps: float
) -> Iterator[Frame]:
    """
    Yield a frame every 1 / fps s of each span, once every camera has shown one.

    spans: one after the other. The result of a span stands on its last second only: before, the
    viewer shall watch. Raises ValueError if a topic is not in the bag.
    """
    topics = [*image_topics, report_topic]
    if missing := set(topics) - set(bag.topics):
        raise ValueError(
            f'{bag.path}: expected the topics {", ".join(topics)}, '
            f'missing are {", ".join(sorted(missing))}'
        )
    left = deque(spans)
    newest: dict[str, Any] = {}
    known: dict = {}  # what the latest step report says
    due = 0
    for message in bag.messages(topics):
        while left and message.time >= left[0].end:
            left.popleft()
            newest.clear()
            known = {}
        if not left or message.time < left[0].begin:
            continue
        span = left[0]
        if message.topic == report_topic:
            text = message.message.data
            report = json.loads(text)
            known = {
                'active': active_tokens(text),
                'reuse': report['reuse'],
                'milliseconds': report['latency_ms']['total'],
            }
            continue
        newest[message.topic] = message.message
        if message.time < due or len(newest) < len(image_topics):
            continue
        due = message.time + round(1e9 / fps) - 10**7  # jitter shall not cost a whole frame
        images = tuple(to_rgb(newest[topic], topic) for topic in image_topics)
        result = span.result if span.end - message.time < 10**9 else ''
        yield Frame(images, span.instruction, span.gate, result=result, **known)
