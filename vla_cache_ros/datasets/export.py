# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn recordings into a LeRobotDataset v3.0, which is there whole or not at all.

A bag that cannot be used is named, and the others go on; of a damaged one what can be read is
taken. Does not know how a frame is chosen, nor how a file is written.
"""

from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
import fcntl
import json
import os
from pathlib import Path
import shutil
from typing import Any

from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.datasets.columns import action_feature
from vla_cache_ros.datasets.columns import camera_names
from vla_cache_ros.datasets.columns import features
from vla_cache_ros.datasets.columns import HELD
from vla_cache_ros.datasets.columns import picture_feature
from vla_cache_ros.datasets.columns import STAMP
from vla_cache_ros.datasets.columns import state_feature
from vla_cache_ros.datasets.commands import Commands
from vla_cache_ros.datasets.commands import Found
from vla_cache_ros.datasets.encoding import CRF
from vla_cache_ros.datasets.encoding import video_info
from vla_cache_ros.datasets.grid import Moment
from vla_cache_ros.datasets.grid import moments
from vla_cache_ros.datasets.layout import ACTION
from vla_cache_ros.datasets.layout import CORRECTION
from vla_cache_ros.datasets.layout import IMAGE_TYPE
from vla_cache_ros.datasets.layout import Info
from vla_cache_ros.datasets.layout import REUSE
from vla_cache_ros.datasets.layout import STATE
from vla_cache_ros.datasets.layout import STEP
from vla_cache_ros.datasets.layout import VIDEO_TYPE
from vla_cache_ros.datasets.ordered import camera_period
from vla_cache_ros.datasets.writer import DataSetWriter

ORIGIN = 'meta/vla_cache_export.json'  # where it comes from; LeRobot does not look at it


@dataclass(frozen=True)
class Export:
    """
    Say what is taken out of recordings, and how it is stored.

    fps: frames a second; None: the rate of the first camera of the first usable bag, rounded.
    cameras: names in place of those of the topics. video: pictures as H.264 of quality crf (0:
    best, 51: worst), else as PNG, without loss. max_gap, image_timeout ...: see Cadence; its
    period is not used.
    """

    topics: BagTopics = BagTopics()
    commands: Commands = Commands()
    fps: int | None = None
    cameras: tuple[str, ...] = ()
    video: bool = True
    crf: int = CRF
    robot: str = ''
    cadence: Cadence = field(default_factory=lambda: Cadence(1.0))


@dataclass
class Survey:
    """
    Hold what the bags have in common, and which cannot be used.

    layout: what a bag has to have as the first usable one does.
    """

    usable: list[tuple[Path, Found]] = field(default_factory=list)
    refused: dict[Path, str] = field(default_factory=dict)
    layout: tuple[Any, ...] | None = None
    fps: int = 0
    reported: bool = False


def export_bags(bags: Sequence[Path], out: Path, export: Export) -> dict[str, Any]:
    """
    Write the data set and return what became of each bag, as ORIGIN has it.

    Raises ValueError where out is not empty, no bag can be used, or none has a frame; nothing is
    left behind then, nor after a kill but a hidden folder beside out, which the next run removes.
    """
    if len(set(bags)) < len(bags):
        raise ValueError('--bag: expected each bag once, got one of them twice')
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(
            f'{out}: expected a folder that is not there yet, or empty; choose another --out, or '
            'remove it: a data set is written in one go and not added to'
        )
    names = camera_names(export.topics, export.cameras)
    survey = look_at(bags, export)
    if not survey.usable:
        raise ValueError('; '.join(survey.refused.values()))
    with _unfinished(out) as folder:
        writing = _Writing(folder, export, survey, names)
        try:
            told = [writing.bag(path) for path in bags]
            origin = {'fps': survey.fps, 'frames': writing.frames, 'bags': told}
            writing.close(origin)
        except BaseException:
            writing.abort()
            raise
    return origin


def look_at(bags: Sequence[Path], export: Export) -> Survey:
    """Return which bags can be used together, and what they have in common."""
    survey = Survey(fps=export.fps or 0)
    for path in bags:
        try:
            bag = Bag(path)
            topics = export.topics
            topics.check(bag, needs_state=False)
            found = export.commands.found(bag)
            layout = found.names, found.units, bool(topics.states(bag))
            if survey.layout is None:
                survey.layout = layout
            _same(path, layout, survey.layout)
            if not survey.fps:
                period = camera_period(bag, topics.recorded_images(bag)[0])
                survey.fps = max(1, round(1 / period)) if period else 1
            survey.reported = survey.reported or topics.has_reports(bag)
            survey.usable.append((path, found))
        except (ValueError, OSError) as error:
            survey.refused[path] = ' '.join(str(error).split())
    return survey


def _same(path: Path, layout: tuple[Any, ...], first: tuple[Any, ...]) -> None:
    for what, got, expected in zip(('action', 'units', 'state'), layout, first, strict=True):
        if got != expected:
            raise ValueError(
                f'{path}: {what}: expected {_told(expected)}, as in the bags before, got '
                f'{_told(got)}; export it to a data set of its own'
            )


def _told(value: Any) -> str:  # noqa: ANN401
    return ', '.join(value) if isinstance(value, tuple) else ('some' if value else 'none')


class _Writing:
    """Write bag after bag into one data set."""

    def __init__(self, folder: Path, export: Export, survey: Survey, names: tuple[str, ...]):
        self._folder, self._export, self._survey, self._names = folder, export, survey, names
        self._found = dict(survey.usable)
        self._writer: DataSetWriter | None = None
        self._cadence = replace(export.cadence, period=1 / survey.fps)

    @property
    def frames(self) -> int:
        """Return how many frames were written."""
        return self._writer.frames if self._writer else 0

    def bag(self, path: Path) -> dict[str, Any]:
        """Write the episodes of a bag; return what became of it, and print that in a line."""
        told: dict[str, Any] = {'bag': str(path), 'episodes': 0, 'frames': 0, 'held': 0}
        told |= {'repeated': 0, 'corrections': 0, 'error': self._survey.refused.get(path, '')}
        notes: Counter[str] = Counter()
        if path in self._found:
            bag = Bag(path)
            try:
                self._episodes(bag, self._found[path], told, notes)
            except ValueError as error:  # what was read so far is kept
                told['error'] = ' '.join(str(error).split())
                told['episodes'] += bool(self._writer and self._writer.end_episode())
            told |= {'damage': bag.damage, 'notes': dict(notes)}
        print(_line(told), flush=True)
        return told

    def close(self, origin: dict[str, Any]) -> None:
        """Finish the data set; raises ValueError if there is no frame."""
        if not self.frames:
            reasons = [b['error'] or ', '.join(b.get('notes', {})) for b in origin['bags']]
            raise ValueError(
                f'expected at least one frame, got none: {"; ".join(filter(None, reasons))}'
            )
        self._writer.close()
        text = json.dumps(origin, indent=1) + '\n'
        (self._folder / ORIGIN).write_text(text, encoding='utf-8')

    def abort(self) -> None:
        """Let go of what is open."""
        if self._writer:
            self._writer.abort()

    def _episodes(self, bag: Bag, found: Found, told: dict[str, Any], notes: Counter[str]) -> None:
        last: int | None = None
        walk = moments(bag, self._export.topics, found, self._cadence, notes)
        for moment in walk:
            if moment.episode != last and last is not None:
                told['episodes'] += self._writer.end_episode()
            self._add(moment)
            last = moment.episode
            told['frames'] += 1
            told['held'] += moment.held
            told['repeated'] += moment.repeated and not moment.held
            told['corrections'] += moment.correction
        if last is not None:
            told['episodes'] += self._writer.end_episode()

    def _add(self, moment: Moment) -> None:
        pictures = dict(zip(self._names, moment.observation.images, strict=True))
        if self._writer is None:
            self._writer = DataSetWriter(self._folder, self._info(moment), self._export.crf)
        values: dict[str, Any] = {
            **pictures,
            ACTION: moment.action,
            CORRECTION: moment.correction,
            HELD: moment.held,
            STAMP: moment.stamp,
        }
        if STATE in self._writer.info.features:
            values[STATE] = moment.observation.proprio
        if self._survey.reported:
            values |= {STEP: moment.step, REUSE: moment.reuse}
        self._writer.add(values, moment.observation.instruction)

    def _info(self, moment: Moment) -> Info:
        export, fps = self._export, self._survey.fps
        pictures = {}
        for name, picture in zip(self._names, moment.observation.images, strict=True):
            height, width = picture.shape[:2]
            video = video_info(height, width, fps, export.crf) if export.video else None
            kind = VIDEO_TYPE if export.video else IMAGE_TYPE
            pictures[name] = picture_feature(kind, height, width, video)
        has_state = moment.observation.proprio is not None
        state = state_feature(export.topics.layout) if has_state else None
        action = action_feature(self._survey.usable[0][1])
        found = features(pictures, state, action, self._survey.reported)
        return Info(fps, found, robot_type=export.robot)


def _line(told: dict[str, Any]) -> str:
    """Return what became of a bag."""
    text = f'{told["bag"]}: {told["episodes"]} episodes, {told["frames"]} frames'
    for name, what in (
        ('held', 'held, as no observation was complete'),
        ('repeated', 'of the same pictures as the one before'),
        ('corrections', 'while a person had the arm'),
    ):
        if told[name]:
            text += f'; {told[name]} {what}'
    if told.get('damage'):
        text += f'; DAMAGED, the readable part is used: {told["damage"]}'
    if told['error']:
        text += f'; FAILED: {told["error"]}'
    for note, count in told.get('notes', {}).items():
        text += f'\n  {count} times: {note}' if count > 1 else f'\n  {note}'
    return text


@contextmanager
def _unfinished(out: Path) -> Iterator[Path]:
    """
    Give a hidden folder beside out; move it to out in the end, or remove it after an error.

    What a killed export left there is removed first. Raises ValueError while another writes it.
    """
    folder = out.parent / f'.{out.name}.part'
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)  # let go of with the process
    try:
        _lock(lock, folder, out)
        try:
            for left in folder.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            yield folder
            os.replace(folder, out)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    finally:
        os.close(lock)


def _lock(lock: int, folder: Path, out: Path) -> None:
    """Raise ValueError unless nobody else writes, or has just finished, the folder."""
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), os.stat(folder)):
            return
    raise ValueError(
        f'{out}: expected no other export to it, one is under way; wait for it, or choose another '
        '--out'
    )
