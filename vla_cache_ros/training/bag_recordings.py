# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn recordings into shards that a gate learns from: images, state and instruction, no labels.

An episode at the rate of inferences has few steps, so it is walked through several times, each
time a part of a period later. Knows no model beyond its cameras and whether it takes a state.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
import hashlib
import json
from pathlib import Path
import shutil
from typing import Any

import numpy as np
from vla_cache_ros.bags.colour import colour_notes
from vla_cache_ros.bags.compression import compression_of
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.steps import BagStep
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.bags.walk import walk
from vla_cache_ros.datasets.cadence import offset_frames
from vla_cache_ros.datasets.info import read_info
from vla_cache_ros.datasets.keys import DataSetKeys
from vla_cache_ros.training.frames import ShardWriter
from vla_cache_ros.vla.image_path import ImagePath
from vla_cache_ros.vla.image_path import see
from vla_cache_ros.vla.image_path import written_paths

SHARD = 250  # frames
MINIMUM = 3  # episodes
POSE = 7  # numbers of an action that is one
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
        _check_once(self.bags, 'bag')

    @property
    def places(self) -> list[Path]:
        """Return where the recordings are."""
        return [Path(bag) for bag in self.bags]

    def fitted(self, cameras: int, names: Sequence[str] = (), state: int = 0) -> 'BagSource':
        """
        Return the source for a model.

        cameras, names: its cameras, no names where nothing states them. state: how many numbers
        it takes, if it takes any. Raises ValueError unless there is a topic for each camera.
        """
        images = self.topics.images
        if images == BagTopics().images:  # nobody named them
            images = images[:cameras]
        if len(images) != cameras:
            raise ValueError(
                f'--image-topic: expected {cameras}, one for each camera of the model, primary '
                f'first, got {", ".join(images) or "none"}'
            )
        if state:
            self.topics.layout.check(state)
        return replace(self, topics=replace(self.topics, images=images))

    def poses(self, actions: int) -> bool:
        """Say whether actions of so many numbers are taken for poses."""
        return actions == POSE and not self.topics.arm_joints

    def settings(self, index: int, needs_state: bool) -> dict[str, Any]:
        """Return what the recording of one bag depends on."""
        path = self.places[index]
        files = [path] if path.is_file() else sorted(p for p in path.glob('*') if p.is_file())
        return {
            'bag': path.name,
            'files': {file.name: file.stat().st_size for file in files},
            'topics': asdict(self._topics(needs_state)),
            'cadence': asdict(self.cadence),
            'offsets': self.offsets,
            'image_path': written_paths(self.paths),
        }

    def open(self, index: int, needs_state: bool, notes: Counter[str]) -> 'Walks':
        """Return the walks through one bag; raises ValueError for one that lacks a topic."""
        bag, topics = Bag(self.places[index]), self._topics(needs_state)
        topics.check(bag, needs_state)
        walks = (walk(bag, topics, cadence, notes) for cadence in self._cadences())
        return Walks(walks, lambda: bag.damage, compression_of(bag, topics.recorded_images(bag)))

    def _topics(self, needs_state: bool) -> BagTopics:
        # what a live node saw, or how it was doing, is nothing to learn from
        topics = replace(self.topics, report='')
        return topics if needs_state else replace(topics, joints='', pose='')

    def _cadences(self) -> list[Cadence]:
        """Return when observations are taken, one for each walk through an episode."""
        first, period = self.cadence.offset, self.cadence.period
        later = [first + period * index / self.offsets for index in range(self.offsets)]
        return [replace(self.cadence, offset=offset) for offset in later]


