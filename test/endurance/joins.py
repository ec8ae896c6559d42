# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Drive the simulated arm by the node's own control loop, asynchronously and synchronously.

Same scenes for both, in one process, by a clock that physics turns: an inference takes as long as
it is told to. What is looked at: success, and how much velocity changes from command to command.
"""

from collections.abc import Callable
from dataclasses import replace
import json
from pathlib import Path
from typing import Any

from geometry_msgs.msg import PoseStamped
import numpy as np
from script import HERE
from script import run
from sensor_msgs.msg import Image
from sensor_msgs.msg import JointState
from tqdm import tqdm
from vla_cache_ros.control.controller import Controller
from vla_cache_ros.control.inference import Surroundings
from vla_cache_ros.control.messages import set_pose
from vla_cache_ros.control.motion.limits import Command
from vla_cache_ros.control.motion.limits import WAIT
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.environments.tabletop.robot import CAMERAS
from vla_cache_ros.environments.tabletop.robot import SERVO_PERIOD
from vla_cache_ros.environments.tabletop.robot import Tabletop
from vla_cache_ros.policy import Policy
from vla_cache_ros.reports.files import write_json
import yaml

CONFIG = yaml.safe_load((HERE.parents[1] / 'config' / 'tabletop.yaml').read_text(encoding='utf-8'))
PARAMETERS = VLAParameters(
    **CONFIG['/**/vla_node']['ros__parameters'] | {'image_topics': CAMERAS, 'frozen_image': True}
)
TICK = round(1e9 * SERVO_PERIOD)  # ns; commands come at 50 Hz
TICKS = 5  # of an action, and from one picture to the next
ROUNDING = 1e-9
POINTS = 0.02  # by which asynchronous success may fall short


def drill_joins(
    out: Path,
    gate: str = 'learned',
    blend: float = 0.1,
    delay: float = 0.1,
    acceleration: float = 50.0,
    episodes: int = 200,
    seed: int = 0,
) -> dict[str, Any]:
    """
    Run each scene in both ways; a run that was cut off goes on where it ended.

    Returns the figures.

    Args:
        out: file for the figures; what is done is kept beside it.
        gate: as for `vla-cache evaluate`.
        blend: s, the parameter join_blend.
        delay: s that an inference takes where the arm does not wait for it.
        acceleration: m/s^2, the limit; of angular velocity twice as many rad/s^2.
        episodes: to run in each way.
        seed: of the first scene.

    """
    asked = replace(
        PARAMETERS,
        max_linear_acceleration=acceleration,
        max_angular_acceleration=2 * acceleration,
    )
    ways = {
        'asynchronous': (replace(asked, execution='asynchronous', join_blend=blend), delay),
        'synchronous': (asked, 0.0),
    }
    kept = out.with_suffix('.jsonl')
    lines = kept.read_text(encoding='utf-8').splitlines() if kept.exists() else []
    done = [json.loads(line) for line in lines]
    policy, world = Policy.from_pretrained('tabletop', gate=gate), Tabletop()
    with kept.open('a', encoding='utf-8') as file:
        for number in tqdm(range(seed + len(done), seed + episodes), unit='scene'):
            row = {way: Loop(policy, world, *how).episode(number) for way, how in ways.items()}
            done.append(row)
            file.write(json.dumps(row) + '\n')
            file.flush()
    world.close()
    figures = {'gate': gate, 'blend_s': blend, 'delay_s': delay, 'limit': acceleration}
    figures |= summary(done)
    write_json(out, figures)
    print(json.dumps(figures, indent=1))
    return figures


def summary(rows: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return the figures of scenes that were run in both ways."""
    figures: dict[str, Any] = {'scenes': len(rows)}
    for way in rows[0]:
        runs = [row[way] for row in rows]
        figures[way] = {
            'successes': sum(one['success'] for one in runs),
            'commands': sum(one['commands'] for one in runs),
            'limited': sum(one['limited'] for one in runs),
            'largest_step': max(one['largest_step'] for one in runs),
            'largest_step_at_a_join': max(one['largest_step_at_a_join'] for one in runs),
            'stops': sorted({cause for one in runs for cause in one['stops']}),
        }
    won = [row['asynchronous']['success'] - row['synchronous']['success'] for row in rows]
    figures['only_asynchronous'], figures['only_synchronous'] = won.count(1), won.count(-1)
    steady = figures['asynchronous']['largest_step'] <= 1 + ROUNDING
    return figures | {'ok': bool(steady and np.mean(won) >= -POINTS)}


class _Worker:
    """Do at once what is ordered and keep what is offered; leave out what may be left out."""

    work: Callable[[], None] | None = None

    def order(self, work: Callable[[], None]) -> None:
        work()

    def offer(self, work: Callable[[], None]) -> None:
        self.work = work

    def withdraw(self) -> None:
        self.work = None

    def idle(self, work: Callable[[], None]) -> None:
        pass


