# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Read LeRobotDataset v3.0 without lerobot: what it states, its episodes, and the frames of one.

An episode is read whole or not at all, and what is wrong with one is kept, so that it is told
once. Does not know which features a policy takes.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import re
from types import SimpleNamespace

import numpy as np
from vla_cache_ros.bags.compression import MEANING
from vla_cache_ros.control.sensing.compressed import decode_compressed
from vla_cache_ros.datasets.info import read_info
from vla_cache_ros.datasets.layout import CORRECTION
from vla_cache_ros.datasets.layout import EPISODE_INDEX
from vla_cache_ros.datasets.layout import file_path
from vla_cache_ros.datasets.layout import FRAME_INDEX
from vla_cache_ros.datasets.layout import OLD_TASK
from vla_cache_ros.datasets.layout import TASK
from vla_cache_ros.datasets.layout import TASK_INDEX
from vla_cache_ros.datasets.layout import TASKS
from vla_cache_ros.datasets.layout import TIMESTAMP
from vla_cache_ros.datasets.layout import TOLERANCE
from vla_cache_ros.datasets.layout import VIDEO_TYPE
from vla_cache_ros.datasets.tables import REAL
from vla_cache_ros.datasets.tables import Table
from vla_cache_ros.datasets.tables import TEXT
from vla_cache_ros.datasets.tables import TRUTH
from vla_cache_ros.datasets.tables import WHOLE
from vla_cache_ros.datasets.videos import check_part
from vla_cache_ros.datasets.videos import Part
from vla_cache_ros.datasets.videos import pictures

EPISODE_FILES = 'meta/episodes/chunk-*/file-*.parquet'
_PLACE = ('data/chunk_index', 'data/file_index')
_BEGIN, _LENGTH = 'dataset_from_index', 'length'


@dataclass(frozen=True)
class Episode:
    """
    Say where an episode is.

    first: index of its first frame among those of all episodes. data: chunk and file of its rows.
    videos: camera -> chunk, file and the time, s, at which it begins there.
    """

    index: int
    first: int
    length: int
    data: tuple[int, int]
    videos: Mapping[str, tuple[int, int, float]]


@dataclass(frozen=True)
class Rows:
    """
    Hold the rows of an episode, one a frame.

    vectors: name -> [frames, numbers] float64. tasks: what the robot was told, by frame.
    correction: whether a person had the arm, by frame. places: in the file.
    """

    vectors: Mapping[str, np.ndarray]
    tasks: Sequence[str]
    correction: np.ndarray
    places: np.ndarray


