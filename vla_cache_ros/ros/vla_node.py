# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Drive an arm by a vision-language-action policy: images and an instruction in, commands out.

A lifecycle node around the controller. Callbacks run on one executor thread and only keep messages
and send commands; the policy lives on the worker's thread.
"""

from collections.abc import Callable
import functools
import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock
from rclpy.clock import ClockType
from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleState
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import SetBool
from std_srvs.srv import Trigger
from vla_cache_ros.control.controller import Controller
from vla_cache_ros.control.inference import dummy_observation
from vla_cache_ros.control.inference import Outcome
from vla_cache_ros.control.inference import Surroundings
from vla_cache_ros.control.motion.limits import Command
from vla_cache_ros.control.safety import ClockWatch
from vla_cache_ros.control.sensing.images import name_order
from vla_cache_ros.control.step_report import step_report
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.control.worker import QuietMemory
from vla_cache_ros.control.worker import Rest
from vla_cache_ros.control.worker import Worker
from vla_cache_ros.ros.declaration import declare
from vla_cache_ros.ros.declaration import examine
from vla_cache_ros.ros.declaration import read
from vla_cache_ros.ros.diagnostics import diagnostics
from vla_cache_ros.ros.diagnostics import Figures
from vla_cache_ros.ros.diagnostics import run_info
from vla_cache_ros.ros.duplicate_node import Twins
from vla_cache_ros.ros.estop import EmergencyStop
from vla_cache_ros.ros.loading import follow
from vla_cache_ros.ros.loading import leave
from vla_cache_ros.ros.loading import load_policy
from vla_cache_ros.ros.loading import warm_up
from vla_cache_ros.ros.outputs import ArmOutputs
from vla_cache_ros.ros.process import run
from vla_cache_ros.ros.process import stop_requested
from vla_cache_ros.ros.qos import LATCHED
from vla_cache_ros.ros.subscriptions import InputSubscriptions
from vla_cache_ros.ros.teleoperation import Teleoperation
from vla_cache_ros.ros.transforms import make_buffer
from vla_cache_ros.ros.transitions import guarded
from vla_cache_ros.ros.transitions import TolerantLifecycleNode
from vla_cache_ros.ros.views import Views

CLOSE_TIMEOUT = 3.0  # s; below the 5 s after which launch escalates


class VLANode(TolerantLifecycleNode):
    """Bring messages to the controller and its commands to the arm."""

    def __init__(self, policy_factory: Callable[[VLAParameters], Any] = load_policy, **options):
        """Declare parameters and what exists in every state; configure brings the rest."""
        super().__init__('vla_node', enable_logger_service=True, **options)
        self._policy_factory = policy_factory
        self._worker: Worker | None = None
        self._policy: Any = None
        self._controller: Controller | None = None
        self._listening: InputSubscriptions | None = None
        self._views: Views | None = None
        self._ticks = None
        self._figures = Figures()
        self._memory = QuietMemory()
        self._outputs: ArmOutputs | None = None
        self._jumped = False
        self.abandoned = False  # whether a thread was left that did not return

        self._settings = declare(self, VLAParameters)
        self.add_on_set_parameters_callback(
            lambda changes: examine(self._settings, changes, running=self._worker is not None)
        )
        self.add_post_set_parameters_callback(self._on_parameters_set)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._reports = self.create_publisher(String, '~/step_report', 10)
        self._run_info = self.create_publisher(String, '~/run_info', LATCHED)
        self.create_service(Trigger, '~/reset', self._on_reset)
        self.create_service(SetBool, '~/pause', self._on_pause)
        self._estop = EmergencyStop(self, self._on_estop)
        self._twins = Twins(self, lambda: self._controller)
        self._teleoperation = Teleoperation(self, lambda: self._controller)
        # By a clock that nobody can stop: a stalled one has to be noticed, and told of.
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._publish_diagnostics, clock=self._steady)
        self._jump = self.get_clock().create_jump_callback(
            JumpThreshold(
                min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True
            ),
            post_callback=self._on_clock_jump,
        )

    @guarded
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the policy and warm it up on the worker; FAILURE leaves the node unconfigured."""
        self._settings = read(self, VLAParameters)
        self.get_logger().info('configure: loading the policy; services wait until it is ready')
        self._worker = Worker('policy')
        try:
            # first, so that drivers find them while the policy loads
            self._outputs = ArmOutputs(self, self._settings)
            transforms = make_buffer() if self._settings.ee_frame else None
            policy = self._worker.wait_for(self._worker.order(self._load), stop_requested)
            self._prepare(policy, transforms)
        except BaseException:
            self._release()
            raise
        self.get_logger().info(f'configure: ready; the model is {policy.summary}')
        return super().on_configure(state)

    @guarded
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin an episode and let commands pass."""
        self._twins.refuse()
        result = super().on_activate(state)
        self._controller.activate()
        return result

    @guarded
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Send a stop while the publishers still work, then hold commands back."""
        self._controller.deactivate()
        return super().on_deactivate(state)

    @guarded
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let the policy and its memory go."""
        self._release()
        return super().on_cleanup(state)

    @guarded
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the arm and let the policy go, from any state."""
        self.close()
        return super().on_shutdown(state)

    def close(self) -> None:
        """Stop the arm and end the worker; called while the context is still valid."""
        if self._controller is not None:
            self._controller.deactivate()
        self._release()

    def _load(self) -> Any:  # noqa: ANN401 - on the worker
        self._policy = policy = self._policy_factory(self._settings)
        warm_up(policy, self._settings)
        follow(policy, self._settings)
        return policy

    def _prepare(self, policy: Any, transforms: Any) -> None:  # noqa: ANN401
        """Make what depends on parameters and policy: controller, subscriptions, ticks."""
        parameters, self._figures = self._settings, Figures(getattr(policy, 'figures', dict))
        # a tick late when the clock stops and a tick late when the time is over
        held, tick = parameters.command_timeout, 1 / parameters.publish_rate
        self._watch = ClockWatch(round(1e9 * max(held - tick, held / 2)))
        self._ticks = self.create_timer(
            1 / parameters.publish_rate, self._on_tick, clock=self._steady
        )
        world = Surroundings(
            now=lambda: self.get_clock().now().nanoseconds,
            send=self._send,
            renew=self._ticks.reset,
            wake=self._wake,
            warn=self.get_logger().warning,
            done=self._report,
        )
        controller = Controller(policy, self._worker, parameters, world, transforms)
        if self._estop.latched:
            controller.emergency_stop(True)
        if not (parameters.workspace or parameters.dry_run):
            self.get_logger().warning(
                'workspace: no box is set; nothing but the driver keeps the arm from the table'
            )
        self._controller = controller
        self._listening = InputSubscriptions(
            self,
            parameters,
            controller.inputs.states,
            self._on_image,
            self._on_state,
            self._on_instruction,
        )
        self._views = Views(self, parameters, controller, policy.images.see)
        self._run_info.publish(String(data=run_info(parameters, policy.description)))
        step = functools.partial(policy.shadow, dummy_observation(policy), 0)
        self._worker.rest(Rest(step, parameters.keep_warm, self.get_logger().warning))
        self._memory.begin()

    def _release(self) -> None:
        self._memory.end()
        if self._listening is not None:
            self._listening.destroy()
        if self._views is not None:
            self._views.destroy()
        if self._ticks is not None:
            self.destroy_timer(self._ticks)
        if self._outputs is not None:
            self._outputs.destroy()
        self._ticks = self._controller = self._outputs = None
        self._listening = self._views = None
        worker, self._worker = self._worker, None
        policy, self._policy = self._policy, None
        leave(policy)
        if worker is not None and not worker.close(timeout=CLOSE_TIMEOUT):
            self.abandoned = True
            self.get_logger().error(
                f'the policy did not return within {CLOSE_TIMEOUT:g} s; its thread is left'
            )

    def _on_image(self, topic: str, message: Image | CompressedImage) -> None:
        received = time.perf_counter()
        self._figures.counts['images'] += 1
        name_order(message, self._settings.encoding_8uc3)
        self._controller.inputs.take_image(topic, message, received)
        self._controller.consider()

    def _on_state(self, topic: str, message: Any) -> None:  # noqa: ANN401
        if self._controller.inputs.take_state(topic, message):
            self._controller.consider()

    def _on_instruction(self, message: String) -> None:
        if self._controller.inputs.take_instruction(message.data):
            self._controller.halt()
        self._controller.consider()

    def _on_tick(self) -> None:
        if self._controller is None:
            return  # it was due already when its timer was destroyed
        if self._jumped:
            self._jumped = False
            self._controller.clock_jumped()
        now = self.get_clock().now().nanoseconds
        self._controller.clock_stalled(self._watch.stalled(now, self._steady.now().nanoseconds))
        self._controller.tick()
        self._teleoperation.tell()

    def _wake(self) -> None:
        executor = self.executor  # None once the node is being closed
        if executor is not None:
            executor.create_task(self._on_outcome)

    def _on_outcome(self) -> None:
        if self._controller is not None and self._controller.collect():
            self._publish_diagnostics()

    def _on_clock_jump(self, _: object) -> None:
        self._jumped = True  # called from inside the clock, where nothing may be published

    def _on_parameters_set(self, _: list) -> None:
        before, self._settings = self._settings, read(self, VLAParameters)
        if self._controller is None:
            return
        follow(self._policy, self._settings)
        if before.dry_run != self._settings.dry_run:
            self._controller.halt(everyone=True)  # under the old value: the arm gets its stop
        self._controller.parameters = self._settings

    def _on_estop(self, latched: bool) -> None:
        if self._controller is not None:
            self._controller.emergency_stop(latched)

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._configured(response):
            self._controller.new_episode()
            response.message = f'episode {self._controller.episode}'
        return response

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        if self._configured(response):
            self._controller.pause(request.data)
        return response

    def _configured(self, response: Trigger.Response | SetBool.Response) -> bool:
        response.success = self._controller is not None
        if not response.success:
            response.message = 'expected a configured node, got an unconfigured one'
        return response.success

    def _send(self, command: Command) -> int:
        """Publish a command unless this is a dry run; return its stamp (ns)."""
        now = self.get_clock().now()
        if self._controller.parameters.dry_run:
            return now.nanoseconds
        self._outputs.send(command, now, self._controller.inputs.pose())
        self._figures.counts['commands'] += 1
        return now.nanoseconds

    def _report(self, outcome: Outcome, stamp: int, latency_ms: float) -> None:
        timings = {
            'act_ms': outcome.act_ms,
            'image_to_command_ms': latency_ms,
            'overhead_ms': latency_ms - outcome.act_ms,
        }
        for name, value in timings.items():
            self._figures.note(name, value)
        self._figures.note('reuse', float(outcome.report.reuse))
        images = outcome.observation.images
        for line in self._figures.colours.take(self._settings.image_topics, images):
            self.get_logger().warning(line)
        self._figures.counts['inferences'] += 1
        text = step_report(
            outcome.report,
            outcome.chunk,
            outcome.frames,
            episode=self._controller.episode,
            published=0 if self._controller.parameters.dry_run else stamp,
            timings=timings,
            control=self._controller.takeover.who,
            left=outcome.left,
        )
        self._reports.publish(String(data=text))
        self._views.show(outcome)

    def _publish_diagnostics(self) -> None:
        message = diagnostics(
            self.get_fully_qualified_name(), self._settings, self._controller, self._figures
        )
        self._twins.sign(message)
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)


def main(args: list[str] | None = None) -> None:
    """Run the node until a signal comes; the arm is stopped first."""
    # Hand the interpreter over within half a millisecond, not five: an image waits for the
    # worker, and its command for the executor, while the other thread runs Python.
    sys.setswitchinterval(0.0005)
    sys.exit(run(VLANode, args))


if __name__ == '__main__':
    main()
