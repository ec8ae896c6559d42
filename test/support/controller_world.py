# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A controller by a clock that the test turns, and what it sent."""

from fake_policy import FakePolicy
from geometry_msgs.msg import PoseStamped
import numpy as np
from sensor_msgs.msg import Image
from sensor_msgs.msg import JointState
from vla_cache_ros.control.controller import Controller
from vla_cache_ros.control.inference import Surroundings
from vla_cache_ros.control.vla_parameters import VLAParameters

MS = 1_000_000
START = 10**18  # ns


class NoThread:
    """A worker that works when the test says so."""

    def __init__(self):
        self.slot = self.spare = None

    def order(self, work):
        work()

    def offer(self, work):
        self.slot, self.spare = work, None

    def idle(self, work):
        self.spare = work

    def withdraw(self):
        self.slot = self.spare = None


class World:
    """A controller, its clock and what it sent; one camera, no robot state."""

    def __init__(self, policy=None, **parameters):
        self.time, self.sent, self.warnings, self.done = START, [], [], []
        self.policy, self.worker = policy or FakePolicy(), NoThread()
        self.policy.proprio_size = 0
        settings = {
            'control_frequency': 10.0,
            'execute_steps': 4,
            'image_timeout': 5.0,
            'max_linear_acceleration': 1000.0,
            'max_angular_acceleration': 1000.0,
        }
        self.controller = Controller(
            self.policy,
            self.worker,
            VLAParameters(**{**settings, **parameters}),
            Surroundings(
                now=lambda: self.time,
                send=self.send,
                renew=lambda: None,
                wake=lambda: None,
                warn=self.warnings.append,
                done=lambda *report: self.done.append(report),
            ),
        )
        self.controller.activate()
        self.controller.inputs.take_instruction('go')
        self.sent.clear()

    def send(self, command):
        self.sent.append((self.time, command))
        return self.time

    def image(self, stamp=None, value=200, topic='image_raw'):
        stamp = self.time if stamp is None else stamp
        message = Image(width=32, height=32, step=96, encoding='rgb8')
        message.data = np.full(32 * 96, value, np.uint8).tobytes()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
        self.controller.inputs.take_image(topic, message, 0.0)
        self.controller.consider()

    def pose(self, *position, frame='base_link'):
        message = PoseStamped()
        message.header.frame_id = frame
        point = message.pose.position
        point.x, point.y, point.z = position
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(self.time, 10**9)
        self.controller.inputs.take_state('end_effector_pose', message)

    def joints(self, *positions, **named):
        """Report positions of the arm's joints, in their order or by name."""
        named |= dict(zip(self.controller.parameters.arm_joints, positions, strict=False))
        message = JointState(name=list(named), position=list(named.values()))
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(self.time, 10**9)
        self.controller.inputs.take_state('joint_states', message)

    def think(self):
        """Have the worker do what is in its slot; return whether there was anything."""
        work, self.worker.slot = self.worker.slot, None
        if work is not None:
            work()
            self.controller.collect()
        return work is not None

    def check(self):
        """Have the worker do what it may while idle; return whether there was anything."""
        work, self.worker.spare = self.worker.spare, None
        if work is not None:
            work()
            self.controller.collect()
        return work is not None

    def advance(self, milliseconds, tick=20, follow=False):
        for _ in range(0, milliseconds, tick):
            self.time += tick * MS
            if follow:  # a joint arm that is where it was last sent
                sent = [c.positions for _, c in self.sent if c.positions is not None]
                if sent:
                    self.joints(*sent[-1])
            self.controller.tick()

    def displacement(self):
        """Return the integral [6] of the twists sent, up to now."""
        ends = [time for time, _ in self.sent[1:]] + [self.time]
        return sum(
            np.concatenate([c.linear, c.angular]) * (end - begin) * 1e-9
            for (begin, c), end in zip(self.sent, ends, strict=True)
        )
