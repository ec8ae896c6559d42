# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Look the end effector up by tf2 where it is installed, else by this package's own buffer.

tf2_msgs, the type of /tf, comes with a ROS install and with no wheel; nothing else needs it.
"""

from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.time import Time
from vla_cache_ros.control.sensing.transforms import NoTransform
from vla_cache_ros.control.sensing.transforms import Transform
from vla_cache_ros.control.sensing.transforms import TransformBuffer


def transform_type() -> type:
    """Return the type of /tf; raises ValueError where there is none."""
    try:
        from tf2_msgs.msg import TFMessage
    except ModuleNotFoundError:
        raise ValueError(
            'ee_frame: expected tf2_msgs beside this ROS install, found none: install it, or '
            'leave ee_frame empty and publish end_effector_pose'
        ) from None
    return TFMessage


def make_buffer() -> Any:  # noqa: ANN401 - a TransformBuffer, or what behaves like one
    """Return tf2's buffer if there is one; raises ValueError where there is no type of /tf."""
    transform_type()
    try:
        import tf2_ros
    except ModuleNotFoundError:
        return TransformBuffer()
    return Tf2Buffer(tf2_ros)


class Tf2Buffer:
    """tf2's buffer, with the outside of a TransformBuffer."""

    def __init__(self, tf2_ros: Any):  # noqa: ANN401
        """Start without frames; the transforms are given, not listened to."""
        self._tf2, self._static = tf2_ros, {}
        self._buffer = tf2_ros.Buffer()

    def clear(self) -> None:
        """Forget what moves; what is static stays true."""
        self._buffer = self._tf2.Buffer()
        for transform in self._static.values():
            self._buffer.set_transform_static(transform, 'vla_node')

    def take(self, message: Any, static: bool) -> None:  # noqa: ANN401
        """Keep the transforms of a message."""
        for transform in message.transforms:
            if static:
                self._static[transform.child_frame_id] = transform
                self._buffer.set_transform_static(transform, 'vla_node')
            else:
                self._buffer.set_transform(transform, 'vla_node')

    def newest(self, base: str, tip: str) -> int:
        """Return the newest time (ns) at which base and tip are connected; raises NoTransform."""
        return _stamp(self._look_up(base, tip, 0))

    def at(self, base: str, tip: str, stamp: int) -> Transform:
        """Return tip in base at a time (ns); raises NoTransform."""
        found = self._look_up(base, tip, stamp).transform
        move, turn = found.translation, found.rotation
        return (move.x, move.y, move.z), (turn.x, turn.y, turn.z, turn.w)

    def _look_up(self, base: str, tip: str, stamp: int) -> TransformStamped:
        try:
            return self._buffer.lookup_transform(base, tip, Time(nanoseconds=stamp))
        except self._tf2.TransformException as error:
            raise NoTransform(f'tf: expected {tip} in {base}, got {error}') from error


def _stamp(transform: TransformStamped) -> int:
    return transform.header.stamp.sec * 10**9 + transform.header.stamp.nanosec
