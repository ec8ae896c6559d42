# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Write a LeRobotDataset v3.0 without lerobot: rows with pyarrow, videos with ffmpeg.

Goes through the frames once, an episode after the other, and keeps one episode's rows in memory.
Does not know where the frames come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from vla_cache_ros.datasets.encoding import check_sides
from vla_cache_ros.datasets.encoding import CRF
from vla_cache_ros.datasets.encoding import VideoFile
from vla_cache_ros.datasets.layout import CHUNKS_SIZE
from vla_cache_ros.datasets.layout import DATA
from vla_cache_ros.datasets.layout import DATA_MB
from vla_cache_ros.datasets.layout import EPISODE_INDEX
from vla_cache_ros.datasets.layout import EPISODES
from vla_cache_ros.datasets.layout import Feature
from vla_cache_ros.datasets.layout import file_path
from vla_cache_ros.datasets.layout import FRAME_INDEX
from vla_cache_ros.datasets.layout import IMAGE_TYPE
from vla_cache_ros.datasets.layout import INDEX
from vla_cache_ros.datasets.layout import INFO
from vla_cache_ros.datasets.layout import Info
from vla_cache_ros.datasets.layout import STATS
from vla_cache_ros.datasets.layout import TASK
from vla_cache_ros.datasets.layout import TASK_INDEX
from vla_cache_ros.datasets.layout import TASKS
from vla_cache_ros.datasets.layout import TIMESTAMP
from vla_cache_ros.datasets.layout import VIDEO
from vla_cache_ros.datasets.layout import VIDEO_MB
from vla_cache_ros.datasets.layout import VIDEO_TYPE
from vla_cache_ros.datasets.statistics import Colours
from vla_cache_ros.datasets.statistics import Column
from vla_cache_ros.datasets.statistics import describe

ROW_GROUP = 2**26  # bytes of pictures, at which the rows of a long episode are written in parts
LISTED = 100  # episodes that are listed at a time
_PICTURE = pa.struct([('bytes', pa.binary()), ('path', pa.string())])
_TYPES = {'float32': pa.float32(), 'int64': pa.int64(), 'bool': pa.bool_()}


@dataclass
class _Place:
    """Where the next rows, or pictures, go: a chunk is a folder."""

    chunk: int = 0
    file: int = 0

    def next(self) -> None:  # noqa: A003
        """Go on to the next file."""
        self.file += 1
        if self.file == CHUNKS_SIZE:
            self.chunk, self.file = self.chunk + 1, 0


