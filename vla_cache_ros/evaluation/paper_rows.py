# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say which command fills which place of our rows, what it downloads and how long it may take.

A place is (table, row, column). Hours are an upper end for planning, from assumptions that are
printed along with them: no result is worked out here, and none stands here.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vla_cache_ros.evaluation.paper_records import BENCH
from vla_cache_ros.evaluation.paper_records import short_name

EPISODES = 500  # LIBERO: 10 tasks with 50 published initial states each
GATE_FOLDER = 'GATE'
GPU_GB = 18  # of a 7B model in bfloat16: 15 of weights, caches, work space
INFERENCE_MS = 236.0  # a dense OpenVLA step on an RTX 4090, as reported; a cached one takes less
OPENVLA_BYTES = 15_082_474_368  # 7,541,237,184 parameters in bfloat16
OFT_BYTES = 15_418_346_382  # 7,709,173,191 parameters with head and projector of the state


@dataclass(frozen=True)
class Row:
    """Hold a row of ours: its name for people, and the label and gate of its entry."""

    name: str
    label: str
    gate: str
    entry: str  # as `vla-cache compare --gate` takes it


@dataclass(frozen=True)
class Plan:
    """
    Hold one run, which fills one column of a table in all rows that name a gate.

    size: bytes to download, None where nobody has seen the files. limit: control steps of an
    episode at most. execute: of them between two inferences. simulator_ms: of one control step,
    on one core of a server.
    """

    table: str
    column: str
    env: str
    checkpoint: str
    rows: tuple[Row, ...]
    size: int | None
    limit: int
    execute: int
    simulator_ms: float
    episodes: int = EPISODES

    @property
    def folder(self) -> str:
        """Return where the command writes compare.json, which `vla-cache paper --add` takes."""
        return f'runs/{self.table}-{self.env}'

    @property
    def inferences(self) -> int:
        """Return how often the model looks in an episode at most."""
        return -(-self.limit // self.execute)

    @property
    def command(self) -> str:
        """Return the command, in which GATE stands for the folder of a trained gate."""
        gates = ' '.join(f'--gate {row.entry}' for row in self.rows)
        return (
            f'vla-cache compare --env {self.env} --checkpoint {self.checkpoint} '
            f'--device cuda --dtype bfloat16 {gates} --seed 0 --episodes {self.episodes} '
            f'--out {self.folder}'
        )

    @property
    def gpu_gb(self) -> int:
        """Return the GPU memory that all gates by turns take, each with a model of its own."""
        return GPU_GB * len(self.rows)

    def hours(self) -> float:
        """Return the hours that all gates take together if every episode goes to its limit."""
        episode = self.limit * self.simulator_ms + self.inferences * INFERENCE_MS
        return len(self.rows) * self.episodes * episode / 3.6e6


DENSE = Row('ours, dense', 'dense', 'dense', 'dense')
RULE = Row("ours, VLA-Cache's rule", 'vla-cache', 'vla-cache', 'vla-cache')
LEARNED = Row('ours, learned gate', 'learned', 'learned', f'learned=learned@{GATE_FOLDER}')
GATES = (DENSE, RULE, LEARNED)
ABLATED = (
    Row('ours, selector only', 'selector', 'learned-fixed',
        f'selector=learned-fixed@{GATE_FOLDER},recovery=0,first=1'),
    Row('ours, + ratio predictor', 'predictor', 'learned',
        f'predictor=learned@{GATE_FOLDER},recovery=0,first=1'),
    Row('ours, + recovery', 'recovery', 'learned',
        f'recovery=learned@{GATE_FOLDER},first=1'),
    Row('ours, without stage I', 'no-stage-1', 'learned',
        'no-stage-1=learned@GATE_WITHOUT_STAGE_1,first=1'),
    Row('ours, without the instruction', 'no-language', 'learned',
        'no-language=learned@GATE_WITHOUT_LANGUAGE,first=1'),
)  # fmt: skip

_OPENVLA = 'openvla/openvla-7b-finetuned-libero-{}'
_OFT = 'moojink/openvla-7b-oft-finetuned-libero-{}'
# column, suite, name within a checkpoint's, steps at most, ms a control step (two 256 px cameras)
_SUITES = (
    ('Spatial', 'libero_spatial', 'spatial', 220, 328.0),
    ('Object', 'libero_object', 'object', 280, 188.0),
    ('Goal', 'libero_goal', 'goal', 300, 292.0),
    ('Long', 'libero_10', '10', 520, 260.0),
)
SUITES = tuple(column for column, *_ in _SUITES)

PLANS = (
    *(
        Plan('libero', column, env, _OPENVLA.format(name), GATES, OPENVLA_BYTES, limit, 1, ms)
        for column, env, name, limit, ms in _SUITES
    ),
    *(
        Plan('libero-oft', column, env, _OFT.format(name), GATES, OFT_BYTES, limit, 8, ms)
        for column, env, name, limit, ms in _SUITES
    ),
    Plan('simpler-bridge', 'four tasks', 'simpler_bridge', 'CogACT/CogACT-Base', GATES, None,
         120, 1, 117.0),
    Plan('ablation', 'success', 'libero_spatial', _OPENVLA.format('spatial'), ABLATED,
         OPENVLA_BYTES, 220, 1, 328.0),
)  # fmt: skip

ASSUMED = (
    'Hours are an upper end for planning: gates x episodes x (steps x ms of the simulator + '
    f'inferences x {INFERENCE_MS:.0f} ms) with every episode at its limit of steps; episodes that '
    'succeed end sooner. The inference is a dense OpenVLA step on an RTX 4090 for every model and '
    'gate, the simulator that of one core of a server CPU with two cameras. Every gate of a '
    f'comparison holds its own copy of the weights, {GPU_GB} GB; on a smaller GPU give one --gate '
    'after the other with the same --out: the seeds are the same, ratios of time are then missing.'
)
GATE_NOTE = (
    'GATE stands for the folder of a gate trained for that checkpoint: `vla-cache train gate '
    '--checkpoint CHECKPOINT --bag RECORDINGS --out RUN` leaves RUN/gate. GATE_WITHOUT_STAGE_1 '
    'adds `--stage1 0 --stage2 4000 --predictor relaxed`, GATE_WITHOUT_LANGUAGE `--no-language`. '
    'Nobody has trained a gate for a model of 7B yet, and training runs on the CPU only. Without '
    'one leave that --gate out: the other rows are filled all the same.'
)

TIME_SHAPE = 'openvla-7b'
TIME_COMMAND = (
    'vla-cache bench --shape openvla-7b --device cuda --reuse 0.3 --reuse 0.5 --reuse 0.7 '
    '--steps 60 --out runs/times'
)
TIME_RESULT = 'runs/times/bench.json'
TIME_COST = (
    f'Nothing to download, random weights; needs a GPU of {GPU_GB + 2} GB or more; minutes. '
    '--reuse 0.3 is about the reuse that the published TFLOPs imply.'
)

FRANKA_COMMAND = (
    'ros2 launch vla_cache_ros robot.launch.py params_file:=SHARE/config/franka_pose.yaml '
    'model_params_file:=SHARE/config/openvla_7b.yaml image_topic:=IMAGES device:=cuda '
    'gate:=learned@GATE bag_path:=BAG dry_run:=false'
)
FRANKA_COST = (
    'Needs an arm, a checkpoint fine-tuned on it, a GPU and somebody who counts successes, dense '
    'and cached by turns (gate:=dense); read docs/bring_up.md first. Nobody has run this on an '
    'arm: there is no record of it, and no command that makes one.'
)


@dataclass(frozen=True)
class Measured:
    """Hold what fills a place: a record and the row of it."""

    record: Mapping[str, Any]
    row: Mapping[str, Any]


def places() -> Iterator[tuple[str, Row, str, Plan]]:
    """Yield every place of ours: table, row, column, and the plan that fills it."""
    for plan in PLANS:
        for row in plan.rows:
            yield plan.table, row, plan.column, plan


def find(records: Sequence[Mapping[str, Any]], plan: Plan, row: Row) -> Measured | None:
    """
    Return the measurement of most episodes of a place, the latest of them, or None.

    It must be of the plan's environment and checkpoint, and have the row's label and gate: a
    small model in the same suite, or a gate with other options, fills no place.
    """
    wanted = short_name(plan.checkpoint)
    best: Measured | None = None
    for record in records:
        if record['kind'] == BENCH or record['env'] != plan.env:
            continue
        if short_name(record['checkpoint']) != wanted:
            continue
        for found in record['rows']:
            if (found['label'], found['gate']) != (row.label, row.gate):
                continue
            if best is None or found['episodes'] >= best.row['episodes']:
                best = Measured(record, found)
    return best


def fills_a_place(records: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> bool:
    """Say whether a record is the one that some place shows."""
    for _, row, _, plan in places():
        measured = find(records, plan, row)
        if measured is not None and measured.record is record:
            return True
    return False


def plans_of(table: str) -> list[Plan]:
    """Return the plans of a table in the order of its columns."""
    return [plan for plan in PLANS if plan.table == table]