class DataSet:
    """
    A folder in the format LeRobotDataset v3.0.

    path: the folder. info: what it states. faults: episode -> why it is left out.
    """

    def __init__(self, path: str | Path):
        """
        Read what it states, and nothing else yet.

        Raises FileNotFoundError where there is nothing, ValueError, in one line, for what is no
        such data set.
        """
        self.path = Path(path)
        self.info = read_info(self.path)
        self.faults: dict[int, str] = {}
        self._checked: dict[tuple[int, str], bool] = {}  # whether its video is damaged elsewhere
        self._held: tuple[Path, tuple[str, ...], dict[str, np.ndarray]] | None = None
        self._tasks: dict[int, str] | None = None

    def episodes(self, cameras: Sequence[str] = ()) -> list[Episode]:
        """
        Return the episodes in their order; cameras: those whose videos are asked for.

        Raises ValueError where there is none, or the tables that list them cannot be read.
        """
        videos = [name for name in cameras if self.info.features[name].dtype == VIDEO_TYPE]
        wanted = dict.fromkeys((EPISODE_INDEX, _BEGIN, _LENGTH, *_PLACE), WHOLE)
        for name in videos:
            place = f'videos/{name}/'
            wanted |= {f'{place}chunk_index': WHOLE, f'{place}file_index': WHOLE}
            wanted[f'{place}from_timestamp'] = REAL
        files = sorted(self.path.glob(EPISODE_FILES), key=_numbers)
        if not files:
            raise ValueError(f'{self.path}: expected {EPISODE_FILES}, which list the episodes')
        found = []
        for file in files:
            columns = Table(file).read(wanted)
            rows = zip(*(columns[name].tolist() for name in wanted), strict=True)
            for index, first, length, chunk, number, *rest in rows:
                spots = zip(rest[::3], rest[1::3], rest[2::3], strict=True)
                spots = dict(zip(videos, spots, strict=True))
                found.append(Episode(index, first, length, (chunk, number), spots))
        found.sort(key=lambda episode: episode.index)
        if not found:
            raise ValueError(f'{self.path}: expected at least one episode, the data set is empty')
        twice = [
            one.index
            for one, next_ in zip(found, found[1:], strict=False)
            if one.index == next_.index
        ]
        if twice:
            raise ValueError(f'{self.path}: expected each episode once, got {twice[0]} twice')
        return found

    def rows(self, episode: Episode, vectors: Sequence[str]) -> Rows:
        """
        Return the rows of an episode with these vectors.

        Raises ValueError, in one line, for what is missing or does not fit together.
        """
        path = self._file(self.info.data_path, *episode.data)
        columns = self._columns(path, vectors)
        places = np.flatnonzero(columns[EPISODE_INDEX] == episode.index)
        if len(places) != episode.length or not len(places):
            raise ValueError(
                f'{path}: expected {episode.length} rows of the episode, got {len(places)}'
            )
        own = {name: column[places] for name, column in columns.items()}
        if (own[FRAME_INDEX] != np.arange(len(places))).any():
            raise ValueError(f'{path}: {FRAME_INDEX}: expected 0, 1, 2 ... in the episode')
        due = own[FRAME_INDEX] / self.info.fps
        off = np.abs(own[TIMESTAMP] - due)
        if not (off <= TOLERANCE + np.finfo(np.float32).eps * due).all():
            frame = int(np.argmax(~(off <= TOLERANCE + np.finfo(np.float32).eps * due)))
            raise ValueError(
                f'{path}: {TIMESTAMP}: expected {due[frame]:.4f} s at frame {frame}, its index / '
                f'{self.info.fps:g} fps, got {own[TIMESTAMP][frame]:.4f}'
            )
        texts = self._texts()
        unknown = set(own[TASK_INDEX].tolist()) - set(texts)
        if unknown:
            raise ValueError(f'{path}: {TASK_INDEX}: expected one of {TASKS}, got {min(unknown)}')
        return Rows(
            {name: own[name] for name in vectors},
            [texts[index] for index in own[TASK_INDEX].tolist()],
            own.get(CORRECTION, np.zeros(len(places), bool)),
            places,
        )

    def check_pictures(self, episode: Episode, cameras: Sequence[str], rows: Rows) -> None:
        """
        Raise ValueError, in one line, unless all pictures of an episode can be had.

        They are decoded once for that, however often it is asked for.
        """
        for camera in cameras:
            if (episode.index, camera) in self._checked:
                continue
            feature = self.info.features[camera]
            damaged = False
            if feature.dtype == VIDEO_TYPE:
                part = check_part(self._part(episode, camera), *feature.height_width)
                damaged = part.damaged
            else:
                for _ in self.pictures(episode, camera, rows, 0, episode.length):
                    pass
            self._checked[episode.index, camera] = damaged

    def pictures(
        self, episode: Episode, camera: str, rows: Rows, begin: int, end: int, stride: int = 1
    ) -> Iterator[np.ndarray]:
        """
        Yield a camera's pictures of frames begin, begin + stride ... before end, uint8 RGB.

        Raises ValueError, in one line, for one that cannot be had.
        """
        feature = self.info.features[camera]
        size = feature.height_width
        if feature.dtype == VIDEO_TYPE:
            yield from pictures(self._part(episode, camera, end), *size, begin, stride)
            return
        table = Table(self._file(self.info.data_path, *episode.data))
        for data in table.pictures(camera, rows.places[begin:end:stride].tolist()):
            message = SimpleNamespace(data=data, format='png')
            picture = decode_compressed(message, f'{table.path}: {camera}')
            if picture.shape[:2] != size:
                raise ValueError(
                    f'{table.path}: {camera}: expected pictures of {size[1]}x{size[0]} pixels, '
                    f'got {picture.shape[1]}x{picture.shape[0]}'
                )
            yield picture

    def compression(self, cameras: Sequence[str]) -> str:
        """Return in one line what compression did to the pictures, '' if it did nothing."""
        videos: dict[str, list[str]] = {}  # how they were compressed -> cameras
        for camera in cameras:
            feature = self.info.features[camera]
            if feature.dtype == VIDEO_TYPE:
                said = [feature.info.get(f'video.{name}') for name in ('codec', 'crf', 'g')]
                words = zip(('', 'crf ', 'a key frame every '), said, strict=True)
                words = [f'{word}{value}'[:40] for word, value in words if value is not None]
                videos.setdefault(', '.join(words) or 'of an unknown codec', []).append(camera)
        told = [f'{", ".join(names)}: video ({how})' for how, names in videos.items()]
        return f'{"; ".join(told)}; {MEANING}' if told else ''

    @property
    def damage(self) -> str:
        """Return which episodes were left out, and why, in one line."""
        reasons: dict[str, list[int]] = {}
        for index, reason in sorted(self.faults.items()):
            reasons.setdefault(reason, []).append(index)
        told = []
        for reason, indices in reasons.items():
            shown = ', '.join(map(str, indices[:5])) + (' ...' if len(indices) > 5 else '')
            many = f'{len(indices)} episodes ({shown})' if len(indices) > 1 else f'episode {shown}'
            told.append(f'{many} left out: {reason}')
        return '; '.join(told)

    def _part(self, episode: Episode, camera: str, count: int | None = None) -> Part:
        chunk, number, begin = episode.videos[camera]
        path = self._file(self.info.video_path, chunk, number, camera)
        if not (np.isfinite(begin) and begin >= 0):
            raise ValueError(f'{path}: expected an episode to begin at 0 s or later, got {begin}')
        damaged = self._checked.get((episode.index, camera), False)
        count = episode.length if count is None else count
        return Part(path, begin, count, self.info.fps, damaged)

    def _file(self, template: str, chunk: int, number: int, camera: str = '') -> Path:
        return file_path(self.path, template, chunk, number, camera)

    def _columns(self, path: Path, vectors: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the columns of a data file, which is held until another is asked for."""
        names = tuple(vectors)
        if self._held and self._held[:2] == (path, names):
            return self._held[2]
        self._held = None
        wanted: dict[str, str | int] = {
            EPISODE_INDEX: WHOLE, FRAME_INDEX: WHOLE, TASK_INDEX: WHOLE, TIMESTAMP: REAL,
        }  # fmt: skip
        if CORRECTION in self.info.features:
            wanted[CORRECTION] = TRUTH
        wanted |= {name: self.info.features[name].shape[0] for name in names}
        columns = Table(path).read(wanted)
        self._held = path, names, columns
        return columns

    def _texts(self) -> dict[int, str]:
        """Return the tasks' texts by index."""
        if self._tasks is None:
            table = Table(self.path / TASKS)
            name = OLD_TASK if TASK not in table.columns and OLD_TASK in table.columns else TASK
            columns = table.read({TASK_INDEX: WHOLE, name: TEXT})
            indices = columns[TASK_INDEX].tolist()
            self._tasks = dict(zip(indices, columns[name].tolist(), strict=True))
        return self._tasks


def _numbers(path: Path) -> list[int]:
    """Return a key that sorts file-1000 after file-999."""
    return [int(number) for part in path.parts[-2:] for number in re.findall(r'\d+', part)]
