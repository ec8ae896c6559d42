# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Write the shards of one bag or data set, and what they are made of, to a folder.

Knows no model, and not how a source is read.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import json
from pathlib import Path
import shutil
from typing import Any
from typing import TYPE_CHECKING

import numpy as np
from vla_cache_ros.bags.colour import colour_notes
from vla_cache_ros.bags.steps import BagStep
from vla_cache_ros.training.frames import ShardWriter
from vla_cache_ros.vla.image_path import ImagePath
from vla_cache_ros.vla.image_path import see

if TYPE_CHECKING:
    from vla_cache_ros.training.bag_recordings import Source

SHARD = 250  # frames
EPISODES = 100_000  # of a bag at most: the next bag's numbers begin there
_SETTING = ('offsets: ', 'info.json: ')  # notes of what is used in place of what was said
DONE = 'recorded.json'  # its presence says that a folder of shards is complete


@dataclass(frozen=True)
class Recording:
    """Say which of a source's recordings is written, whether with a state, and where to."""

    source: 'Source'
    index: int
    needs_state: bool
    folder: Path

    @property
    def path(self) -> Path:
        """Return the bag or data set."""
        return self.source.places[self.index]

    def complete(self) -> bool:
        """Return whether the folder has all; raises ValueError where it is of other settings."""
        if not (self.folder / DONE).exists():
            return False
        facts, settings = facts_of(self.folder), self._settings()
        if not self.path.exists():  # it may be on the machines that read it
            del settings['files']
        changed = [name for name, value in settings.items() if facts.get(name) != value]
        if changed:
            raise ValueError(
                f'{self.folder}: expected the recording of {self.path} with these options, found '
                f'one that differs in {", ".join(changed)}: choose another --out, or remove the '
                'folder'
            )
        return True

    def write(self, folder: Path) -> dict[str, Any]:
        """Write the shards to a folder, which is emptied first, and return the facts."""
        source, notes = self.source, Counter()
        settings = self._settings()
        opened = source.open(self.index, self.needs_state, notes)
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted recording left
        first = self.index * EPISODES
        steps = _write_shards(opened.walks, first, self.needs_state, source.paths, folder)
        long = {episode for (episode, _), count in steps.items() if count > 1}
        return {
            **settings,
            'episodes': len(long),
            'too_short': len({episode for episode, _ in steps} - long),
            'frames': sum(steps.values()),
            'damage': opened.damage(),
            'compression': opened.compression,
            'notes': dict(notes),
        }

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Say that the folder has all, and print what that is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / DONE).write_text(json.dumps(facts, indent=1) + '\n', encoding='utf-8')
        print(_line(self.path, facts), flush=True)

    def _settings(self) -> dict[str, Any]:
        settings = self.source.settings(self.index, self.needs_state)
        return json.loads(json.dumps(settings))  # tuples as they come back


def facts_of(folder: Path) -> dict[str, Any]:
    """Return what was recorded: bag, settings, episodes, frames and damage."""
    return json.loads((folder / DONE).read_text(encoding='utf-8'))


def _line(path: Path, facts: Mapping[str, Any]) -> str:
    text = f'{path}: {facts["episodes"]} episodes, {facts["frames"]} frames'
    if facts['damage']:
        text += f'; DAMAGED, the readable part is used: {facts["damage"]}'
    text += ''.join(f'; {note}' for note in colour_notes(facts['notes']))
    text += ''.join(f'; {note}' for note in facts['notes'] if note.startswith(_SETTING))
    text += f'; {facts["compression"]}' if facts['compression'] else ''
    if not facts['frames'] and facts['notes']:
        note, times = max(facts['notes'].items(), key=lambda item: item[1])
        text += f'; no observation could be made: {note} ({times} times)'
    return text


def _write_shards(
    walks: Iterable[Iterator[BagStep]],
    first: int,
    needs_state: bool,
    paths: Sequence[ImagePath],
    folder: Path,
) -> dict[tuple[int, int], int]:
    """
    Write all steps of a bag's walks and return their number by (episode, offset).

    first: added to the episodes' numbers.
    """
    writer = ShardWriter(folder, SHARD)
    steps: dict[tuple[int, int], int] = {}
    begins: list[int] = []  # when the first walk's episodes do, ns
    last = None
    for offset, walked in enumerate(walks):
        for step in walked:
            if offset == 0 and step.episode != last:
                begins.append(step.time)
                last = step.episode
            # a later walk may miss an episode that is shorter than its offset, and count on
            episode = bisect_right(begins, step.time) - 1
            steps[episode, offset] = steps.get((episode, offset), 0) + 1
            images = see(paths, step.observation.images)
            writer.add(images=images, **_columns(step, first + episode, offset, needs_state))
    writer.flush()
    return steps


def _columns(step: BagStep, episode: int, offset: int, needs_state: bool) -> dict[str, np.ndarray]:
    """Return a frame's columns beside the images: proprio float32 `[P]`, instruction, ..."""
    seen = step.observation
    frame = {
        'instruction': np.array(seen.instruction),
        'episode': np.int64(episode),
        'offset': np.int64(offset),
        'stamp': np.int64(step.stamp),
    }
    if needs_state:
        frame['proprio'] = np.asarray(seen.proprio, dtype=np.float32)
    return frame
