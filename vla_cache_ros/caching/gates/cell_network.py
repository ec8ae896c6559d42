# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run a trained gate network on the CPU, in the calling thread, as products of small matrices.

Computes what GateNetwork does from the same weights, up to rounding. A row is a visual token, so
the convolutions become products with tall, narrow matrices. Knows neither training nor plans.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from vla_cache_ros.caching.gates.motion_input import FLOW_SCALE
from vla_cache_ros.caching.gates.motion_input import Motion
from vla_cache_ros.caching.gates.motion_input import scaled_age
from vla_cache_ros.caching.gates.network import CELL
from vla_cache_ros.caching.gates.network import GateNetwork
from vla_cache_ros.caching.gates.network import LOGIT_BOUND

AREA = CELL * CELL
COLOUR, FLOW, CHANGE = 3 * AREA, 2 * AREA, AREA  # values of a cell
AGE = COLOUR + FLOW + CHANGE  # where it stands in a row
VALUES = AGE + 1
# OpenBLAS, which numpy brings along, takes no second thread for a product up to this size:
# waiting for a core that another process holds costs more than the whole network.
LARGEST_PRODUCT = 2**18  # multiply-adds
LINES = 16  # that rows are first reduced to


class CellNetwork:
    """
    Hold a network's weights as matrices, copied when made, and the buffers of one caller.

    A gate that sees language has to be instructed before its first call.
    """

    def __init__(self, network: GateNetwork) -> None:
        self.config = config = network.config
        width, self._tokens = config.width, config.grid**2  # of a camera
        trunk = network.trunk
        stem = _array(trunk.stem.weight).transpose(2, 3, 1, 0)  # [7, 7, channels, width]
        colour, flow, change, age = np.split(stem, (3, 5, 6), axis=2)
        parts = (colour * (2 / 255), flow / FLOW_SCALE, change)
        # an age is the same all over its cell
        rows = [*(part.reshape(-1, width) for part in parts), age.sum((0, 1))]
        self._stem = np.concatenate(rows).astype(np.float32)  # [values, width]
        # colour is 2 / 255 of a grey level, minus 1
        self._shift = _array(trunk.stem.bias) - colour.sum((0, 1, 2))  # [width]
        self._camera = _array(trunk.camera).repeat(self._tokens, 0)  # [V, width]
        self._film = trunk.film
        # by row of the kernel: depth times [3, 1, 3 * width, width]
        self._blocks = [
            _array(block.weight).transpose(2, 3, 1, 0).reshape(3, 1, 3 * width, width)
            for block in trunk.blocks
        ]
        shape = (self._tokens, width)
        self._biases = [np.array(np.broadcast_to(_array(b.bias), shape)) for b in trunk.blocks]
        self._selector = _array(network.selector.weight).reshape(width, 1)
        self._selector_bias = _array(network.selector.bias)
        first, _, last = network.predictor
        self._predictor = [_array(part) for part in (*first.parameters(), *last.parameters())]
        self._scaled_stem = self._stem
        self._scaled_shift = self._camera + self._shift  # [V, width]
        self._allocate(width)

    def _allocate(self, width: int) -> None:
        """Make buffers for one camera: those of several would not stay in a core's own cache."""
        grid, tokens = self.config.grid, self._tokens
        self._colour = np.empty((tokens, COLOUR), dtype=np.uint8)
        self._colour_lines = _cell_lines(self._colour, 0, 3)
        self._cells = np.empty((tokens, VALUES), dtype=np.float32)
        self._flow_lines = _cell_lines(self._cells, COLOUR, 2)
        self._change_lines = _cell_lines(self._cells, COLOUR + FLOW, 1)

        # zeros left and right of the cells, then above and below them
        self._padded = np.zeros((grid, grid + 2, width), dtype=np.float32)
        three = np.dtype(f'V{3 * width * self._padded.itemsize}')  # neighbours, side by side
        self._windows = np.ndarray((grid, grid), three, self._padded, 0, self._padded.strides[:2])
        self._neighbours = np.zeros((grid + 2, grid), dtype=three)
        # the kernel's rows begin one line of cells after the other: [3, n, tokens / n, 3 * width]
        line, item = self._neighbours.strides
        count = _rows(tokens, 3 * width, width)
        self._kernel_rows = np.ndarray(
            (3, tokens // count, count, 3 * width),
            np.float32,
            self._neighbours,
            strides=(line, count * item, item, self._padded.itemsize),
        )
        self._products = np.empty((*self._kernel_rows.shape[:-1], width), dtype=np.float32)

    def instruct(self, language: Tensor) -> None:
        """Take the instruction's embedding `[language_dim]`, which scales and shifts the stem."""
        with torch.inference_mode():
            film = self._film(functional.layer_norm(language, language.shape))
        scale, offset = np.split(_array(film), 2)
        self._scaled_stem = self._stem * (1 + scale)
        self._scaled_shift = self._camera + (self._shift * (1 + scale) + offset)

    def __call__(self, motion: Motion, ages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Return score logits `[V]` (high = recompute) and ratio logits `[ratios]`.

        motion: of the step's images. ages: int `[V]`, 1 where just recomputed.
        """
        hidden = np.empty((self.config.tokens, self.config.width), dtype=np.float32)
        age = scaled_age(ages)
        for camera in range(self.config.cameras):
            rows = slice(camera * self._tokens, (camera + 1) * self._tokens)
            self._fill_cells(motion, camera, age[rows])
            self._run_trunk(self._scaled_shift[rows], hidden[rows])
        scores = hidden.reshape(-1, self.config.grid, hidden.shape[1]) @ self._selector
        weight, bias, last_weight, last_bias = self._predictor
        mean = _over_rows(np.add, hidden) / len(hidden)
        summary = np.concatenate([mean, _over_rows(np.maximum, hidden)])  # [2 * width]
        logits = last_weight @ np.maximum(weight @ summary + bias, 0) + last_bias
        bounded = LOGIT_BOUND * np.tanh(logits / LOGIT_BOUND)
        return scores.reshape(-1) + self._selector_bias, bounded

    def _fill_cells(self, motion: Motion, camera: int, age: np.ndarray) -> None:
        """Lay out what one camera shows: a row `[values]` for each cell."""
        for lines, part in (
            (self._colour_lines, motion.colour[camera]),
            (self._flow_lines, motion.flow[camera]),
            (self._change_lines, motion.change[camera]),
        ):
            lines[...] = np.ndarray(lines.shape, lines.dtype, part)
        self._cells[:, :COLOUR] = self._colour
        self._cells[:, AGE] = age

    def _run_trunk(self, shift: np.ndarray, hidden: np.ndarray) -> None:
        """Write the features of the cells that are laid out to hidden `[grid ** 2, width]`."""
        _multiply(self._cells, self._scaled_stem, hidden)
        hidden += shift
        grid = hidden.reshape(*self._windows.shape, -1)
        for weight, bias in zip(self._blocks, self._biases, strict=True):
            np.maximum(grid, 0, out=self._padded[:, 1:-1])
            self._neighbours[1:-1] = self._windows
            np.matmul(self._kernel_rows, weight, out=self._products)
            for product in self._products:
                hidden += product.reshape(hidden.shape)
            hidden += bias
        np.maximum(hidden, 0, out=hidden)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().to('cpu', torch.float32).numpy().copy()


def _cell_lines(cells: np.ndarray, column: int, channels: int) -> np.ndarray:
    """
    Return a view `[grid, 7, grid]` of a camera's cells, shaped as its image is: lines of 7 pixels.

    cells: `[grid ** 2, values]`. column: where a cell's picture begins in its row. An element is
    one whole line of a cell: numpy copies those several times faster than their values.
    """
    grid, (row, item) = math.isqrt(len(cells)), cells.strides
    line = CELL * channels * item
    return np.ndarray(
        (grid, CELL, grid),
        np.dtype(f'V{line}'),
        cells,
        offset=column * item,
        strides=(grid * row, line, row),
    )


def _over_rows(operation: np.ufunc, rows: np.ndarray) -> np.ndarray:
    """Reduce rows `[V, width]` to `[width]`, most of it over long lines: faster in numpy."""
    lines = operation.reduce(rows.reshape(LINES, -1))
    return operation.reduce(lines.reshape(-1, rows.shape[1]))


def _rows(rows: int, inner: int, width: int) -> int:
    """Return how many of so many rows, a power of two, are multiplied at once."""
    while rows > 1 and rows * inner * width > LARGEST_PRODUCT:
        rows //= 2
    return rows


def _multiply(left: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
    """Write the product of `[rows, inner]` and `[inner, width]` to out `[rows, width]`."""
    rows = _rows(len(left), *right.shape)
    blocks = (len(left) // rows, rows)
    np.matmul(left.reshape(*blocks, -1), right, out=out.reshape(*blocks, -1))
