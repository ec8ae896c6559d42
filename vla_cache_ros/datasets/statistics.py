# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Sum up the columns of a data set while they are written, as LeRobot's statistics state them.

Numbers: exact minimum, maximum, mean and deviation; quantiles of all values, or of a uniform
sample beyond SAMPLE frames. Pictures: counts of the 256 values of each colour. Nothing is read
twice.
"""

import numpy as np

QUANTILES = {'q01': 0.01, 'q10': 0.1, 'q50': 0.5, 'q90': 0.9, 'q99': 0.99}
SAMPLE = 100_000  # frames whose values are kept for the quantiles
SIDE = 150  # px, about, of what is counted of a picture, as LeRobot does

Stats = dict[str, list]


def describe(values: np.ndarray) -> Stats:
    """Return the statistics of values [N, D] of an episode."""
    column = Column(values.shape[1])
    column.add(values)
    return column.stats()


class Column:
    """The numbers of one column."""

    def __init__(self, size: int):
        """Begin without any; size: numbers a frame."""
        self._count, self._mean, self._squares = 0, np.zeros(size), np.zeros(size)
        self._low, self._high = np.full(size, np.inf), np.full(size, -np.inf)
        self._sample: list[np.ndarray] = []
        self._rng = np.random.default_rng(0)

    def add(self, values: np.ndarray) -> None:
        """Take the values [N, D] of an episode."""
        values = np.asarray(values, float)
        count, mean = len(values), values.mean(axis=0)
        squares = ((values - mean) ** 2).sum(axis=0)
        total = self._count + count
        self._squares += squares + (mean - self._mean) ** 2 * self._count * count / total
        self._mean += (mean - self._mean) * count / total
        self._low = np.minimum(self._low, values.min(axis=0))
        self._high = np.maximum(self._high, values.max(axis=0))
        room = max(0, SAMPLE - self._count)
        self._sample.extend(values[:room])
        for place, row in enumerate(values[room:], self._count + room):
            if (spot := self._rng.integers(place + 1)) < SAMPLE:
                self._sample[spot] = row
        self._count = total

    def stats(self) -> Stats:
        """Return the statistics of all that was taken."""
        sample = np.array(self._sample)
        cuts = np.quantile(sample, list(QUANTILES.values()), axis=0)
        return {
            'min': self._low.tolist(),
            'max': self._high.tolist(),
            'mean': self._mean.tolist(),
            'std': np.sqrt(self._squares / self._count).tolist(),
            'count': [self._count],
            **{name: cut.tolist() for name, cut in zip(QUANTILES, cuts, strict=True)},
        }


class Colours:
    """The colours of one camera's pictures, from 0 to 1."""

    def __init__(self) -> None:
        """Begin without any."""
        self._counts, self._frames = np.zeros((3, 256), np.int64), 0

    def add(self, picture: np.ndarray) -> None:
        """Take a picture uint8 [H, W, 3]."""
        step = max(1, max(picture.shape[:2]) // SIDE)
        for colour in range(3):
            values = picture[::step, ::step, colour].ravel()
            self._counts[colour] += np.bincount(values, minlength=256)
        self._frames += 1

    def merge(self, other: 'Colours') -> None:
        """Take what another has counted."""
        self._counts += other._counts
        self._frames += other._frames

    def stats(self) -> Stats:
        """Return the statistics as [3, 1, 1] each, but the number of pictures."""
        values = np.arange(256) / 255
        share = self._counts / self._counts.sum(axis=1, keepdims=True)
        mean = share @ values
        present = [np.flatnonzero(row) for row in self._counts]
        found = {
            'min': [values[row[0]] for row in present],
            'max': [values[row[-1]] for row in present],
            'mean': mean,
            'std': np.sqrt(np.maximum(share @ values**2 - mean**2, 0)),
        }
        sums = np.cumsum(share, axis=1)
        for name, part in QUANTILES.items():
            # a rounding error at 1 shall not lead beyond the last value
            found[name] = [values[min(np.searchsorted(row, part), 255)] for row in sums]
        shaped = {name: [[[float(one)]] for one in value] for name, value in found.items()}
        return {**shaped, 'count': [self._frames]}
