# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Find the files that are installed beside the package: parameters and launch files.

Knows where colcon, pip and a source tree put them; not what is in them.
"""

import os
from pathlib import Path
import site
import sysconfig


def share_file(name: str) -> Path:
    """Return a file such as 'config/tabletop.yaml'; raises FileNotFoundError naming the places."""
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    prefixes += [sysconfig.get_path('data'), site.getuserbase()]
    # The source tree first: with an editable install nothing is copied, so nothing is stale.
    places = [Path(__file__).resolve().parents[1]]
    places += [Path(prefix) / 'share' / 'vla_cache_ros' for prefix in prefixes if prefix]
    for place in places:
        if (place / name).is_file():
            return place / name
    raise FileNotFoundError(f'{name}: expected in one of {", ".join(map(str, places))}')
