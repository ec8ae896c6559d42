# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Publish what people look at: the cameras as the model sees them, and where its actions lead.

Nothing is drawn unless somebody subscribes, nor before the command it belongs to was sent; then a
thread of its own draws, which gives way to the policy's. Judges and commands nothing.
"""

from array import array
from collections.abc import Callable
from collections.abc import Sequence
import functools
import time

import cv2
import numpy as np
from rclpy.clock import Clock
from rclpy.clock import ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vla_cache_ros.control.controller import Controller
from vla_cache_ros.control.inference import Outcome
from vla_cache_ros.control.messages import set_pose
from vla_cache_ros.control.motion.prediction import predicted_poses
from vla_cache_ros.control.sensing.images import to_rgb
from vla_cache_ros.control.sensing.inputs import Frame
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.control.worker import Worker
from vla_cache_ros.overlay import draw_overlay
from vla_cache_ros.overlay import fades
from vla_cache_ros.overlay import grids
from vla_cache_ros.overlay import OLD

try:
    from geometry_msgs.msg import PoseStamped
    from nav_msgs.msg import Path
except ImportError:  # not with every ROS install
    Path = None

PERIOD = 0.1  # s between two pictures of a camera
NICENESS = 10  # the policy's thread has less, and goes first
CLOSE_TIMEOUT = 1.0  # s
NO_PICTURE = np.full((224, 224, 3), 60, np.uint8)


class Overlay:
    """Publish one camera's pictures, raw and as JPEG, whichever is wanted."""

    def __init__(self, node: LifecycleNode, camera: str):
        """Create the publishers below ~/overlay; camera: its topic."""
        name = f'~/overlay/{camera.lstrip("~/")}'
        self.raw = node.create_publisher(Image, name, 1)
        self.compressed = node.create_publisher(CompressedImage, f'{name}/compressed', 1)

    @property
    def watched(self) -> bool:
        """Say whether anybody subscribes."""
        return any(p.get_subscription_count() for p in (self.raw, self.compressed))

    def publish(self, picture: np.ndarray, header: Header) -> None:
        """Publish a picture, RGB uint8 [H, W, 3]."""
        if self.raw.get_subscription_count():
            height, width = picture.shape[:2]
            message = Image(
                header=header, height=height, width=width, encoding='rgb8', step=3 * width
            )
            message.data = array('B', picture.tobytes())
            self.raw.publish(message)
        if self.compressed.get_subscription_count():
            _, jpeg = cv2.imencode('.jpg', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            message = CompressedImage(header=header, format='rgb8; jpeg compressed bgr8')
            message.data = array('B', jpeg.tobytes())
            self.compressed.publish(message)


class Views:
    """Own the publishers, the thread that feeds them and the timer that looks while it stops."""

    def __init__(
        self,
        node: LifecycleNode,
        parameters: VLAParameters,
        controller: Controller,
        see: Callable[[Sequence[np.ndarray]], np.ndarray],
    ):
        """
        Begin; see: returns images as the model gets them [cameras, H, W, 3], on any thread.

        Says in the log what is left out where nav_msgs is not installed.
        """
        self._node, self._parameters, self._controller = node, parameters, controller
        self._see = see
        self._topics = parameters.image_topics
        self._overlays = [Overlay(node, topic) for topic in self._topics]
        self._path = None
        if Path is None:
            node.get_logger().info('~/chunk is left out: nav_msgs is not installed')
        elif not parameters.joint_output:
            self._path = node.create_publisher(Path, '~/chunk', 1)
        self._due = 0.0  # monotonic, s
        self._worker = Worker('views', NICENESS)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(PERIOD, self._look, clock=steady)

    def show(self, outcome: Outcome) -> None:
        """Have an inference drawn whose command has been sent."""
        path = self._path is not None and self._path.get_subscription_count()
        if not (path or self._watched()) or not self._is_time():
            return
        pose = self._controller.inputs.pose() if path else None
        self._draw_later(outcome.frames.images, self._stop(), outcome, pose)

    def destroy(self) -> None:
        """End the thread and give everything back."""
        self._node.destroy_timer(self._timer)
        self._worker.close(CLOSE_TIMEOUT)
        publishers = [p for overlay in self._overlays for p in (overlay.raw, overlay.compressed)]
        for publisher in filter(None, [self._path, *publishers]):
            self._node.destroy_publisher(publisher)

    def _look(self) -> None:
        """While nothing is inferred that could be shown: show the newest images, and why."""
        stop = self._stop()
        if stop and self._watched() and self._is_time():
            self._draw_later([self._controller.inputs.newest(t) for t in self._topics], stop)

    def _stop(self) -> str:
        causes = ', '.join(sorted(self._controller.causes.names()))
        if causes:
            return f'stopped: {causes}'
        return '' if self._controller.active else 'inactive'

    def _watched(self) -> bool:
        return any(overlay.watched for overlay in self._overlays)

    def _is_time(self) -> bool:
        """Say whether the next picture may be drawn: one a period, but half a period early."""
        now = time.monotonic()
        if now < self._due - PERIOD / 2:
            return False
        self._due = max(self._due, now) + PERIOD
        return True

    def _draw_later(self, *what: object) -> None:
        self._worker.offer(functools.partial(self._draw, *what))

    def _draw(
        self,
        frames: Sequence[Frame | None],
        stop: str,
        outcome: Outcome | None = None,
        pose: np.ndarray | None = None,
    ) -> None:
        """Draw and publish; on the worker."""
        try:
            if pose is not None:
                self._path.publish(self._chunk(outcome, pose))
            if self._watched():
                self._draw_overlays(frames, stop, outcome)
        except Exception as error:  # noqa: BLE001 - the arm goes on, whoever looks at it
            self._node.get_logger().warning(
                f'~/overlay: {type(error).__name__}: {error}', throttle_duration_sec=10.0
            )

    def _draw_overlays(
        self, frames: Sequence[Frame | None], stop: str, outcome: Outcome | None
    ) -> None:
        fade, lines = [None] * len(frames), [f'episode {self._controller.episode}', stop]
        if outcome is None:
            images = [
                NO_PICTURE if frame is None else to_rgb(frame.message, topic)
                for frame, topic in zip(frames, self._topics, strict=True)
            ]
        else:
            images, report = outcome.observation.images, outcome.report
            # what was not produced in this episode yet is as old as can be
            ages = np.where(report.ages > report.step, OLD, report.ages)
            fade = grids(fades(ages), len(images))
            first = f'step {report.step}   {report.reuse:.0%} reused   {outcome.act_ms:.0f} ms'
            second = f'{report.gate}   oldest {report.ages.max()} steps'
            if report.refresh:
                second = f'refresh: {report.refresh}'
            lines = [first, stop or second]
        for index, image in enumerate(self._see(images)):
            if self._overlays[index].watched:
                header = Header(stamp=self._node.get_clock().now().to_msg())
                if frames[index] is not None:
                    header = frames[index].message.header
                picture = draw_overlay(image, fade[index], lines, alarm=bool(stop))
                self._overlays[index].publish(picture, header)

    def _chunk(self, outcome: Outcome, pose: np.ndarray) -> 'Path':
        """Return where the actions lead from a pose [6], one pose an action."""
        parameters, stamp = self._parameters, outcome.frames.stamp
        header = Header(stamp=Time(nanoseconds=stamp).to_msg(), frame_id=parameters.frame_id)
        path = Path(header=header)
        period = 1e9 / parameters.control_frequency
        poses = predicted_poses(outcome.chunk.actions, parameters, pose)
        for index, (position, quaternion) in enumerate(poses):
            due = Time(nanoseconds=stamp + round(index * period)).to_msg()
            one = PoseStamped(header=Header(stamp=due, frame_id=parameters.frame_id))
            set_pose(one.pose, position, quaternion)
            path.poses.append(one)
        return path
