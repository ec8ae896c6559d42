# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write a rosbag2 folder (MCAP) of serialized messages. It knows no node and no clock."""

from pathlib import Path

from rosbags.interfaces import Connection
from rosbags.interfaces import Qos
from rosbags.interfaces import QosDurability
from rosbags.interfaces import QosHistory
from rosbags.interfaces import QosLiveliness
from rosbags.interfaces import QosReliability
from rosbags.interfaces import QosTime
from rosbags.rosbag2 import CompressionFormat
from rosbags.rosbag2 import CompressionMode
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer
from rosbags.typesys import get_typestore
from rosbags.typesys import Stores

FOREVER = QosTime(2147483647, 4294967295)


class BagWriter(Writer):
    """A bag that is open, of types that every ROS 2 install has."""

    def __init__(self, path: Path) -> None:
        """Create the folder; raises WriterError where there is one."""
        super().__init__(path, version=9, storage_plugin=StoragePlugin.MCAP)
        # Most of a fixed camera's picture repeats: rendered frames shrink a hundredfold.
        self.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self.open()

    def add_topic(self, topic: str, kind: str, reliable: bool, latched: bool) -> Connection:
        """Return what `write` takes for a topic whose publishers offer such a profile."""
        profile = Qos(
            QosHistory.KEEP_LAST,
            1,
            QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
            QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
            FOREVER,
            FOREVER,
            QosLiveliness.AUTOMATIC,
            FOREVER,
            False,
        )
        return self.add_connection(
            topic, kind, typestore=self._types, offered_qos_profiles=[profile]
        )
