# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say which files of SIMPLER's bridge tasks are missing, before mani_skill asks to download them.

mani_skill looks at whether a folder is there and asks on the terminal where it isn't; here single
files are looked at and nothing is asked or fetched. Knows no simulator.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
import os
from pathlib import Path

VARIABLE = 'MS_ASSET_DIR'
SCENES = Path('tasks') / 'bridge_v2_real2sim_dataset'
ROBOT = Path('robots') / 'widowx'
SOURCES: Mapping[Path, str] = {
    SCENES: 'bridge_v2_real2sim, Hugging Face data set haosulab/ManiSkill_bridge_v2_real2sim',
    ROBOT: 'widowx250s, GitHub repository haosulab/ManiSkill-WidowX250S',
}


@dataclass(frozen=True)
class Assets:
    """Name what a task needs: its stage, the photograph behind it, its models, their list."""

    stage: str
    photograph: str
    models: tuple[str, ...]
    listing: str = 'info_bridge_custom_v0.json'

    def paths(self) -> list[Path]:
        """Return the files below the asset folder; `*` stands for any ending."""
        return [
            ROBOT / 'wx250s.urdf',
            SCENES / 'stages' / self.stage,
            SCENES / 'real_inpainting' / self.photograph,
            SCENES / 'custom' / self.listing,
            *(
                SCENES / 'custom' / 'models' / model / name
                for model in self.models
                for name in ('collision.obj', 'textured.*')
            ),
        ]


def asset_folder() -> Path:
    """Return where mani_skill looks for assets: `$MS_ASSET_DIR/data`, else `~/.maniskill/data`."""
    return Path(os.environ.get(VARIABLE) or Path.home() / '.maniskill') / 'data'


def missing_assets(needed: Iterable[Assets], folder: Path) -> list[Path]:
    """Return what tasks need and is not below the folder, sorted; a whole folder as one."""
    paths = {path for assets in needed for path in assets.paths()}
    absent = [path for path in paths if not any(folder.glob(str(path)))]
    whole = [root for root in SOURCES if not (folder / root).is_dir()]
    return sorted({next((r for r in whole if r in path.parents), path) for path in absent})


def check_assets(needed: Iterable[Assets]) -> None:
    """
    Do nothing if all files are there.

    Raises FileNotFoundError that names the missing files, where they belong, where they come
    from and how to get them.
    """
    folder = asset_folder()
    missing = missing_assets(needed, folder)
    if not missing:
        return
    sources = [
        text for root, text in SOURCES.items() if any(root in (p, *p.parents) for p in missing)
    ]
    names = ' and '.join(text.partition(',')[0] for text in sources)
    raise FileNotFoundError(
        f'assets: expected in {folder}: {", ".join(map(str, missing))}; found none of these. '
        f'They come from {"; ".join(sources)}. With a network: '
        f'`python -m mani_skill.utils.download_asset ID` for {names}; without one, copy them '
        f'there or set {VARIABLE} to the folder that holds data/'
    )
