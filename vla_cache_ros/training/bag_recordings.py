# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn recordings into shards that a gate learns from: images, state and instruction, no labels.

An episode at the rate of inferences has few steps, so it is walked through several times, each
time a part of a period later. Knows no model beyond its cameras and whether it takes a state.
"""

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
from typing import Any

from vla_cache_ros.bags.compression import compression_of
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.steps import BagStep
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.bags.walk import walk
from vla_cache_ros.datasets.cadence import offset_frames
from vla_cache_ros.datasets.info import read_info
from vla_cache_ros.datasets.keys import DataSetKeys
from vla_cache_ros.training.recording.one import facts_of
from vla_cache_ros.training.recording.one import Recording
from vla_cache_ros.vla.image_path import ImagePath
from vla_cache_ros.vla.image_path import written_paths

MINIMUM = 3  # episodes
POSE = 7  # numbers of an action that is one


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


Elsewhere = Callable[[Sequence[Recording]], None]  # writes them all, or raises ValueError


def record_bags(
    source: Source,
    cameras: int,
    needs_state: bool,
    out: Path,
    elsewhere: Elsewhere | None = None,
) -> list[Path]:
    """
    Write the shards of every recording to a folder of its own in `out` and return the folders.

    One whose folder is complete is not read again. elsewhere: writes those that are left, in
    place of this process. Raises ValueError for one that lacks what is needed, for a folder of
    another recording, and for fewer than MINIMUM episodes in all.
    """
    if isinstance(source, BagSource):
        source = source.fitted(cameras)
    recordings = [
        Recording(source, index, needs_state, out / f'{index:03d}-{path.resolve().name}')
        for index, path in enumerate(source.places)
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
            f'recordings: expected at least {MINIMUM} episodes of two or more steps, found '
            f'{count} ({short} were shorter) in {", ".join(map(str, source.places))}: an episode '
            'begins with another instruction, a pause in the images, another bag or another '
            'episode of a data set; record more of them, or mend the time between inferences '
            '(--period)'
        )
    return [recording.folder for recording in recordings]


def _check_once(places: Sequence[Path], kind: str) -> None:
    if len(set(map(Path, places))) < len(places):
        raise ValueError(f'{kind}s: expected each {kind} once, got one of them twice')
