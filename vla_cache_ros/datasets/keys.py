# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say which names of a data set a policy takes, and what of it is missing or of another size.

Knows names and sizes of a policy, not the policy; reads no frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

from vla_cache_ros.bags.corrections import Choice
from vla_cache_ros.datasets.layout import ACTION
from vla_cache_ros.datasets.layout import CAMERA
from vla_cache_ros.datasets.layout import CORRECTION
from vla_cache_ros.datasets.layout import Feature
from vla_cache_ros.datasets.layout import Info
from vla_cache_ros.datasets.layout import STATE


@dataclass(frozen=True)
class DataSetKeys:
    """
    Name the features of a data set; an empty name stands for none.

    images: one per camera, primary first; empty: the cameras of the checkpoint. text: an
    instruction in place of the tasks. corrections: what is done with frames while a person had
    the arm, where a column says so.
    """

    images: tuple[str, ...] = ()
    state: str = STATE
    action: str = ACTION
    text: str = ''
    corrections: Choice = 'use'

    def fitted(
        self, folder: Path, info: Info, count: int, names: Sequence[str], state: int
    ) -> 'DataSetKeys':
        """
        Return the keys for a policy; state is empty where the policy takes none.

        count, names: of its cameras; no names where nothing states them. state: its size, 0 where
        the policy takes none. Raises ValueError, naming what there is, for what does not fit.
        """
        images = self._cameras(folder, info, count, names)
        if state:
            _check_vector(folder, info, self.state, '--state-key', 'the checkpoint takes', state)
        if self.corrections != 'use' and CORRECTION not in info.features:
            raise ValueError(
                f'{folder}: --corrections {self.corrections}: expected the feature {CORRECTION}, '
                f'which says who had the arm; there are {", ".join(info.features)}'
            )
        return replace(self, images=images, state=self.state if state else '')

    def _cameras(
        self, folder: Path, info: Info, count: int, names: Sequence[str]
    ) -> tuple[str, ...]:
        """Return a camera of the data set for each of the policy's."""
        there = info.cameras
        listed = f'there are {", ".join(there) or "none"}'
        wanted = self.images or names
        if not wanted:
            if len(there) == count:
                return there
            raise ValueError(
                f'{folder}: expected {count} camera{"s" * (count > 1)} for this checkpoint, which '
                f'does not name {"them" if count > 1 else "it"}; {listed}: --image-key says '
                'which, primary camera first'
            )
        found = [_found(name, there) for name in wanted]
        missing = [name for name, key in zip(wanted, found, strict=True) if not key]
        if missing:
            where = (
                '' if self.images else ', as the checkpoint calls it (--image-key names others)'
            )
            raise ValueError(
                f'{folder}: expected the camera {", ".join(missing)}{where}; {listed}'
            )
        if len(found) != count:
            raise ValueError(
                f'{folder}: expected {count} --image-key for this checkpoint, primary camera '
                f'first, got {len(found)}; {listed}'
            )
        return tuple(found)


def check_actions(folder: Path, info: Info, key: str, size: int) -> str:
    """
    Return the key of the recorded actions, '' where there are none.

    size: of the policy's actions. Raises ValueError for actions of another size.
    """
    if not key or (key not in info.features and key == ACTION):
        return ''
    _check_vector(folder, info, key, '--action-key', 'the checkpoint gives', size)
    return key


def number_names(feature: Feature | None) -> tuple[str, ...]:
    """Return what the numbers of a vector are called; empty where that is not stated of all."""
    if feature is None or len(feature.names) != _size(feature):
        return ()
    return feature.names if len(set(feature.names)) == len(feature.names) else ()


def _found(name: str, there: Sequence[str]) -> str:
    """Return the key of a camera, which may be told without what all begin with; '' if none."""
    return next((key for key in (name, f'{CAMERA}{name}') if key in there), '')


def _check_vector(folder: Path, info: Info, key: str, option: str, taken: str, size: int) -> None:
    feature = info.features.get(key)
    if feature is None or feature.is_picture:
        vectors = ', '.join(n for n, one in info.features.items() if _size(one) > 1)
        raise ValueError(
            f'{folder}: expected the feature {key or "of a vector"} ({option}), {taken} {size} '
            f'numbers; there are {vectors or "no vectors"}'
        )
    if _size(feature) != size:
        names = f' ({", ".join(feature.names)})' if feature.names else ''
        raise ValueError(
            f'{folder}: {key}: expected {size} numbers, as {taken}, got {list(feature.shape)}'
            f'{names}: another robot, or {option} names another feature'
        )


def _size(feature: Feature) -> int:
    return feature.shape[0] if len(feature.shape) == 1 and not feature.is_picture else 0
