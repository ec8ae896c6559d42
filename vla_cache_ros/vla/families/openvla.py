# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read OpenVLA: a Hugging Face folder and no head; the Llama says the action's tokens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.families.source import hugging_face
from vla_cache_ros.vla.families.source import Source


class OpenVLA:
    """Read what no other family claims, and say what is missing if it is not this either."""

    name = 'openvla'

    def detects(self, folder: Path, raw: Mapping[str, Any]) -> bool:
        """Return True: this family stands last."""
        return True

    def read(self, folder: Path, raw: Mapping[str, Any]) -> Source:
        """Read the folder; `config.json` says all sizes."""
        return hugging_face(folder, VLAConfig.from_dict(raw, str(folder)))
