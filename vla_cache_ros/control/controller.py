# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Observe, infer, play the chunk, observe again; stand still whenever anything is missing or wrong.

Synchronously the arm waits for the policy; asynchronously the next chunk is inferred while this
one plays, and joins at the action that is due. The control loop without ROS: time, sending and
logging are given to it. All methods belong to one thread; only _think runs on the worker's. It
knows neither the types of messages nor what a token is.
"""

from collections import Counter
import functools
import time
from typing import Any

import numpy as np
from vla_cache_ros.control.chunking import Chunking
from vla_cache_ros.control.chunking import Leftover
from vla_cache_ros.control.drift_check import DriftWatch
from vla_cache_ros.control.inference import have
from vla_cache_ros.control.inference import infer
from vla_cache_ros.control.inference import Outcome
from vla_cache_ros.control.inference import RECONNECTED
from vla_cache_ros.control.inference import REMOTE
from vla_cache_ros.control.inference import Surroundings
from vla_cache_ros.control.motion.limits import Command
from vla_cache_ros.control.motion.limits import STOP
from vla_cache_ros.control.motion.limits import WAIT
from vla_cache_ros.control.motion.playback import Due
from vla_cache_ros.control.motion.playback import Playback
from vla_cache_ros.control.motion.steering import Steering
from vla_cache_ros.control.rate_control import Pace
from vla_cache_ros.control.safety import check_actions
from vla_cache_ros.control.safety import StopCauses
from vla_cache_ros.control.sensing.inputs import CAUSES
from vla_cache_ros.control.sensing.inputs import FrameSet
from vla_cache_ros.control.sensing.inputs import Inputs
from vla_cache_ros.control.sensing.robot import state_input
from vla_cache_ros.control.sensing.stillness import Stillness
from vla_cache_ros.control.takeover import PERSONS
from vla_cache_ros.control.takeover import Takeover
from vla_cache_ros.control.takeover import TELEOP
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.control.worker import Worker

# Stops that end with the next good inference; those of the inputs end with the next good message.
RETRIED = REMOTE | {'unusable_image', 'inference_failed', 'unsafe_action', 'worker_silent'}
# Stops during which the policy goes on inferring: its inferences tell when they can end.
PROBED = RETRIED | {'overrun'}


class Controller:
    """The loop: consider -> infer -> collect -> tick ... tick -> consider."""

    def __init__(
        self,
        policy: Any,  # noqa: ANN401
        worker: Worker,
        parameters: VLAParameters,
        surroundings: Surroundings,
        transforms: Any = None,  # noqa: ANN401
    ):
        """Start inactive; parameters may be replaced at any time. transforms: for ee_frame."""
        self.parameters = parameters
        self.causes = StopCauses()
        state = state_input(parameters, policy.proprio_size > 0, transforms)
        self.inputs = Inputs(parameters.image_topics, state, policy.check_instruction)
        self.active = False
        self.episode = 0
        self.limited: Counter[str] = Counter()  # commands, by the limit that bound them
        self.last_image = 0  # ns
        self.invalidations: dict[str, int] = {}
        period = round(1e9 / parameters.control_frequency)
        self.stillness = Stillness(period, parameters.joint_output)
        self.drift = DriftWatch(policy, worker, surroundings)
        self._policy = policy
        self._worker = worker
        self._world = surroundings
        self._waits = parameters.execution == 'synchronous'
        self._timeout = round(1e9 * parameters.command_timeout)  # ns
        self._playback = Playback(
            period=period,
            tolerance=round(0.5e9 / parameters.publish_rate),
            timeout=self._timeout,
            decay=parameters.ensemble_decay if parameters.execution == 'ensembled' else None,
            blend=round(1e9 * parameters.join_blend),
        )
        self._have = functools.partial(have, worker, surroundings.warn)
        self.pace = Pace(parameters, policy.gate, self._playback, self._have, surroundings.warn)
        self._chunking = Chunking(parameters, policy, self._playback, self.pace)
        self._steering = Steering(parameters, self.inputs, self.pace)
        self.takeover = Takeover(self, surroundings)
        self._sent = self._ticked = 0  # ns, the last command and the last tick
        self._stopped = 0  # ticks for which there has been a reason to stand still
        self._outcome: Outcome | None = None
        self._inference_begin: int | None = None  # ns; None: the worker has no observation
        self._epoch = 0  # results that belong to an earlier one are thrown away
        self._after = 0  # ns; messages stamped earlier show the past

    def activate(self) -> None:
        """Begin an episode and let commands pass."""
        self.active = True
        self._ticked = self._world.now()
        self.pace.restart(self._ticked)
        self.new_episode()

    def deactivate(self) -> None:
        """Stop, and send nothing from then on."""
        if not self.active:
            return
        self.halt(everyone=True)
        self.active = False
        self._have(self._policy.reset, 'deactivated')
        self.causes.clear(self.causes.names() - {'paused', 'emergency_stop'})

    def new_episode(self, cause: str = 'episode_reset') -> None:
        """Stop, drop the policy's memory and go on; a latched instruction stays."""
        self.halt()
        self.episode += 1
        self.last_image = 0
        self.causes.clear(PROBED)
        self.pace.resume(self._world.now())
        self.drift.guard.reset()
        self.stillness.reset()
        self._have(self._policy.reset, cause)

    def clock_jumped(self) -> None:
        """Begin an episode: messages, cache and held command belong to another time."""
        self.inputs.forget()
        self.takeover.clock_jumped()
        self.new_episode('clock_jumped_back')

    def pause(self, hold: bool) -> None:
        """Hold commands back or let them pass again; cache and policy stay."""
        if hold:
            self._stop('paused', 'held by the pause service')
        else:
            self.causes.clear({'paused'})
            self._after = self._world.now()

    def emergency_stop(self, latched: bool) -> None:
        """Stop at once and stay so, or let commands pass again."""
        if latched:
            self._stop('emergency_stop', 'pressed; release it and call the service estop_reset')
        else:
            self.causes.clear({'emergency_stop'})
            self._after = self._world.now()

    def clock_stalled(self, stalled: bool) -> None:
        """Stop while the clock that stamps and ages are measured by stands still."""
        if stalled and 'clock_stalled' not in self.causes.names():
            self._stop(
                'clock_stalled',
                'expected the ROS clock to advance; see who publishes /clock, or whether '
                'use_sim_time should be false',
            )
        elif not stalled:
            self.causes.clear({'clock_stalled'})

    def duplicated(self, message: str) -> None:
        """Stop while a second node commands the same arm; an empty message says it is gone."""
        stopped = 'duplicate_node' in self.causes.names()
        if message and self.active and not stopped:
            self._stop('duplicate_node', message)
        elif stopped and not message:
            self.causes.clear({'duplicate_node'})
            self._after = self._world.now()

    def forget(self, cause: str) -> None:
        """Have the policy forget what it has cached."""
        self._have(self._policy.invalidate, cause)

    def halt(self, everyone: bool = False) -> None:
        """
        Drop what is played or inferred; send a stop. Only newer messages count from here.

        everyone: stop a person's twists too.
        """
        self._epoch += 1
        self._inference_begin = None
        self._worker.withdraw()
        self._playback.stop()
        self._after = self._world.now()
        if self.active and (everyone or not self.takeover.person):
            self._send(STOP)

    def consider(self) -> None:
        """Stop if an input is missing or wrong; else infer if the arm waits for it."""
        if not self.active:
            return
        now, parameters = self._world.now(), self.parameters
        problems = self.inputs.problems(
            now, parameters.image_timeout, parameters.state_timeout, parameters.sync_slop
        )
        problems |= self.takeover.problems(now, parameters.command_timeout)
        problems |= self.stillness.problems(self.inputs, parameters, now)
        new = self.causes.replace(problems, CAUSES | TELEOP)
        for message in new:
            self._world.warn(f'stop: {message}')
        if new:
            self.halt()
        begin = self._inference_begin
        if begin is not None and now - begin > parameters.inference_timeout * 1e9:
            self._stop(
                'worker_silent',
                f'expected an inference within {parameters.inference_timeout:g} s '
                '(inference_timeout); its result will be dropped',
            )
        if self._inference_begin is None and not (self._waits and self._playback.playing):
            self._infer(now)

    def tick(self) -> None:
        """Renew the held command, or hold still; a stop is not repeated for ever."""
        if not self.active:
            return
        self.takeover.expire(self.parameters.takeover_timeout)
        self.consider()
        self._ticked = self._world.now()
        if self.takeover.stands_still():
            self._stopped += 1
            # in ticks, which go on when the ROS clock does not
            if self._stopped <= self.parameters.stop_pub_timeout * self.parameters.publish_rate:
                self._send(STOP)
            return
        self._stopped = 0
        self._play(self._world.now())

    def collect(self) -> bool:
        """Play the worker's outcome unless it is outdated; return whether the pace changed."""
        outcome, self._outcome = self._outcome, None
        if self.active and self._world.now() - self._ticked > self._timeout:
            self._lapse()  # the process was frozen: what was observed before is long past
        if self.drift.parted(self._epoch, self.parameters):
            self.forget('drift')
        self.consider()
        if outcome is None or outcome.epoch != self._epoch or not self.active:
            return False
        begin, self._inference_begin = self._inference_begin, None
        if outcome.cause == RECONNECTED:
            self.new_episode(RECONNECTED)
            return False
        if outcome.error:
            self._stop(outcome.cause, outcome.error)
            self._after = outcome.frames.stamp + 1  # again, with newer images
            return False
        self.causes.clear(RETRIED)
        now = self._world.now()
        self._chunking.note(now - begin)
        actions = check_actions(outcome.chunk.actions, self.parameters.action_size)
        changed = self.pace.note(now - outcome.began, now)
        stamp = self._start(outcome, actions, now)
        self._world.done(outcome, stamp, 1e3 * (time.perf_counter() - outcome.frames.received))
        self.consider()  # an observation that is due goes before a check
        self.drift.follow(outcome, self.parameters, idle=self._inference_begin is None)
        return changed

    def _start(self, outcome: Outcome, actions: np.ndarray, now: int) -> int:
        """Play actions [n, A] from now (ns) on; return the stamp of the first command, or 0."""
        steps = self.parameters.execute_steps
        next_due = outcome.frames.stamp + steps * self.pace.period
        if self.pace.stopped:  # and the next inference tells whether it still has to be
            if self.causes.raise_cause('overrun', self.pace.message()):
                self.halt()
            self._after = next_due
            return 0
        self.causes.clear({'overrun'})
        if self.takeover.person:
            self._after = next_due  # it watches as often as it would act
            return 0
        if self._waits:
            self._playback.start(actions[:steps], now)
        else:
            self._playback.start(actions, now, since=outcome.frames.stamp)
            self._after = next_due
        stamp = self._play(now)
        self._world.renew()
        return stamp

    def _play(self, now: int) -> int:
        """Send what is due at now (ns); return its stamp."""
        if self.takeover.person:
            return self._follow(now)
        due = self._playback.due(now)
        if isinstance(due, np.ndarray):
            return self._send(self._steering.command(due, self.parameters, self._elapsed(), now))
        stamp = self._send(WAIT)
        if due is Due.LAPSED:
            self._lapse()
        elif due is Due.FINISHED:
            if self._waits:
                self._after = stamp
            self.consider()
        return stamp

    def _lapse(self) -> None:
        self._stop(
            'command_timeout',
            f'expected to renew the command within {self.parameters.command_timeout:g} s; '
            'what is played or inferred is dropped',
        )
        self.causes.clear({'command_timeout'})

    def _infer(self, now: int) -> None:
        if self.causes.names() - PROBED - TELEOP:
            return
        frames = self.inputs.newest_set(self._after, self.parameters.sync_slop)
        if frames is None:
            return
        if self.last_image and frames.stamp - self.last_image > self.parameters.max_gap * 1e9:
            self.forget('gap_too_long')
        self.last_image, self._inference_begin = frames.stamp, now
        left = self._chunking.left(frames.stamp, now)
        self._worker.offer(functools.partial(self._think, frames, left, self._epoch))

    def _think(self, frames: FrameSet, left: Leftover, epoch: int) -> None:
        """Make one inference; on the worker."""
        size = self.parameters.action_size
        outcome = infer(self._policy, frames, left, epoch, self._world.now(), size)
        self.invalidations = dict(self._policy.invalidations)
        self._outcome = outcome
        self._world.wake()

    def _follow(self, now: int) -> int:
        """Send a person's twist, if there is one, at now (ns); the gripper stays as it is."""
        twist = self.takeover.twist
        if twist is None:
            return now
        return self._send(self._steering.follow(twist, self.parameters, self._elapsed()))

    def _elapsed(self) -> float:
        """Return the time (s) since the last command."""
        return (self._world.now() - self._sent) * 1e-9

    def _send(self, command: Command) -> int:
        self._steering.sent(command)
        if self.takeover.silent and 'emergency_stop' not in self.causes.names():
            self.stillness.command(WAIT, self._world.now())
            return self._world.now()
        self.limited.update(command.limited)
        self._sent = self._world.send(command)
        self.stillness.command(WAIT if self.parameters.dry_run else command, self._sent)
        return self._sent

    def _stop(self, cause: str, message: str) -> None:
        if self.causes.raise_cause(cause, message):
            self._world.warn(f'stop: {cause}: {message}')
        self.halt(everyone=cause in PERSONS)
