# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Hold the figures that the paper publishes, table by table, and what has to be said beside them.

Source of all: arXiv 2602.00686 (LAC), whose tables also carry the rivals' rows. Nothing here was
measured by this project; what it measured is in the records of a book (paper_book.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass

SOURCE = 'arXiv 2602.00686'
HIDDEN, MLP, LAYERS = 4096, 11008, 32  # of the decoder of OpenVLA-7B
PREFILL_ROWS = 284.6  # mean length of a prompt that the dense row's 1.864 stands for
VISUAL_TOKENS = 256  # of its one camera


@dataclass(frozen=True)
class PublishedTable:
    """
    Hold one table as printed.

    columns: their heads; success is in %, `CUDA ms` milliseconds. rows: method -> one figure a
    column. remarks: what a reader must know before comparing anything with it.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[float, ...]]
    remarks: tuple[str, ...] = ()

    def value(self, row: str, column: str) -> float:
        """Return one figure; raises KeyError or ValueError for names that it does not have."""
        return self.rows[row][self.columns.index(column)]


CUDA_MS = (
    '"CUDA ms" is the decoder loop of the prefill alone, on the GPU of the paper. Preprocessing, '
    'the gate, towers and the decoding of seven tokens are not in it: an OpenVLA step takes about '
    '236 ms on an RTX 4090, of which 51.91 - 29.51 = 22 ms are saved, at most 1.1 times per '
    'control step.'
)
TFLOPS = (
    '(*) "TFLOPs" as published are multiply-accumulates of the prefill: 32 (4 n d^2 + 2 n^2 d + '
    '3 n d m) with d = 4096, m = 11008 gives 1.864 T at n = 284.6. The cached rows imply that '
    'about 28 to 34 % of 256 visual tokens are reused.'
)

LIBERO = PublishedTable(
    key='libero',
    title='LIBERO on OpenVLA-7B, success in %',
    columns=('Spatial', 'Object', 'Goal', 'Long', 'avg', 'TFLOPs*', 'CUDA ms'),
    rows={
        'OpenVLA dense': (84.4, 86.6, 75.6, 53.2, 75.0, 1.864, 51.91),
        'SparseVLM': (79.8, 67.0, 72.6, 39.4, 64.7, 1.407, 83.39),
        'FastV': (83.4, 84.0, 74.2, 51.6, 73.3, 1.864, 53.28),
        'VLA-Cache': (83.8, 85.8, 76.4, 52.8, 74.7, 1.355, 31.83),
        'LAC': (85.6, 86.2, 76.6, 59.2, 76.9, 1.392, 29.51),
    },
    remarks=(CUDA_MS, TFLOPS, '"Long" is the suite libero_10.'),
)

SIMPLER = PublishedTable(
    key='simpler',
    title='SIMPLER on CogACT, success in % (Google robot)',
    columns=('visual matching', 'variant aggregation', 'CUDA ms (matching)', 'CUDA ms (variant)'),
    rows={
        'CogACT dense': (74.8, 61.3, 54.29, 53.54),
        'VLA-Cache': (74.4, 62.3, 39.63, 39.11),
        'LAC': (75.5, 63.0, 37.82, 37.90),
    },
    remarks=(
        'No row of ours can stand here. These are tasks of the Google robot, which exist for '
        'SAPIEN 2.2.2 only; ManiSkill3, which `simpler_bridge` runs on, has four tasks of another '
        'robot (WidowX, bridge) and no variant aggregation. What we can measure has a table of '
        'its own below, and compares with no figure of this one.',
    ),
)

FRANKA = PublishedTable(
    key='franka',
    title="The paper's Franka arm, success in %",
    columns=('success', 'CUDA ms'),
    rows={'dense': (33.0, 37.38), 'VLA-Cache': (30.0, 33.36), 'LAC': (38.0, 32.47)},
    remarks=(
        "The paper's arm, tasks and fine-tuned weights are not public: a run on another arm "
        'answers the same question and is no comparison of figures.',
    ),
)

ABLATION = PublishedTable(
    key='ablation',
    title='Ablation on LIBERO Spatial, OpenVLA-7B, success in %',
    columns=('success',),
    rows={
        'selector only': (82.2,),
        '+ ratio predictor': (83.4,),
        '+ recovery': (85.6,),
        'without stage I': (79.2,),
        'selector guided by language': (83.0,),
    },
    remarks=(
        'Our gate differs in its input and training (docs/method.md): it also sees how old each '
        'token is and what it was computed from, and a gate of ours reads the instruction unless '
        'it was trained with --no-language. So a row of ours removes the same part from another '
        'whole.',
    ),
)

PUBLISHED = (LIBERO, SIMPLER, FRANKA, ABLATION)


def prefill_macs(rows: float, slots: float = PREFILL_ROWS) -> float:
    """
    Return the multiply-accumulates of a prefill, in 1e12, as the paper counts its "TFLOPs".

    rows: tokens that are computed. slots: tokens that they attend to; equal for a dense step.
    """
    linear = 4 * rows * HIDDEN**2 + 3 * rows * HIDDEN * MLP
    return LAYERS * (linear + 2 * rows * slots * HIDDEN) / 1e12


def speed_up(method: str) -> float:
    """Return how many times as fast as dense a method's prefill is, as published for LIBERO."""
    return LIBERO.value('OpenVLA dense', 'CUDA ms') / LIBERO.value(method, 'CUDA ms')
