# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn bags into shards that a gate learns from: images, robot state and instruction, no labels.

An episode at the rate of inferences has few steps, so it is walked through several times, each
time a part of a period later. Knows no model beyond its cameras and whether it takes a state.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
import json
from pathlib import Path
import shutil
from typing import Any

import numpy as np
from vla_cache_ros.bags.colour import colour_notes
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.steps import BagStep
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.bags.walk import walk
from vla_cache_ros.training.frames import ShardWriter
from vla_cache_ros.vla.image_path import ImagePath
from vla_cache_ros.vla.image_path import see
from vla_cache_ros.vla.image_path import written_paths

SHARD = 250  # frames
MINIMUM = 3  # episodes
EPISODES = 100_000  # of a bag at most: the next bag's numbers begin there
DONE = 'recorded.json'  # its presence says that a folder of shards is complete


@dataclass(frozen=True)
class BagSource:
    """
    Say which bags are recorded, from which topics, when, and how often each episode.

    paths: what is done with pictures before they are kept, one for all cameras or one for each.
    """

    bags: Sequence[Path]
    topics: BagTopics
    cadence: Cadence
    offsets: int
    paths: Sequence[ImagePath] = (ImagePath(),)

    def __post_init__(self) -> None:
        """Check what a user may mistype."""
        if len(set(map(Path, self.bags))) < len(self.bags):
            raise ValueError('bags: expected each bag once, got one of them twice')

    def cadences(self) -> list[Cadence]:
        """Return when observations are taken, one for each walk through an episode."""
        first, period = self.cadence.offset, self.cadence.period
        later = [first + period * index / self.offsets for index in range(self.offsets)]
        return [replace(self.cadence, offset=offset) for offset in later]


@dataclass(frozen=True)
class Recording:
    """Say which bag of a source is recorded, whether with the robot's state, and where to."""

    source: BagSource
    index: int
    needs_state: bool
    folder: Path

    @property
    def path(self) -> Path:
        """Return the bag."""
        return Path(self.source.bags[self.index])

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
        source = self.source
        bag = Bag(self.path)
        topics = self._topics()
        topics.check(bag, self.needs_state)
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted recording left
        notes: Counter[str] = Counter()
        walks = (walk(bag, topics, cadence, notes) for cadence in source.cadences())
        first = self.index * EPISODES
        steps = _write_shards(walks, first, self.needs_state, source.paths, folder)
        long = {episode for (episode, _), count in steps.items() if count > 1}
        return {
            **self._settings(),
            'episodes': len(long),
            'too_short': len({episode for episode, _ in steps} - long),
            'frames': sum(steps.values()),
            'damage': bag.damage,
            'notes': dict(notes),
        }

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Say that the folder has all, and print what that is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / DONE).write_text(json.dumps(facts, indent=1) + '\n', encoding='utf-8')
        print(_line(self.path, facts), flush=True)

    def _topics(self) -> BagTopics:
        # what a live node saw, or how it was doing, is nothing to learn from
        topics = replace(self.source.topics, report='')
        return topics if self.needs_state else replace(topics, joints='', pose='')

    def _settings(self) -> dict[str, Any]:
        path = self.path
        files = [path] if path.is_file() else sorted(p for p in path.glob('*') if p.is_file())
        settings = {
            'bag': path.name,
            'files': {file.name: file.stat().st_size for file in files},
            'topics': asdict(self._topics()),
            'cadence': asdict(self.source.cadence),
            'offsets': self.source.offsets,
            'image_path': written_paths(self.source.paths),
        }
        return json.loads(json.dumps(settings))  # tuples as they come back


Elsewhere = Callable[[Sequence[Recording]], None]  # writes them all, or raises ValueError


def record_bags(
    source: BagSource,
    cameras: int,
    needs_state: bool,
    out: Path,
    elsewhere: Elsewhere | None = None,
) -> list[Path]:
    """
    Write the shards of every bag to a folder of its own in `out` and return the folders.

    A bag whose folder is complete is not read again. elsewhere: writes those of the bags that are
    left, in place of this process. Raises ValueError for a bag that lacks a topic, for a folder
    of another recording, and for fewer than MINIMUM episodes in all.
    """
    images = source.topics.images
    if images == BagTopics().images:  # nobody named them
        images = images[:cameras]
    if len(images) != cameras:
        raise ValueError(
            f'--image-topic: expected {cameras}, one for each camera of the model, primary first, '
            f'got {", ".join(images) or "none"}'
        )
    source = replace(source, topics=replace(source.topics, images=images))
    recordings = [
        Recording(source, index, needs_state, out / f'{index:03d}-{Path(path).name}')
        for index, path in enumerate(source.bags)
    ]
    left = [recording for recording in recordings if not recording.complete()]
    if elsewhere is not None and left:
        elsewhere(left)
    else:
        for recording in left:
            recording.finish(recording.write(recording.folder))
    found = [facts_of(recording.folder) for recording in recordings]
    count = sum(facts['episodes'] for facts in found)
    if count < MINIMUM:
        short = sum(facts['too_short'] for facts in found)
        raise ValueError(
            f'bags: expected at least {MINIMUM} episodes of two or more steps, found {count} '
            f'({short} were shorter) in {", ".join(map(str, source.bags))}: an episode begins '
            'with another instruction, a pause in the images or another bag; record more of them, '
            'or mend the time between inferences (--period)'
        )
    return [recording.folder for recording in recordings]


def facts_of(folder: Path) -> dict[str, Any]:
    """Return what was recorded: bag, settings, episodes, frames and damage."""
    return json.loads((folder / DONE).read_text(encoding='utf-8'))


def _line(path: Path, facts: Mapping[str, Any]) -> str:
    text = f'{path}: {facts["episodes"]} episodes, {facts["frames"]} frames'
    if facts['damage']:
        text += f'; DAMAGED, the readable part is used: {facts["damage"]}'
    text += ''.join(f'; {note}' for note in colour_notes(facts['notes']))
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
    for offset, walked in enumerate(walks):
        for step in walked:
            if offset == 0 and step.episode == len(begins):
                begins.append(step.time)
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
