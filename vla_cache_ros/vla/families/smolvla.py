# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read SmolVLA as LeRobot saves it: SmolVLM2's first layers, and an expert that reads them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla_cache_ros.vla.families.lerobot import read_lerobot
from vla_cache_ros.vla.families.source import Source


class SmolVLA:
    """Read what LeRobot calls `smolvla`."""

    name = 'smolvla'

    def detects(self, folder: Path, raw: Mapping[str, Any]) -> bool:
        """Return whether the folder is SmolVLA's."""
        return raw.get('type') == self.name

    def read(self, folder: Path, raw: Mapping[str, Any]) -> Source:
        """Read the folder; raises CheckpointError for what is not run here."""
        files = (
            'tokenizer.json and tokenizer_config.json of the model that vlm_model_name names '
            '(HuggingFaceTB/SmolVLM2-500M-Video-Instruct)'
        )
        return read_lerobot(folder, raw, files)
