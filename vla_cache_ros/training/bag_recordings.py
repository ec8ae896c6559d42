# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn bags into shards that a gate learns from: images, robot state and instruction, no labels.

An episode at the rate of inferences has few steps, so it is walked through several times, each
time a part of a period later. Knows no model beyond its cameras and whether it takes a state.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator
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


def record_bags(source: BagSource, cameras: int, needs_state: bool, out: Path) -> list[Path]:
    """
    Write the shards of every bag to a folder of its own in `out` and return the folders.

    A bag whose folder is complete is not read again. Raises ValueError for a bag that lacks a
    topic, for a folder of another recording, and for fewer than MINIMUM episodes in all.
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
    folders, found = [], []
    for index, path in enumerate(source.bags):
        folder = out / f'{index:03d}-{Path(path).name}'
        folders.append(folder)
        found.append(_record(source, index, needs_state, folder))
    count = sum(facts['episodes'] for facts in found)
    if count < MINIMUM:
        short = sum(facts['too_short'] for facts in found)
        raise ValueError(
            f'bags: expected at least {MINIMUM} episodes of two or more steps, found {count} '
            f'({short} were shorter) in {", ".join(map(str, source.bags))}: an episode begins '
            'with another instruction, a pause in the images or another bag; record more of them, '
            'or mend the time between inferences (--period)'
        )
    return folders


def facts_of(folder: Path) -> dict[str, Any]:
    """Return what was recorded: bag, settings, episodes, frames and damage."""
    return json.loads((folder / DONE).read_text(encoding='utf-8'))


def _record(source: BagSource, index: int, needs_state: bool, folder: Path) -> dict[str, Any]:
    """Write the shards of one bag, unless they are there, and return the facts."""
    path = Path(source.bags[index])
    files = [path] if path.is_file() else sorted(p for p in path.glob('*') if p.is_file())
    # what a live node saw, or how it was doing, is nothing to learn from
    topics = replace(source.topics, report='')
    if not needs_state:
        topics = replace(topics, joints='', pose='')
    settings = {
        'bag': path.name,
        'files': {file.name: file.stat().st_size for file in files},
        'topics': asdict(topics),
        'cadence': asdict(source.cadence),
        'offsets': source.offsets,
        'image_path': written_paths(source.paths),
    }
    settings = json.loads(json.dumps(settings))  # tuples as they come back
    if (folder / DONE).exists():
        facts = facts_of(folder)
        changed = [name for name, value in settings.items() if facts.get(name) != value]
        if changed:
            raise ValueError(
                f'{folder}: expected the recording of {path} with these options, found one that '
                f'differs in {", ".join(changed)}: choose another --out, or remove the folder'
            )
        return facts
    bag = Bag(path)
    topics.check(bag, needs_state)
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted recording left
    notes: Counter[str] = Counter()
    walks = (walk(bag, topics, cadence, notes) for cadence in source.cadences())
    steps = _write_shards(walks, index * EPISODES, needs_state, source.paths, folder)
    long = {episode for (episode, _), count in steps.items() if count > 1}
    facts = {
        **settings,
        'episodes': len(long),
        'too_short': len({episode for episode, _ in steps} - long),
        'frames': sum(steps.values()),
        'damage': bag.damage,
        'notes': dict(notes),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DONE).write_text(json.dumps(facts, indent=1) + '\n', encoding='utf-8')
    print(_line(path, facts), flush=True)
    return facts


def _line(path: Path, facts: dict[str, Any]) -> str:
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