class DataSetWriter:
    """A data set that is being written; it can be read once it is closed."""

    def __init__(self, folder: Path, info: Info, crf: int = CRF):
        """
        Write into a folder; info: rate and features, LeRobot's own columns among them.

        Raises ValueError for pictures that no video can hold.
        """
        self._folder, self.info, self._crf = folder, info, crf
        pictures = {n: f for n, f in info.features.items() if f.is_picture}
        self._pictures = {n: f for n, f in pictures.items() if f.dtype == IMAGE_TYPE}
        self._videos = {n: f for n, f in pictures.items() if f.dtype == VIDEO_TYPE}
        for name, feature in self._videos.items():
            check_sides(name, *feature.shape[:2])
        self._numbers = {n: f for n, f in info.features.items() if n not in pictures}
        self._files: dict[str, VideoFile] = {}
        self._places = {name: _Place() for name in self._videos}
        self._place, self._rows, self._listed = _Place(), None, None
        self._tasks: dict[str, int] = {}
        self._columns = {n: Column(f.shape[0]) for n, f in self._numbers.items()}
        self._colours = {n: Colours() for n in pictures}
        self._frames = self._episodes = 0
        self._list: list[dict[str, Any]] = []
        self._schema = pa.schema(
            [(name, _type(feature)) for name, feature in self._in_rows().items()]
        )
        self._begin()

    @property
    def frames(self) -> int:
        """Return how many frames there are, those of the open episode too."""
        return self._frames + self._count

    @property
    def episodes(self) -> int:
        """Return how many episodes were ended."""
        return self._episodes

    def add(self, values: Mapping[str, Any], task: str) -> None:
        """
        Append a frame to the open episode.

        values: of every feature but LeRobot's own columns; pictures uint8 [H, W, 3].
        Raises ValueError for another size, OSError where it cannot be written.
        """
        own = {
            TIMESTAMP: np.float32(self._count / self.info.fps),
            FRAME_INDEX: self._count,
            EPISODE_INDEX: self._episodes,
            INDEX: self._frames + self._count,
            TASK_INDEX: self._tasks.get(task, len(self._tasks)),
        }
        values = {**values, **own}
        for name in self._colours:
            shape = self.info.features[name].shape
            if values[name].shape != shape:
                raise ValueError(
                    f'{name}: expected pictures of {shape[1]}x{shape[0]} pixels like the first '
                    f'one, got {values[name].shape[1]}x{values[name].shape[0]}'
                )
        numbers = {
            name: np.asarray(values[name], feature.dtype).reshape(-1)
            for name, feature in self._numbers.items()
        }
        for name, value in numbers.items():
            size = self._numbers[name].shape[0]
            if len(value) != size:
                raise ValueError(f'{name}: expected {size} numbers, got {len(value)}')
        self._tasks.setdefault(task, len(self._tasks))  # nothing is kept of what was refused
        self._task_names.setdefault(task)
        for name, value in numbers.items():
            self._values[name].append(value)
        for name in self._colours:
            self._episode_colours[name].add(values[name])
            if name in self._videos:
                self._video(name).add(values[name])
            else:
                done, data = cv2.imencode('.png', values[name][..., ::-1])
                if not done:
                    raise ValueError(f'{name}: expected a picture, got one that no PNG is made of')
                self._values[name].append({'bytes': data.tobytes(), 'path': None})
                self._pending += data.nbytes
        self._count += 1
        if self._pending > ROW_GROUP:
            self._write_rows()

    def end_episode(self) -> bool:
        """End the open episode; return whether there was one, of a frame or more."""
        if not self._count:
            return False
        self._write_rows()
        length, fps = self._count, self.info.fps
        row = {
            EPISODE_INDEX: self._episodes,
            'tasks': list(self._task_names),
            'length': length,
            'data/chunk_index': self._place.chunk,
            'data/file_index': self._place.file,
            'dataset_from_index': self._frames,
            'dataset_to_index': self._frames + length,
        }
        for name in self._videos:
            place, end = self._places[name], self._files[name].frames
            row[f'videos/{name}/chunk_index'] = place.chunk
            row[f'videos/{name}/file_index'] = place.file
            row[f'videos/{name}/from_timestamp'] = (end - length) / fps
            row[f'videos/{name}/to_timestamp'] = end / fps
        for name, colours in self._episode_colours.items():
            self._colours[name].merge(colours)
            row |= _flat(name, colours.stats())
        for name, parts in self._written.items():
            values = np.concatenate(parts)
            self._columns[name].add(values)
            row |= _flat(name, describe(values))
        row |= {'meta/episodes/chunk_index': 0, 'meta/episodes/file_index': 0}
        self._list.append(row)
        self._frames, self._episodes = self._frames + length, self._episodes + 1
        self._turn_pages()
        self._begin()
        return True

    def close(self) -> Info:
        """
        Write what tells of all episodes; return what `info.json` states.

        Raises ValueError if there is no frame.
        """
        self.end_episode()
        if not self._episodes:
            raise ValueError('expected at least one frame, got none')
        for file in self._files.values():
            file.close()
        self._files = {}
        self._close_rows()
        self._write_list()
        self._listed.close()
        self._write_tasks()
        stats = {n: c.stats() for n, c in (*self._colours.items(), *self._columns.items())}
        self.info = replace(
            self.info,
            total_episodes=self._episodes,
            total_frames=self._frames,
            total_tasks=len(self._tasks),
        )
        _write_json(self._folder / STATS, stats)
        _write_json(self._folder / INFO, self.info.as_json())
        return self.info

    def abort(self) -> None:
        """Let go of all files; what is there is no data set."""
        for file in self._files.values():
            file.abort()
        self._files = {}
        self._close_rows()

    def _begin(self) -> None:
        """Make ready for an episode."""
        self._count = self._pending = 0
        self._task_names: dict[str, None] = {}
        self._values: dict[str, list] = {name: [] for name in self._in_rows()}
        self._written: dict[str, list[np.ndarray]] = {name: [] for name in self._numbers}
        self._episode_colours = {name: Colours() for name in self._colours}

    def _in_rows(self) -> dict[str, Feature]:
        return {n: f for n, f in self.info.features.items() if n not in self._videos}

    def _video(self, name: str) -> VideoFile:
        if name not in self._files:
            place, (height, width, _) = self._places[name], self._videos[name].shape
            path = file_path(self._folder, VIDEO, place.chunk, place.file, name)
            self._files[name] = VideoFile(path, height, width, int(self.info.fps), self._crf)
        return self._files[name]

    def _write_rows(self) -> None:
        """Write the rows that are held as a row group."""
        if not len(self._values[INDEX]):
            return
        if self._rows is None:
            path = file_path(self._folder, DATA, self._place.chunk, self._place.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._rows = pq.ParquetWriter(path, self._schema, compression='snappy')
        columns = []
        for field in self._schema:
            values = self._values[field.name]
            if field.name in self._pictures:
                columns.append(pa.array(values, field.type))
                continue
            stacked = np.stack(values)
            self._written[field.name].append(stacked)
            flat = pa.array(stacked.reshape(-1))
            if pa.types.is_fixed_size_list(field.type):
                flat = pa.FixedSizeListArray.from_arrays(flat, stacked.shape[1])
            columns.append(flat)
        self._rows.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self._values, self._pending = {name: [] for name in self._values}, 0

    def _turn_pages(self) -> None:
        """Begin a new file where one has become long, between two episodes."""
        path = file_path(self._folder, DATA, self._place.chunk, self._place.file)
        if path.stat().st_size > DATA_MB * 2**20:
            self._close_rows()
            self._place.next()
        for name, file in list(self._files.items()):
            if file.bytes > VIDEO_MB * 2**20:
                file.close()
                del self._files[name]
                self._places[name].next()
        if len(self._list) >= LISTED:
            self._write_list()

    def _close_rows(self) -> None:
        if self._rows is not None:
            self._rows.close()
            self._rows = None

    def _write_list(self) -> None:
        """Append episodes to the table that lists them."""
        if not self._list:
            return
        table = pa.Table.from_pylist(self._list)
        if self._listed is None:
            path = file_path(self._folder, EPISODES, 0, 0)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._listed = pq.ParquetWriter(path, table.schema, compression='snappy')
        self._listed.write_table(table.cast(self._listed.schema))
        self._list = []

    def _write_tasks(self) -> None:
        """Write the tasks; what pandas needs makes the text the index, as LeRobot wants it."""
        table = pa.table({TASK_INDEX: list(self._tasks.values()), TASK: list(self._tasks)})
        column = {'metadata': None, 'field_name': None, 'pandas_type': 'unicode'}
        text = {**column, 'numpy_type': 'object'}
        index = {
            'name': TASK_INDEX, 'field_name': TASK_INDEX, 'pandas_type': 'int64',
            'numpy_type': 'int64', 'metadata': None,
        }  # fmt: skip
        pandas = {
            'index_columns': [TASK],
            'column_indexes': [{**text, 'name': None, 'metadata': {'encoding': 'UTF-8'}}],
            'columns': [index, {**text, 'name': TASK, 'field_name': TASK}],
            'pandas_version': '2.0.0',
        }
        path = self._folder / TASKS
        pq.write_table(table.replace_schema_metadata({'pandas': json.dumps(pandas)}), path)


def _type(feature: Feature) -> pa.DataType:
    if feature.dtype == IMAGE_TYPE:
        return _PICTURE
    kind = _TYPES[feature.dtype]
    return kind if feature.shape == (1,) else pa.list_(kind, feature.shape[0])


def _flat(name: str, stats: Mapping[str, list]) -> dict[str, list]:
    return {f'stats/{name}/{stat}': value for stat, value in stats.items()}


def _write_json(path: Path, content: Any) -> None:  # noqa: ANN401
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=4) + '\n', encoding='utf-8')
