# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Be the robot: two cameras, an arm that follows twists, a gripper; in simulation.

Behaves as a camera driver and a servo driver do and knows nothing of the model. Callbacks only
note what was commanded; one thread owns the simulator and its OpenGL context and publishes.
"""

from array import array
from collections import deque
from importlib.util import find_spec
import json
import sys
import threading
import traceback
from typing import Any

from geometry_msgs.msg import PoseStamped
import numpy as np
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import Image
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from std_msgs.msg import String
from vla_cache_ros.control.messages import set_pose
from vla_cache_ros.control.parameters import SimRobotParameters
from vla_cache_ros.ros.declaration import declare
from vla_cache_ros.ros.drivers.servo_inputs import ServoInputs
from vla_cache_ros.ros.drivers.servo_inputs import TICK
from vla_cache_ros.ros.process import run
from vla_cache_ros.ros.process import stop_requested
from vla_cache_ros.ros.qos import LATCHED

LAG = 2e9  # ns, simulated; a simulator that falls further behind lets the time go
STATUS_TICKS = 5
FRAMES = ('camera_optical_frame', 'wrist_camera_optical_frame')


def make_tabletop() -> Any:  # noqa: ANN401
    """Return the embedded robot; MuJoCo is imported here, on the thread that will render."""
    from vla_cache_ros.environments.tabletop.robot import Tabletop

    return Tabletop()


class SimRobotNode(Node):
    """Note commands in callbacks, simulate in a thread."""

    def __init__(self, make_environment: Any = make_tabletop, **options):  # noqa: ANN401
        """Declare, publish, subscribe, and start the simulator's thread."""
        if find_spec('mujoco') is None:  # on its thread it would be a traceback
            raise ModuleNotFoundError("No module named 'mujoco'", name='mujoco')
        super().__init__('sim_robot_node', **options)
        self._settings = declare(self, SimRobotParameters)
        if len(self._settings.image_topics) != len(FRAMES):
            raise ValueError(
                f'image_topics: expected {len(FRAMES)}, got {len(self._settings.image_topics)}'
            )
        self._make_environment = make_environment
        self._step = round(TICK / self._settings.speed)  # ns of the clock in one servo period
        self._lag = round(LAG / self._settings.speed)
        self._latency = round(1e9 * self._settings.latency)
        self._inputs = ServoInputs(self, self._settings)
        self._lock = threading.Lock()  # guards the requests, which a callback leaves
        self._requests: deque[tuple[int, str | None]] = deque(
            [(self._settings.seed, self._settings.task or None)]
        )
        self._episode = 0
        self.exit_code = 0
        self._closed = threading.Event()
        self._images = [self.create_publisher(Image, t, 1) for t in self._settings.image_topics]
        self._joints = self.create_publisher(JointState, 'joint_states', 1)
        self._pose = self.create_publisher(PoseStamped, 'end_effector_pose', 1)
        self._status = self.create_publisher(String, '~/episode_status', LATCHED)
        self.create_subscription(String, '~/new_episode', self._on_new_episode, LATCHED)
        self._thread = threading.Thread(target=self._live, name='simulator')
        self._thread.start()

    def close(self) -> None:
        """End the simulator's thread."""
        self._closed.set()
        self._thread.join()

    def _on_new_episode(self, message: String) -> None:
        words = message.data.split()
        if len(words) not in (1, 2) or not words[0].isdecimal():
            self._inputs.refuse(
                f'new_episode: expected "SEED" or "SEED TASK", got {message.data!r}'
            )
            return
        with self._lock:
            self._requests.append((int(words[0]), words[1] if len(words) == 2 else None))

    def _live(self) -> None:
        """Own the simulator: keep its time with the clock's until closed."""
        environment = None
        try:
            environment = self._make_environment()
            while not self._closed.wait(self._until_next_tick()):
                self._begin_episode_if_asked(environment)
                self._catch_up(environment)
        except Exception:  # noqa: BLE001 - without its simulator the process has no use
            self.get_logger().fatal(f'the simulator failed\n{traceback.format_exc()}')
            self.exit_code = 1
            stop_requested.set()
        finally:
            if environment is not None:
                environment.close()

    def _until_next_tick(self) -> float:
        if not self._episode:
            return 0.0
        return min(0.1, max(0.0, (self._time + self._step + self._latency - self._now()) * 1e-9))

    def _begin_episode_if_asked(self, environment: Any) -> None:  # noqa: ANN401
        with self._lock:
            if not self._requests:
                return
            seed, task = self._requests.pop()  # the newest
            self._requests.clear()
        self._inputs.clear()
        try:
            environment.reset_state(seed, task)
        except ValueError as error:
            self._inputs.refuse(str(error))
            if self._episode:
                return
            raise
        if not self._episode:
            environment.observe()  # makes the OpenGL context, which takes a while
        self._seed, self._episode, self._inputs.error = seed, self._episode + 1, ''
        self._moving = self._ticks = self._states = 0
        self._success = False
        self._time = self._now() - self._latency  # ns; what the simulator shows is the state then
        self._next_image = self._next_state = self._time
        self.get_logger().info(f'episode {self._episode}: seed {seed}, {environment.task.name}')

    def _catch_up(self, environment: Any) -> None:  # noqa: ANN401
        target = self._now() - self._latency
        behind = target - self._time
        if behind < -self._step or behind > self._lag:  # the clock jumped, or the machine is slow
            self.get_logger().warning(
                'the simulator is off the clock by more than it can run',
                throttle_duration_sec=1.0,
            )
            # A slow machine still gets somewhere: only what is beyond the lag is let go.
            self._time = target - self._lag if behind > 0 else target
            self._next_image = self._next_state = self._time
        while self._time + self._step <= target:
            self._tick(environment)
        if self._time >= self._next_image:
            self._next_image = max(
                self._next_image + round(1e9 / self._settings.image_rate), self._time
            )
            self._publish_images(environment)

    def _tick(self, environment: Any) -> None:  # noqa: ANN401
        end = self._time + self._step
        twist, gripper = self._inputs.mean(self._time, end)
        environment.apply_twist(twist[:3], twist[3:], gripper, TICK * 1e-9)
        self._time, self._ticks = end, self._ticks + 1
        self._moving += bool(np.any(twist))
        if self._ticks % STATUS_TICKS == 0:
            self._success = self._success or bool(environment.success())
        if self._time < self._next_state:
            return
        self._next_state = max(self._next_state + TICK, self._time)
        self._publish_state(environment)
        self._states += 1
        if self._states % STATUS_TICKS == 0:
            self._publish_status(environment)

    def _publish_images(self, environment: Any) -> None:  # noqa: ANN401
        for publisher, frame, rgb in zip(
            self._images, FRAMES, environment.observe().images, strict=True
        ):
            message = Image(header=self._header(frame), encoding='rgb8')
            message.height, message.width = rgb.shape[:2]
            message.step = 3 * message.width
            data = array('B')  # rclpy takes an array as it is; bytes it would check one by one
            data.frombytes(rgb.tobytes())
            message.data = data
            publisher.publish(message)

    def _publish_state(self, environment: Any) -> None:  # noqa: ANN401
        positions = environment.joint_positions()
        self._joints.publish(
            JointState(
                header=self._header(''),
                name=list(positions),
                position=[float(value) for value in positions.values()],
            )
        )
        pose = PoseStamped(header=self._header(self._settings.frame_id))
        set_pose(pose.pose, *environment.end_effector_pose())
        self._pose.publish(pose)

    def _publish_status(self, environment: Any) -> None:  # noqa: ANN401
        status = {
            'episode': self._episode,
            'seed': self._seed,
            'task': environment.task.name,
            'instruction': environment.task.instruction,
            'success': self._success,
            'steps': round(self._moving / STATUS_TICKS),
            'max_steps': environment.max_steps,
            'time': round(self._ticks * TICK * 1e-9, 3),
            'error': self._inputs.error,
        }
        self._status.publish(String(data=json.dumps(status)))

    def _header(self, frame: str) -> Header:
        return Header(stamp=Time(nanoseconds=self._time).to_msg(), frame_id=frame)

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds


def main(args: list[str] | None = None) -> None:
    """Run the simulated robot until a signal comes."""
    sys.exit(run(SimRobotNode, args))


if __name__ == '__main__':
    main()
