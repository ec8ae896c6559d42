# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read pi0 and pi0.5 as LeRobot saves them: PaliGemma, and an expert that reads its keys."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla_cache_ros.vla.families.lerobot import read_lerobot
from vla_cache_ros.vla.families.source import Source


class Pi:
    """Read what LeRobot calls `pi0` or `pi05`; the latter also says what no family here runs."""

    def __init__(self, name: str) -> None:
        self.name = name

    def detects(self, folder: Path, raw: Mapping[str, Any]) -> bool:
        """Return whether the folder is of this family, or of a policy that is not run here."""
        if raw.get('type') == self.name:
            return True
        return self.name == 'pi05' and 'type' in raw and 'input_features' in raw

    def read(self, folder: Path, raw: Mapping[str, Any]) -> Source:
        """Read the folder; raises CheckpointError for what is not run here."""
        files = (
            'tokenizer.json and tokenizer_config.json of google/paligemma-3b-pt-224 (its licence '
            'is to be accepted at huggingface.co first)'
        )
        return read_lerobot(folder, raw, files)
