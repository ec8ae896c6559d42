# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Subscribe to the cameras, the robot's state and the instruction, for as long as a policy is loaded.

Knows the topics and their types; what is done with a message is for the callbacks.
"""

from collections.abc import Callable
from collections.abc import Sequence
import functools
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from vla_cache_ros.control.image_parameters import image_names
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.ros.qos import COMMAND
from vla_cache_ros.ros.qos import LATCHED
from vla_cache_ros.ros.qos import LATCHED_PARTS
from vla_cache_ros.ros.qos import NEWEST
from vla_cache_ros.ros.qos import PARTS
from vla_cache_ros.ros.transforms import transform_type

# By the names that Inputs has for them.
STATES = {
    'joint_states': ('joint_states', JointState, PARTS),
    'end_effector_pose': ('end_effector_pose', PoseStamped, NEWEST),
    'tf': ('/tf', None, PARTS),
    'tf_static': ('/tf_static', None, LATCHED_PARTS),
}


class InputSubscriptions:
    """Own the subscriptions; their QoS can be overridden by parameters `qos_overrides.<topic>`."""

    def __init__(
        self,
        node: Node,
        parameters: VLAParameters,
        states: Sequence[str],
        on_image: Callable[[str, Image | CompressedImage], None],
        on_state: Callable[[str, Any], None],
        on_instruction: Callable[[String], None],
    ):
        """Subscribe; states: which of STATES are needed."""
        self._node = node
        self._made: list = []
        names = image_names(parameters.image_topics, parameters.image_transport)
        for topic, name in zip(parameters.image_topics, names, strict=True):
            kind = Image if name == topic else CompressedImage
            self._subscribe(kind, name, functools.partial(on_image, topic), NEWEST)
        for source in states:
            topic, kind, profile = STATES[source]
            kind = kind or transform_type()
            self._subscribe(kind, topic, functools.partial(on_state, source), profile)
        self._subscribe(String, 'instruction', on_instruction, LATCHED)
        # A second one, for a publisher that does not latch: each hears only its own kind.
        self._subscribe(String, 'instruction', on_instruction, COMMAND, entity_id='volatile')

    def destroy(self) -> None:
        """End the subscriptions; a message that an executor has taken already is dropped."""
        made, self._made = self._made, []
        for subscription in made:
            self._node.destroy_subscription(subscription)

    def _subscribe(
        self,
        kind: type,
        topic: str,
        callback: Callable,
        profile: QoSProfile,
        entity_id: str | None = None,
    ) -> None:
        overridable = QoSOverridingOptions.with_default_policies(entity_id=entity_id)

        def take(message: object) -> None:
            if self._made:
                callback(message)

        self._made.append(
            self._node.create_subscription(
                kind, topic, take, profile, qos_overriding_options=overridable
            )
        )
