# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read OpenVLA: a Hugging Face folder and no head; the Llama says the action's tokens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.families.source import hugging_face
from vla_cache_ros.vla.families.source import Source
from vla_cache_ros.vla.families.unfinished import refuse_lost_heads


class OpenVLA:
    """Read what no other family claims, and say what is missing if it is not this either."""

    name = 'openvla'

    def detects(self, folder: Path, raw: Mapping[str, Any]) -> bool:
        """Return True: this family stands last."""
        return True

    def read(self, folder: Path, raw: Mapping[str, Any]) -> Source:
        """
        Read the folder; `config.json` says all sizes.

        Raises CheckpointError for OpenVLA-OFT without its files, unless the key `oft` is null.
        """
        if 'oft' not in raw:
            refuse_lost_heads(folder, raw)
        return hugging_face(folder, VLAConfig.from_dict(raw, str(folder)))