@dataclass(frozen=True)
class DataSetSource:
    """
    Say which LeRobot data sets are recorded, as BagSource does of bags.

    cadences: one for each of them. says_poses: whether the user says that actions are poses.
    """

    data_sets: Sequence[Path]
    keys: DataSetKeys
    cadences: Sequence[Cadence]
    offsets: int
    says_poses: bool = False
    paths: Sequence[ImagePath] = (ImagePath(),)
    model: tuple[int, Sequence[str], int] = (0, (), 0)

    def __post_init__(self) -> None:
        """Check what a user may mistype."""
        _check_once(self.data_sets, 'data set')

    @property
    def places(self) -> list[Path]:
        """Return where the recordings are."""
        return [Path(data_set) for data_set in self.data_sets]

    def fitted(self, cameras: int, names: Sequence[str] = (), state: int = 0) -> 'DataSetSource':
        """Return the source for a model; raises ValueError for a data set that does not fit."""
        fitted = replace(self, model=(cameras, names, state))
        for index in range(len(self.data_sets)):
            fitted._keys(index)
        return fitted

    def poses(self, actions: int) -> bool:
        """Say whether actions are poses; raises ValueError where they cannot be."""
        if self.says_poses and actions != POSE:
            raise ValueError(f'--poses: expected actions of {POSE} numbers, got {actions}')
        return self.says_poses

    def settings(self, index: int, needs_state: bool) -> dict[str, Any]:
        """Return what the recording of one data set depends on."""
        path = self.places[index]
        files = sorted(file for file in path.rglob('*') if file.is_file())
        sizes = [[str(file.relative_to(path)), file.stat().st_size] for file in files]
        return {
            'data_set': path.name,
            'files': hashlib.sha256(json.dumps(sizes).encode()).hexdigest(),
            'keys': asdict(self._keys(index)),
            'cadence': asdict(self.cadences[index]),
            'offsets': self.offsets,
            'image_path': written_paths(self.paths),
        }

    def open(self, index: int, needs_state: bool, notes: Counter[str]) -> 'Walks':
        """Return the walks through one data set; raises ValueError for one that cannot be read."""
        from vla_cache_ros.datasets.dataset import DataSet
        from vla_cache_ros.datasets.walk import walk as walk_data_set

        data, keys, cadence = DataSet(self.places[index]), self._keys(index), self.cadences[index]
        begins = offset_frames(cadence, data.info.fps, self.offsets)
        if len(begins) < self.offsets:
            notes[
                f'offsets: {self.offsets} asked for, {len(begins)} used: there are no more frames '
                'from one observation to the next'
            ] = 1
        later = [replace(cadence, offset=frame / data.info.fps) for frame in begins]
        walks = (walk_data_set(data, keys, one, notes) for one in later)
        return Walks(walks, lambda: data.damage, data.compression(keys.images))

    def _keys(self, index: int) -> DataSetKeys:
        path = self.places[index]
        return self.keys.fitted(path, read_info(path), *self.model)


@dataclass(frozen=True)
class Walks:
    """
    Hold the walks through one recording.

    damage: what could not be read, complete after them. compression: of its pictures.
    """

    walks: Iterable[Iterator[BagStep]]
    damage: Callable[[], str]
    compression: str


Source = BagSource | DataSetSource


def record_bags(source: Source, cameras: int, needs_state: bool, out: Path) -> list[Path]:
    """
    Write the shards of every recording to a folder of its own in `out` and return the folders.

    One whose folder is complete is not read again. Raises ValueError for one that lacks what is
    needed, for a folder of another recording, and for fewer than MINIMUM episodes in all.
    """
    if isinstance(source, BagSource):
        source = source.fitted(cameras)
    folders, found = [], []
    for index, path in enumerate(source.places):
        folder = out / f'{index:03d}-{path.resolve().name}'
        folders.append(folder)
        found.append(_record(source, index, needs_state, folder))
    count = sum(facts['episodes'] for facts in found)
    if count < MINIMUM:
        short = sum(facts['too_short'] for facts in found)
        raise ValueError(
            f'recordings: expected at least {MINIMUM} episodes of two or more steps, found '
            f'{count} ({short} were shorter) in {", ".join(map(str, source.places))}: an episode '
            'begins with another instruction, a pause in the images, another bag or another '
            'episode of a data set; record more of them, or mend the time between inferences '
            '(--period)'
        )
    return folders


def facts_of(folder: Path) -> dict[str, Any]:
    """Return what was recorded: bag, settings, episodes, frames and damage."""
    return json.loads((folder / DONE).read_text(encoding='utf-8'))


def _record(source: Source, index: int, needs_state: bool, folder: Path) -> dict[str, Any]:
    """Write the shards of one recording, unless they are there, and return the facts."""
    path = source.places[index]
    # tuples as they come back
    settings = json.loads(json.dumps(source.settings(index, needs_state)))
    if (folder / DONE).exists():
        facts = facts_of(folder)
        changed = [name for name, value in settings.items() if facts.get(name) != value]
        if changed:
            raise ValueError(
                f'{folder}: expected the recording of {path} with these options, found one that '
                f'differs in {", ".join(changed)}: choose another --out, or remove the folder'
            )
        return facts
    notes: Counter[str] = Counter()
    opened = source.open(index, needs_state, notes)
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted recording left
    steps = _write_shards(opened.walks, index * EPISODES, needs_state, source.paths, folder)
    long = {episode for (episode, _), count in steps.items() if count > 1}
    facts = {
        **settings,
        'episodes': len(long),
        'too_short': len({episode for episode, _ in steps} - long),
        'frames': sum(steps.values()),
        'damage': opened.damage(),
        'compression': opened.compression,
        'notes': dict(notes),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DONE).write_text(json.dumps(facts, indent=1) + '\n', encoding='utf-8')
    print(_line(path, facts), flush=True)
    return facts


def _check_once(places: Sequence[Path], kind: str) -> None:
    if len(set(map(Path, places))) < len(places):
        raise ValueError(f'{kind}s: expected each {kind} once, got one of them twice')


def _line(path: Path, facts: dict[str, Any]) -> str:
    text = f'{path}: {facts["episodes"]} episodes, {facts["frames"]} frames'
    if facts['damage']:
        text += f'; DAMAGED, the readable part is used: {facts["damage"]}'
    text += ''.join(f'; {note}' for note in colour_notes(facts['notes']))
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
