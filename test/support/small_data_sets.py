# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small LeRobot data sets, written with pyarrow and ffmpeg: what a test says of one is there."""

import io
import json
import subprocess

import imageio_ffmpeg
import numpy as np
from paths import DATA
from PIL import Image
import pyarrow as pa
import pyarrow.parquet as pq

GOLDEN = DATA / 'goldens' / 'lerobot_dataset'
HEIGHT, WIDTH = 48, 64
CAMERAS = ('front', 'wrist')
PICTURE = ['height', 'width', 'channels']


def shade(episode, frame):
    """Return the red of a picture, which tells its episode and frame."""
    return 20 + (60 * episode + 4 * frame) % 220


def picture(episode, frame, camera=0):
    """Return a picture [HEIGHT, WIDTH, 3]."""
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    rgb[:] = (shade(episode, frame), 90, 200 - 60 * camera)
    return rgb


def png(rgb):
    """Return a picture as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, 'PNG')
    return buffer.getvalue()


def write_mp4(path, pictures, fps, codec=('libx264', '-crf', '10', '-g', '2')):
    """Write pictures as a video; no pictures leave no file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = f'{pictures[0].shape[1]}x{pictures[0].shape[0]}'
    line = [
        imageio_ffmpeg.get_ffmpeg_exe(), '-v', 'error', '-y', '-f', 'rawvideo', '-pix_fmt',
        'rgb24', '-s', size, '-r', str(fps), '-i', '-', '-c:v', *codec, '-pix_fmt', 'yuv420p',
        '-movflags', '+faststart', str(path),
    ]  # fmt: skip
    subprocess.run(line, input=b''.join(p.tobytes() for p in pictures), check=True)


def write_data_set(
    folder, lengths=(8, 6, 7), fps=10, video=True, state=6, action=6, change=None, files=1
):
    """
    Write a data set of so many frames an episode and return its folder.

    Numbers of state and action are 100 * episode + frame. files: that its episodes are in, one
    after another. change: gets a dict of all columns of the data, `info`, `episodes` and `tasks`,
    and may change them before they are written.
    """
    rows = {
        name: [] for name in ('episode_index', 'frame_index', 'timestamp', 'task_index', 'index')
    }
    numbers = []
    episodes = []
    places = [episode * files // len(lengths) for episode in range(len(lengths))]
    begins = dict.fromkeys(range(files), 0)  # of a file's videos, frames
    for episode, length in enumerate(lengths):
        place, first = places[episode], len(numbers)
        row = {
            'episode_index': episode, 'tasks': [f'task {episode % 2}'], 'length': length,
            'data/chunk_index': 0, 'data/file_index': place,
            'dataset_from_index': first, 'dataset_to_index': first + length,
        }  # fmt: skip
        for camera in CAMERAS if video else ():
            spot = f'videos/observation.images.{camera}/'
            begin, end = begins[place] / fps, (begins[place] + length) / fps
            row |= {f'{spot}chunk_index': 0, f'{spot}file_index': place}
            row |= {f'{spot}from_timestamp': begin, f'{spot}to_timestamp': end}
        begins[place] += length
        episodes.append(row)
        for frame in range(length):
            numbers.append(100 * episode + frame)
            values = (episode, frame, frame / fps, episode % 2, len(rows['index']))
            for name, value in zip(rows, values, strict=True):
                rows[name].append(value)
    vectors = {
        name: {'dtype': 'float32', 'shape': [size], 'names': [f'j{i}' for i in range(size)]}
        for name, size in (('observation.state', state), ('action', action))
    }
    kind = {'dtype': 'video' if video else 'image', 'shape': [HEIGHT, WIDTH, 3]}
    kind |= {'names': PICTURE}
    if video:
        kind |= {'info': {'video.codec': 'h264', 'video.crf': 10, 'video.g': 2}}
    info = {
        'codebase_version': 'v3.0',
        'fps': fps,
        'features': {f'observation.images.{camera}': dict(kind) for camera in CAMERAS} | vectors,
        'total_episodes': len(lengths),
        'total_frames': len(numbers),
        'total_tasks': 2,
        'data_path': 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet',
        'video_path': 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4',
        'robot_type': 'small',
    }
    for name in rows:
        dtype = 'float32' if name == 'timestamp' else 'int64'
        info['features'][name] = {'dtype': dtype, 'shape': [1], 'names': None}
    every = np.array(numbers, np.float32)[:, None]
    columns = {name: pa.array(values) for name, values in rows.items()}
    columns['timestamp'] = columns['timestamp'].cast(pa.float32())
    for name, size in (('observation.state', state), ('action', action)):
        flat = pa.array((every + np.arange(size) / 10).astype(np.float32).ravel())
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, size)
    if not video:
        for index, camera in enumerate(CAMERAS):
            pairs = zip(rows['episode_index'], rows['frame_index'], strict=True)
            cells = [{'bytes': png(picture(e, f, index)), 'path': None} for e, f in pairs]
            columns[f'observation.images.{camera}'] = pa.array(cells)
    parts = {'columns': columns, 'info': info, 'episodes': episodes, 'tasks': ['task 0', 'task 1']}
    if change:
        change(parts)
    _write(folder, parts, rows['episode_index'], places, lengths, fps, video)
    return folder


def _write(folder, parts, owners, places, lengths, fps, video):
    for name in ('meta/episodes/chunk-000', 'data/chunk-000'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / 'meta/info.json').write_text(json.dumps(parts['info']))
    tasks = {'task_index': list(range(len(parts['tasks']))), 'task': parts['tasks']}
    pq.write_table(pa.table(tasks), folder / 'meta/tasks.parquet')
    table = pa.Table.from_pylist(parts['episodes'])
    pq.write_table(table, folder / 'meta/episodes/chunk-000/file-000.parquet')
    data = pa.table(parts['columns'])
    for place in sorted(set(places)):
        own = [places[episode] == place for episode in owners]
        path = folder / f'data/chunk-000/file-{place:03d}.parquet'
        pq.write_table(data.filter(pa.array(own)), path, row_group_size=5)
        for index, camera in enumerate(CAMERAS if video else ()):
            key = f'observation.images.{camera}'
            pictures = [
                picture(episode, frame, index)
                for episode, length in enumerate(lengths)
                if places[episode] == place
                for frame in range(length)
            ]
            write_mp4(folder / f'videos/{key}/chunk-000/file-{place:03d}.mp4', pictures, fps)
