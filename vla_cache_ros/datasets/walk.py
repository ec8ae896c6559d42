# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Walk through a data set and yield the observations of a policy, as a walk through a bag does.

An episode that cannot be read is left out; the data set keeps why. Knows no model.
"""

from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import closing
from contextlib import ExitStack

import numpy as np
from vla_cache_ros.bags.corrections import Corrections
from vla_cache_ros.bags.steps import BagStep
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.control.sensing.colour import ColourWatch
from vla_cache_ros.control.sensing.images import BLACK
from vla_cache_ros.datasets.cadence import cadence_note
from vla_cache_ros.datasets.cadence import stride_of
from vla_cache_ros.datasets.dataset import DataSet
from vla_cache_ros.datasets.dataset import Episode
from vla_cache_ros.datasets.dataset import Rows
from vla_cache_ros.datasets.keys import DataSetKeys
from vla_cache_ros.types import Observation


def walk(
    data: DataSet,
    keys: DataSetKeys,
    cadence: Cadence,
    notes: Counter[str] | None = None,
    episodes: Sequence[int] | None = None,
    ahead: int = 0,
) -> Iterator[BagStep]:
    """
    Yield observations in the order of recording; keys: as `DataSetKeys.fitted` returns them.

    notes: takes why there was no observation, and how often. episodes: their indices, all if None.
    ahead: recorded actions that a step has with it, those of its frame and the ones after.
    An episode whose task changes is several; so is one of which corrections leave something out.
    Raises ValueError if the data set lists no episode.
    """
    notes = Counter() if notes is None else notes
    if note := cadence_note(cadence, data.info.fps):
        notes[note] = 1  # however often it is walked through
    walker = _Walker(data, keys, cadence, notes, ahead)
    chosen = None if episodes is None else set(episodes)
    listed = data.episodes(keys.images)
    if len(listed) != data.info.total_episodes:
        states = f'info.json: total_episodes: {data.info.total_episodes}'
        notes[f'{states}, its tables list {len(listed)}'] = 1
    for episode in listed:
        if chosen is None or episode.index in chosen:
            yield from walker.episode(episode)


class _Walker:
    """Yield the observations of one episode after the other."""

    def __init__(
        self, data: DataSet, keys: DataSetKeys, cadence: Cadence, notes: Counter[str], ahead: int
    ):
        self._data, self._keys, self._notes, self._ahead = data, keys, notes, ahead
        self._stride = stride_of(cadence, data.info.fps)
        self._offset = round(cadence.offset * data.info.fps)
        self._actions = keys.action if ahead else ''
        self._vectors = tuple(dict.fromkeys(filter(None, (keys.state, self._actions))))
        self._colour = ColourWatch()
        self._number = -1  # of what is one episode for the gates

    def episode(self, episode: Episode) -> Iterator[BagStep]:
        """Yield the observations of an episode, none if it cannot be read."""
        data = self._data
        if episode.index in data.faults:
            return
        try:
            rows = data.rows(episode, self._vectors)
            data.check_pictures(episode, self._keys.images, rows)
            for begin, end in self._spans(rows):
                self._number += 1
                yield from self._span(episode, rows, begin, end)
        except ValueError as error:
            data.faults[episode.index] = str(error).removeprefix(f'{data.path}/')

    def _spans(self, rows: Rows) -> list[tuple[int, int]]:
        """Return where something begins and ends that is one episode for the gates."""
        corrections = Corrections(self._keys.corrections)
        spans: list[list[int]] = []
        before = None
        for frame, (task, person) in enumerate(zip(rows.tasks, rows.correction, strict=True)):
            broken = corrections.follow(bool(person))
            text = self._keys.text or task
            if corrections.wanted:
                if before != text or broken or spans[-1][1] != frame:
                    spans.append([frame, frame])
                spans[-1][1] = frame + 1
                before = text
        return [(begin, end) for begin, end in spans]

    def _span(self, episode: Episode, rows: Rows, begin: int, end: int) -> Iterator[BagStep]:
        keys, data = self._keys, self._data
        first = begin + self._offset
        frames = range(first, end, self._stride)
        if not frames:
            return
        with ExitStack() as stack:
            cameras = [
                stack.enter_context(
                    closing(data.pictures(episode, name, rows, first, end, self._stride))
                )
                for name in keys.images
            ]
            for frame, images in zip(frames, zip(*cameras, strict=True), strict=True):
                state = rows.vectors[keys.state][frame] if keys.state else None
                if trouble := _trouble(keys, images, state):
                    self._notes[trouble] += 1
                    continue
                self._notes.update(self._colour.take(keys.images, images))
                actions = None
                if self._actions:
                    actions = rows.vectors[self._actions][frame : min(frame + self._ahead, end)]
                stamp = round((episode.first + frame) / data.info.fps * 1e9)
                yield BagStep(
                    self._number,
                    Observation(images, keys.text or rows.tasks[frame], state),
                    stamp,
                    stamp,
                    correction=bool(rows.correction[frame]),
                    actions=actions,
                    source=f'episode {episode.index}, frame {frame}',
                )


def _trouble(keys: DataSetKeys, images: Sequence[np.ndarray], state: np.ndarray | None) -> str:
    """Return why a frame makes no observation, '' if it does."""
    for name, image in zip(keys.images, images, strict=True):
        if image.max() <= BLACK:
            return f'{name}: expected a picture, got an all-black frame'
    if state is not None and not np.isfinite(state).all():
        return f'{keys.state}: expected finite numbers'
    return ''
