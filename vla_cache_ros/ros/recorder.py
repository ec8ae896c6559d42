# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Record topics to a rosbag2 folder (MCAP), byte for byte, on machines without the ros2 command.

Subscribes to a topic as soon as it has a publisher, with the publisher's reliability and
durability. It does not know what the messages mean.
"""

from collections.abc import Sequence
from contextlib import suppress
import functools
import importlib
from pathlib import Path
import sys
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy
from rclpy.qos import HistoryPolicy
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from vla_cache_ros.control.parameters import RecorderParameters
from vla_cache_ros.ros.declaration import declare
from vla_cache_ros.ros.process import run
from vla_cache_ros.ros.process import stop_requested

DEPTH = 100  # messages that may wait while one is written
SEARCH_PERIOD = 0.1  # s between two looks for new publishers


class Recorder(Node):
    """Write the raw messages of some topics until closed."""

    def __init__(self, **options):
        """Create the bag; raises ValueError when its folder exists or cannot be made."""
        from vla_cache_ros.bags.writer import BagWriter  # a lack of rosbags is one line

        super().__init__('recorder', **options)
        parameters = declare(self, RecorderParameters)
        path = Path(parameters.bag_path)
        if path.exists():
            raise ValueError(f'bag_path: expected a folder that does not exist, got {path}')
        self._writer = BagWriter(path)
        self._missing = {self.resolve_topic_name(topic) for topic in parameters.topics}
        self.counts: dict[str, int] = {}
        self.exit_code = 0
        self.create_timer(SEARCH_PERIOD, self._search)
        self.get_logger().info(f'recording to {path}, waiting for {", ".join(self._missing)}')

    def close(self) -> None:
        """Write index and metadata: from here on the bag can be read."""
        if self.exit_code == 0:
            try:
                self._writer.close()
            except OSError as error:
                self._give_up(error)
        total = sum(self.counts.values())
        self.get_logger().info(f'{total} messages of {len(self.counts)} topics in the bag')
        for topic in sorted(self._missing):
            self.get_logger().warning(f'{topic}: nothing recorded, it never had a publisher')

    def _search(self) -> None:
        for topic in sorted(self._missing):
            publishers = self.get_publishers_info_by_topic(topic)
            if publishers:
                self._missing.discard(topic)
                self._subscribe(topic, publishers)

    def _subscribe(self, topic: str, publishers: Sequence[Any]) -> None:
        name = publishers[0].topic_type
        package, kind = name.split('/msg/')
        message = getattr(importlib.import_module(f'{package}.msg'), kind)
        profiles = [publisher.qos_profile for publisher in publishers]
        reliable = all(p.reliability == ReliabilityPolicy.RELIABLE for p in profiles)
        latched = all(p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in profiles)
        profile = QoSProfile(
            depth=DEPTH,
            history=HistoryPolicy.KEEP_LAST,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        connection = self._writer.add_topic(topic, name, reliable, latched)
        self.counts[topic] = 0
        callback = functools.partial(self._write, topic, connection)
        self.create_subscription(message, topic, callback, profile, raw=True)
        self.get_logger().info(f'recording {topic}')

    def _write(self, topic: str, connection: Any, data: bytes) -> None:  # noqa: ANN401
        if self.exit_code:
            return
        try:
            self._writer.write(connection, self.get_clock().now().nanoseconds, data)
        except OSError as error:
            self._give_up(error)
            return
        self.counts[topic] += 1

    def _give_up(self, error: OSError) -> None:
        """End the process: one that can no longer write shall not look as if it recorded."""
        self.exit_code = 1
        stop_requested.set()
        with suppress(OSError):  # what is buffered has no room either
            self._writer.abort()
        self.get_logger().error(
            f'bag_not_written: expected room on the disk, got: {error}; make room and record to '
            'a new folder. The bag is readable up to here, without its index'
        )


def run_record(out: Path, topics: Sequence[str] | None = None) -> None:
    """Record topics (a robot's usual ones if None) into the folder out until Ctrl-C."""
    overrides = [Parameter('bag_path', value=str(out))]
    if topics:
        overrides.append(Parameter('topics', value=list(topics)))
    code = run(functools.partial(Recorder, parameter_overrides=overrides))
    if code:
        sys.exit(code)


def main(args: list[str] | None = None) -> None:
    """Record until a signal comes, then close the bag."""
    sys.exit(run(Recorder, args))


if __name__ == '__main__':
    main()
