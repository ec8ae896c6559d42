# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Show a running policy in Rerun: cameras, overlays, where the chunk leads, figures, commands, stops.

Subscribes as a person would, to what every vla_node of the graph hears and says, wherever that is
remapped to. Draws nothing itself; it costs the policy its overlay.
"""

from collections.abc import Iterator
from contextlib import contextmanager
import functools
import importlib
import subprocess
import sys
import time
from typing import Any

import cv2
import numpy as np
from rclpy.node import Node
from rclpy.node import NodeNameNonExistentError
import rerun as rr
import rerun.blueprint as rrb
from vla_cache_ros.control.messages import stamp_of
from vla_cache_ros.control.messages import twist_vector
from vla_cache_ros.control.parameters import ViewParameters
from vla_cache_ros.control.sensing.images import to_rgb
from vla_cache_ros.control.step_report import read_report
from vla_cache_ros.live.processes import end_process
from vla_cache_ros.ros.declaration import declare
from vla_cache_ros.ros.process import run
from vla_cache_ros.ros.qos import NEWEST

MODULE = 'vla_cache_ros.live.view'
POLICY = 'vla_node'
SEARCH_PERIOD = 0.5  # s between two looks for new topics
PICTURE_PERIOD = 0.09  # s between two pictures of a camera, about
TRAIL = 5.0  # s for which the path of a chunk stays
TIMELINE = 'ros_time'
CAMERAS = {'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'}
TIMES = ('act_ms', 'image_to_command_ms')
ACCENT = (255, 176, 46)


class View(Node):
    """Log what comes to a Rerun viewer, or to a file."""

    def __init__(self, **options):
        """Open the viewer, or the file; raises ValueError where that cannot be."""
        super().__init__('view', **options)
        path = declare(self, ViewParameters).path
        self._recording = rr.RecordingStream('vla_cache_ros')
        try:
            if path:
                self._recording.save(path)
            else:
                self._recording.spawn()
        except Exception as error:
            raise ValueError(f'view: expected to open {path or "the viewer"}: {error}') from error
        self._recording.log('/', rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        self._take = {
            'sensor_msgs/msg/Image': self._picture,
            'sensor_msgs/msg/CompressedImage': self._picture,
            'nav_msgs/msg/Path': self._chunk,
            'geometry_msgs/msg/TwistStamped': self._twist,
            'geometry_msgs/msg/PoseStamped': self._target,
            'std_msgs/msg/Float64MultiArray': self._numbers,
            'std_msgs/msg/String': self._report,
            'diagnostic_msgs/msg/DiagnosticArray': self._health,
        }
        self._topics: dict[str, str] = {}  # -> type
        self._shown: dict[str, float] = {}  # picture topic -> monotonic, s
        self._said: dict[str, str] = {}  # what a text was last
        self.create_timer(SEARCH_PERIOD, self._search)

    def close(self) -> None:
        """Write what is left."""
        self._recording.disconnect()

    def _search(self) -> None:
        found = {}
        for name, namespace in self.get_node_names_and_namespaces():
            if name != POLICY:
                continue
            try:
                heard = self.get_subscriber_names_and_types_by_node(name, namespace)
                told = self.get_publisher_names_and_types_by_node(name, namespace)
            except NodeNameNonExistentError:  # it ended just now
                continue
            found |= {topic: kinds[0] for topic, kinds in heard if kinds[0] in CAMERAS}
            # of an overlay the compressed form does
            kinds_told = self._take.keys() - {'sensor_msgs/msg/Image'}
            found |= {topic: kinds[0] for topic, kinds in told if kinds[0] in kinds_told}
        new = found.keys() - self._topics.keys()
        for topic in sorted(new):
            package, kind = found[topic].split('/msg/')
            message = getattr(importlib.import_module(f'{package}.msg'), kind)
            take = functools.partial(self._take[found[topic]], topic)
            self.create_subscription(message, topic, take, NEWEST if kind in CAMERAS else 10)
        self._topics |= found
        if new:
            self._recording.send_blueprint(blueprint(self._topics))

    def _log(self, stamp: int, entity: str, what: Any) -> None:  # noqa: ANN401
        self._recording.set_time(TIMELINE, timestamp=np.datetime64(stamp, 'ns'))
        self._recording.log(entity, what)

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds

    def _picture(self, topic: str, message: Any) -> None:  # noqa: ANN401
        now = time.monotonic()
        if now - self._shown.get(topic, 0.0) < PICTURE_PERIOD:
            return
        self._shown[topic] = now
        try:
            rgb = to_rgb(message, topic)
        except ValueError:
            return  # the policy says what is wrong with it
        _, jpeg = cv2.imencode('.jpg', rgb[..., ::-1])
        picture = rr.EncodedImage(contents=jpeg.tobytes(), media_type='image/jpeg')
        self._log(stamp_of(message), topic, picture)

    def _chunk(self, topic: str, message: Any) -> None:  # noqa: ANN401
        points = [_position(one.pose) for one in message.poses]
        self._log(stamp_of(message), topic, rr.LineStrips3D([points], colors=[ACCENT]))
        self._log(stamp_of(message), f'{topic}/from', rr.Points3D(points[:1], colors=[ACCENT]))

    def _twist(self, topic: str, message: Any) -> None:  # noqa: ANN401
        twist = twist_vector(message)
        for name, values in (('linear', twist[:3]), ('angular', twist[3:])):
            self._log(stamp_of(message), f'{topic}/{name}', rr.Scalars(values))

    def _target(self, topic: str, message: Any) -> None:  # noqa: ANN401
        self._log(stamp_of(message), topic, rr.Points3D([_position(message.pose)]))

    def _numbers(self, topic: str, message: Any) -> None:  # noqa: ANN401
        self._log(self._now(), topic, rr.Scalars(list(message.data)))

    def _report(self, topic: str, message: Any) -> None:  # noqa: ANN401
        report = read_report(message.data)
        if report is None:
            return
        stamp = self._now()
        for name in ('reuse', *TIMES):
            if isinstance(value := report.get(name), int | float):
                self._log(stamp, f'{topic}/{name}', rr.Scalars(value))
        self._tell(stamp, f'{topic}/instruction', report['instruction'], 'INFO')

    def _health(self, topic: str, message: Any) -> None:  # noqa: ANN401
        for status in message.status:
            for pair in status.values:
                if pair.key == 'stop causes':
                    level = 'INFO' if pair.value == 'none' else 'WARN'
                    self._tell(self._now(), f'{topic}/stop_causes', pair.value, level)

    def _tell(self, stamp: int, entity: str, text: str, level: str) -> None:
        """Log a text where it differs from the one before."""
        if self._said.get(entity) != text:
            self._said[entity] = text
            name = entity.rpartition('/')[2].replace('_', ' ')
            self._log(stamp, entity, rr.TextLog(f'{name}: {text}', level=level))


def blueprint(topics: dict[str, str]) -> rrb.Blueprint:
    """Return what stands where: pictures above, path, curves and words below."""

    def of(*kinds: str) -> list[str]:
        return sorted(topic for topic, kind in topics.items() if kind.endswith(kinds))

    overlays = [topic for topic in of('Image') if '/overlay/' in topic]
    cameras = [topic for topic in of('Image') if topic not in overlays]
    reports = [topic for topic in of('/String') if topic.endswith('/step_report')]
    # of each curve's own scale
    curves = {
        'reuse': [f'{topic}/reuse' for topic in reports],
        'ms': [f'{topic}/{name}' for topic in reports for name in TIMES],
        'm/s': [f'{topic}/linear' for topic in of('/TwistStamped')],
    }
    return rrb.Blueprint(
        rrb.Vertical(
            rrb.Horizontal(
                *(
                    rrb.Spatial2DView(origin=topic, name=topic.removesuffix('/compressed'))
                    for topic in [*overlays, *cameras]
                )
            ),
            rrb.Horizontal(
                rrb.Spatial3DView(
                    name='chunk',
                    contents=[f'{topic}/**' for topic in of('/Path', '/PoseStamped')],
                    time_ranges=rrb.VisibleTimeRange(
                        TIMELINE,
                        start=rrb.TimeRangeBoundary.cursor_relative(seconds=-TRAIL),
                        end=rrb.TimeRangeBoundary.cursor_relative(seconds=0),
                    ),
                ),
                rrb.Vertical(
                    *(
                        rrb.TimeSeriesView(name=name, contents=contents)
                        for name, contents in curves.items()
                        if contents
                    )
                ),
                rrb.TextLogView(name='words', contents='/**'),
                column_shares=[3, 4, 3],
            ),
        ),
        collapse_panels=True,
    )


@contextmanager
def viewing(path: str) -> Iterator[None]:
    """Show the graph that this process is in while it lasts; path: of a file, '': a viewer."""
    command = [sys.executable, '-m', MODULE, '--ros-args', '-p', f"path:='{path}'"]
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        end_process(process)


def _position(pose: Any) -> list[float]:  # noqa: ANN401
    return [pose.position.x, pose.position.y, pose.position.z]


def main(args: list[str] | None = None) -> None:
    """Show until a signal comes."""
    sys.exit(run(View, args))


if __name__ == '__main__':
    main()
