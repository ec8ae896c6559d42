# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say what a LeRobotDataset v3.0 is made of: names, paths, and what `meta/info.json` states.

Both who reads one and who writes one use it. Opens no table and no video.
Source: LeRobot 0.6.1, `datasets/`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from pathlib import PurePosixPath
import re
from string import Formatter
from typing import Any

VERSION = 'v3.0'
INFO, STATS, TASKS = 'meta/info.json', 'meta/stats.json', 'meta/tasks.parquet'
EPISODES = 'meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
DATA = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
VIDEO = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'
CHUNKS_SIZE, DATA_MB, VIDEO_MB = 1000, 100, 200  # files a folder; MB a file, about

STATE, ACTION, CAMERA = 'observation.state', 'action', 'observation.images.'
TIMESTAMP, FRAME_INDEX, INDEX = 'timestamp', 'frame_index', 'index'
EPISODE_INDEX, TASK_INDEX = 'episode_index', 'task_index'
TASK, OLD_TASK = 'task', '__index_level_0__'  # the column of a task's text, and that of old
# our own columns, where a live node ran along: whether a person had the arm; of its step reports
CORRECTION, REUSE, STEP = 'vla_cache.correction', 'vla_cache.reuse', 'vla_cache.step'
VIDEO_TYPE, IMAGE_TYPE = 'video', 'image'
PICTURE_NAMES = ('height', 'width', 'channels')
TOLERANCE = 1e-4  # s, by which LeRobot lets a time differ from frame_index / fps

_FIELDS = {'chunk_index', 'file_index', 'video_key'}
_WIDTH = re.compile(r'(0?[0-9]{1,2}d)?')


@dataclass(frozen=True)
class Feature:
    """
    Say what one name of a frame holds.

    dtype: `video`, `image`, or of numpy. names: of a vector's numbers, or of a picture's axes;
    empty where nothing states them. info: of a video, such as `video.codec`.
    """

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] = ()
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_picture(self) -> bool:
        """Say whether it is a camera's; depth, which has no colours, is none."""
        depth = self.info.get('is_depth_map') or self.info.get('video.is_depth_map')
        return self.dtype in (VIDEO_TYPE, IMAGE_TYPE) and len(self.shape) == 3 and not depth

    @property
    def height_width(self) -> tuple[int, int]:
        """Return a picture's height and width in pixels; older data sets put channels first."""
        first = self.names[:1] in (('channels',), ('channel',), ('c',))
        return self.shape[1:] if first else self.shape[:2]

    def as_json(self) -> dict[str, Any]:
        """Return it as `info.json` has it."""
        found = {'dtype': self.dtype, 'shape': list(self.shape)}
        found['names'] = list(self.names) or None
        return found | ({'info': dict(self.info)} if self.info else {})


COLUMNS: Mapping[str, Feature] = {  # that every data set has beside its own
    TIMESTAMP: Feature('float32', (1,)),
    FRAME_INDEX: Feature('int64', (1,)),
    EPISODE_INDEX: Feature('int64', (1,)),
    INDEX: Feature('int64', (1,)),
    TASK_INDEX: Feature('int64', (1,)),
}


@dataclass(frozen=True)
class Info:
    """
    Hold what `meta/info.json` states.

    fps: frames a second. features: name -> Feature, COLUMNS among them. robot_type: '' for none.
    """

    fps: float
    features: Mapping[str, Feature]
    total_episodes: int = 0
    total_frames: int = 0
    total_tasks: int = 0
    robot_type: str = ''
    data_path: str = DATA
    video_path: str = VIDEO

    @property
    def cameras(self) -> tuple[str, ...]:
        """Return the names of the pictures, in their order."""
        return tuple(name for name, one in self.features.items() if one.is_picture)

    def as_json(self) -> dict[str, Any]:
        """Return the content of `info.json`, as LeRobot writes it."""
        videos = any(one.dtype == VIDEO_TYPE for one in self.features.values())
        fps = int(self.fps) if float(self.fps).is_integer() else self.fps
        return {
            'codebase_version': VERSION,
            'fps': fps,
            'features': {name: one.as_json() for name, one in self.features.items()},
            'total_episodes': self.total_episodes,
            'total_frames': self.total_frames,
            'total_tasks': self.total_tasks,
            'chunks_size': CHUNKS_SIZE,
            'data_files_size_in_mb': DATA_MB,
            'video_files_size_in_mb': VIDEO_MB,
            'data_path': self.data_path,
            'video_path': self.video_path if videos else None,
            'robot_type': self.robot_type or None,
            'splits': {'train': f'0:{self.total_episodes}'},
        }


def file_path(folder: Path, template: str, chunk: int, file: int, camera: str = '') -> Path:
    """
    Return the path of a file of a data set, named by a template such as DATA.

    Raises ValueError for a template that names anything else, and for a path that leaves the
    folder.
    """
    for _, name, width, conversion in Formatter().parse(template):
        if name is None:
            continue
        if name not in _FIELDS or conversion or not _WIDTH.fullmatch(width or ''):
            raise ValueError(
                f'{template!r:.200}: expected a path of {", ".join(sorted(_FIELDS))}, got another'
            )
    found = PurePosixPath(
        template.format(chunk_index=chunk, file_index=file, video_key=camera)  # of checked fields
    )
    if found.is_absolute() or '..' in found.parts or '\0' in str(found):
        raise ValueError(f'{str(found)!r:.200}: expected a path within {folder}')
    return folder / found
