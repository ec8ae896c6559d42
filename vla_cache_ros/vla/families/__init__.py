# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The families of base models, one file each, and which of them a folder belongs to.

A package of one's own adds families without touching this one: it names a `Family` as entry point
of the group `vla_cache_ros.families`, or calls `register`.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from vla_cache_ros.vla.families.cogact import CogACT
from vla_cache_ros.vla.families.openvla import OpenVLA
from vla_cache_ros.vla.families.openvla_oft import OpenVLAOFT
from vla_cache_ros.vla.families.pi import Pi
from vla_cache_ros.vla.families.smolvla import SmolVLA
from vla_cache_ros.vla.families.source import Family

GROUP = 'vla_cache_ros.families'
# In the order in which they are asked; OpenVLA takes what is left.
FAMILIES: list[Family] = [
    *(CogACT(), SmolVLA(), Pi('pi0'), Pi('pi05')),
    *(OpenVLAOFT(), OpenVLA()),
]


def register(family: Family) -> None:
    """Ask a family before all others; one of the same name is replaced."""
    FAMILIES[:] = [family, *(other for other in FAMILIES if other.name != family.name)]


def find_family(folder: Path, raw: Mapping[str, Any]) -> Family:
    """Return the family of a folder whose parsed `config.json` is `raw`."""
    for point in entry_points(group=GROUP):
        if point.name not in {family.name for family in FAMILIES}:
            register(point.load()())
    return next(family for family in FAMILIES if family.detects(folder, raw))