class Loop:
    """A controller, the arm that it moves, and the clock of both."""

    def __init__(self, policy: Any, world: Tabletop, parameters: VLAParameters, delay: float):  # noqa: ANN401
        """Start the clock; delay: s that an inference takes."""
        self._world, self._delay = world, round(1e9 * delay)
        self._now, self._held, self._worker = 10**18, WAIT, _Worker()
        self._sent: list[tuple[int, Command, bool]] = []  # ns, command, whether a chunk joined
        self._joins = False
        self._controller = Controller(
            policy,
            self._worker,
            parameters,
            Surroundings(
                now=lambda: self._now,
                send=self._send,
                renew=lambda: None,
                wake=lambda: None,
                warn=lambda message: None,
                done=lambda *report: None,
            ),
        )

    def episode(self, seed: int) -> dict[str, Any]:
        """Run one scene until success or the task's limit; return what came of it."""
        world, controller = self._world, self._controller
        world.reset_state(seed)
        controller.activate()
        controller.inputs.take_instruction(world.task.instruction)
        ticks = moving = 0
        ready: int | None = None  # ns, when the inference in hand has ended
        success = False
        while not success and moving < world.max_steps * TICKS and ticks < 10_000:
            self._observe(pictures=ticks % TICKS == 0)
            if self._worker.work is not None:
                work, self._worker.work = self._worker.work, None
                work()
                ready = self._now + self._delay
            if ready is not None and self._now >= ready:
                ready, self._joins = None, True
                controller.collect()
                self._joins = False
            if not self._sent or self._sent[-1][0] < self._now:
                controller.tick()
            held = self._held
            moving += bool(held.linear.any() or held.angular.any())
            opening = 1.0 if held.gripper is None else held.gripper
            self._world.apply_twist(held.linear, held.angular, opening, SERVO_PERIOD)
            self._now, ticks = self._now + TICK, ticks + 1
            success = ticks % TICKS == 0 and bool(world.success())
        stops = set(controller.causes.counts) - {'no_image', 'no_state', 'no_instruction'}
        controller.deactivate()
        steps = self._steps(controller.parameters)
        return {
            'seed': seed,
            'success': success,
            'commands': len(self._sent),
            'limited': controller.limited['acceleration'],
            'largest_step': max((step for step, _ in steps), default=0.0),
            'largest_step_at_a_join': max((step for step, joins in steps if joins), default=0.0),
            'stops': sorted(stops),
        }

    def _observe(self, pictures: bool) -> None:
        inputs = self._controller.inputs
        joints = self._world.joint_positions()
        state = JointState(name=list(joints), position=list(joints.values()))
        pose = PoseStamped()
        pose.header.frame_id = self._controller.parameters.frame_id
        set_pose(pose.pose, *self._world.end_effector_pose())
        for topic, message in (('joint_states', state), ('end_effector_pose', pose)):
            inputs.take_state(topic, self._stamped(message))
        for topic in CAMERAS if pictures else ():
            rgb = self._world.render(topic)
            height, width, _ = rgb.shape
            message = Image(height=height, width=width, step=3 * width, encoding='rgb8')
            message.data = rgb.tobytes()
            inputs.take_image(topic, self._stamped(message), 0.0)
        self._controller.consider()

    def _stamped(self, message: Any) -> Any:  # noqa: ANN401
        stamp = message.header.stamp
        stamp.sec, stamp.nanosec = divmod(self._now, 10**9)
        return message

    def _send(self, command: Command) -> int:
        if command.gripper is None:  # a driver leaves the gripper as it is
            command = replace(command, gripper=self._held.gripper)
        self._held = command
        self._sent.append((self._now, command, self._joins))
        return self._now

    def _steps(self, parameters: VLAParameters) -> list[tuple[float, bool]]:
        """
        Return the changes of velocity, as shares of what the limit allows, and which are joins.

        Stops are left out: no limit slows them. A chunk that begins at rest joins none.
        """
        found = []
        for (before, one, _), (after, other, joins) in zip(
            self._sent[:-1], self._sent[1:], strict=True
        ):
            seconds = min((after - before) * 1e-9, 1 / parameters.publish_rate)
            if not (other.linear.any() or other.angular.any()) or not seconds:
                continue
            linear = np.linalg.norm(other.linear - one.linear)
            angular = np.linalg.norm(other.angular - one.angular)
            share = max(
                linear / (parameters.max_linear_acceleration * seconds),
                angular / (parameters.max_angular_acceleration * seconds),
            )
            rests = not (one.linear.any() or one.angular.any())
            found.append((float(share), joins and not rests))
        return found


if __name__ == '__main__':
    run(drill_joins)
