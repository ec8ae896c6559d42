# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Walk through a bag of a run and yield the pictures of its video.

Reads rosbag2 without a ROS install. Knows the topics it is told and the layout of a step report;
draws nothing and measures nothing.
"""

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
import json
from pathlib import Path

import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores
from vla_cache_ros.evaluation.video import Frame
from vla_cache_ros.ros.conversion import to_rgb
from vla_cache_ros.ros.step_report import active_tokens


@dataclass(frozen=True)
class Span:
    """Hold one episode of the run: begin and end (ns, recording time), gate and result."""

    begin: int
    end: int
    instruction: str
    gate: str
    result: str


def frames(
    bag: Path, image_topics: Sequence[str], report_topic: str, spans: Sequence[Span], fps: float
) -> Iterator[Frame]:
    """
    Yield a frame every 1 / fps s of each span, once every camera has shown one.

    The result of a span stands on its last second only: before, the viewer shall watch. Raises
    ValueError if a topic is not in the bag.
    """
    topics = [*image_topics, report_topic]
    with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
        connections = [c for c in reader.connections if c.topic in topics]
        missing = set(topics) - {c.topic for c in connections}
        if missing:
            raise ValueError(
                f'{bag}: expected the topics {", ".join(topics)}, '
                f'missing are {", ".join(sorted(missing))}'
            )
        for span in spans:
            yield from _frames_of(reader, connections, image_topics, report_topic, span, fps)


def _frames_of(
    reader: AnyReader,
    connections: list,
    image_topics: Sequence[str],
    report_topic: str,
    span: Span,
    fps: float,
) -> Iterator[Frame]:
    newest: dict[str, np.ndarray] = {}
    known: dict = {}  # what the latest step report says
    due = span.begin
    for connection, time, raw in reader.messages(connections, span.begin, span.end):
        if connection.topic == report_topic:
            text = reader.deserialize(raw, connection.msgtype).data
            report = json.loads(text)
            known = {
                'active': active_tokens(text),
                'reuse': report['reuse'],
                'milliseconds': report['latency_ms']['total'],
            }
            continue
        newest[connection.topic] = raw, connection
        if time < due or len(newest) < len(image_topics):
            continue
        due = time + round(1e9 / fps) - 10**7  # a stamp's jitter shall not cost a whole frame
        images = tuple(_decode(reader, *newest[topic], topic) for topic in image_topics)
        ending = span.end - time < 10**9
        yield Frame(
            images, span.instruction, span.gate, result=span.result if ending else '', **known
        )


def _decode(reader: AnyReader, raw: bytes, connection: object, topic: str) -> np.ndarray:
    return to_rgb(reader.deserialize(raw, connection.msgtype), topic)


def message_counts(bag: Path) -> dict[str, int]:
    """Return how many messages of each topic a bag holds."""
    with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
        return {connection.topic: connection.msgcount for connection in reader.connections}
