# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bag that ends the process that reads it, as a fault in a decoder of native code would."""

from dataclasses import dataclass
import os

from vla_cache_ros.evaluation.recordings.tasks import BagTask


@dataclass(frozen=True)
class PoisonedTask(BagTask):
    """End the process."""

    def run(self, policies, progress=False):
        """End the process."""
        os._exit(1)
