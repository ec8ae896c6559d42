# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Check and time this package on a GPU in a few minutes: `make gpu`.

First exactness and memory on small models, then the published shapes with random weights. Ends in
one short table; `gpu.json` and `gpu.md` have everything. On a CPU it rehearses: toy sizes, the
same code, nothing recorded.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from collections.abc import Sequence
import json
from pathlib import Path
import sys
import time
from typing import Any

from gpu_bench import bench_shape
from gpu_bench import list_rows
from gpu_checks import check_all
from gpu_checks import small
from gpu_checks import summary
from gpu_frames import read_frames
from gpu_table import tables
import torch
from vla_cache_ros.caching.recording.graphs import Direct
from vla_cache_ros.caching.recording.graphs import Recorder
from vla_cache_ros.evaluation.bench.sessions import time_sessions
from vla_cache_ros.evaluation.bench.variants import untrained_gate
from vla_cache_ros.reports.hardware import measured_on
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.device import check_device
from vla_cache_ros.vla.device import has_fp8
from vla_cache_ros.vla.shapes import random_vla
from vla_cache_ros.vla.shapes import shape_config

GOLDENS = Path(__file__).parents[1] / 'data' / 'goldens'
ORDER = ('pi05', 'smolvla', 'openvla-7b', 'openvla-oft-7b', 'cogact-7b')
SESSIONS = ('pi05', 'openvla-oft-7b')  # are timed with eight robots too
SESSIONS_S = 60  # s, that they may take
LIGHTER = 'openvla-oft-7b'  # the shape that is timed with lighter weights as well


def run_gpu(
    out: Path,
    device: str,
    minutes: float,
    long_run: int,
    shapes: Sequence[str] = ORDER,
    most_frames: int | None = None,
) -> dict[str, Any]:
    """
    Check, time, and write `gpu.json` and `gpu.md` to `out` after every shape.

    device: a CPU rehearses at toy sizes. minutes: what comes too late is left out, and said.
    long_run: steps of the check of memory. shapes: what is timed, in this order. most_frames: of
    each recorded episode, all if None.

    Raises ValueError for a device that isn't there, or a shape that no one knows.
    """
    check_device(device)
    for name in shapes:
        shape_config(name)
    begin = time.perf_counter()
    gpu = torch.device(device).type == 'cuda'
    left = lambda: 60 * minutes - (time.perf_counter() - begin)  # noqa: E731
    out.mkdir(parents=True, exist_ok=True)
    episodes = [episode[:most_frames] for episode in read_frames()]
    if most_frames is not None:
        episodes = episodes[:3]
    goldens = GOLDENS if GOLDENS.is_dir() else None
    recorder = None if gpu else Direct()
    checks = []
    for check in check_all(device, goldens, recorder, long_run):
        checks.append(check)
        if not check.ok:
            print(f'FAILED {check.name}: {check.found:g}, expected at most {check.most:g}')
    figures: dict[str, Any] = {
        'rehearsal': not gpu,
        'device': device,
        'card': torch.cuda.get_device_name(device) if gpu else None,
        **measured_on(),
        'checks': summary(checks),
        'check_seconds': time.perf_counter() - begin,
        'shapes': [],
        'sessions': {},
    }
    _write(out, figures)
    lighter = ['int8', 'fp8'] if has_fp8(device) else ['int8']
    for name in shapes:
        config = shape_config(name) if gpu else small(name)
        rows = list_rows(config, lighter if name == LIGHTER else ())
        started = time.perf_counter()
        found = bench_shape(
            name, config, rows, episodes, device, lambda: None if gpu else Direct(), left
        )
        found['seconds'] = time.perf_counter() - started
        figures['shapes'].append(found)
        figures['seconds'] = time.perf_counter() - begin
        _write(out, figures)
        if gpu:
            torch.cuda.empty_cache()
    for name in (name for name in SESSIONS if name in shapes):
        figures['sessions'][name] = _sessions(name, device, recorder, episodes, left())
        _write(out, figures)
    return figures


def _sessions(
    name: str,
    device: str,
    recorder: Recorder | None,
    episodes: Sequence[Sequence[Observation]],
    left: float,
) -> dict[str, Any] | str:
    """Return what `time_sessions` finds of a shape at 70 % reuse, or why it did not run."""
    if left < SESSIONS_S:
        return 'skipped: no time left'
    gpu = torch.device(device).type == 'cuda'
    try:
        config = shape_config(name) if gpu else small(name)
        vla = random_vla(config, dtype=torch.bfloat16, device=device, name=name)
        gate, counts = untrained_gate(vla), (1, 8) if gpu else (1, 2)
        return time_sessions(vla, gate, False, 0.7, episodes[1:3], counts, recorder)
    except Exception as error:  # noqa: BLE001 - the tables stand by themselves
        return f'{type(error).__name__}: {" ".join(str(error).split()):.300}'
    finally:
        if gpu:
            torch.cuda.empty_cache()


def _write(out: Path, figures: Mapping[str, Any]) -> None:
    (out / 'gpu.json').write_text(json.dumps(figures, indent=1) + '\n', encoding='utf-8')
    (out / 'gpu.md').write_text(tables(figures) + '\n', encoding='utf-8')


def main() -> int:
    """Check and time the recorded step; return the exit code."""
    parser = ArgumentParser(description='Check and time the recorded step.')
    parser.add_argument('--out', type=Path, default='gpu_out', help='for gpu.json and gpu.md')
    parser.add_argument('--device', default='cuda', help='cuda, cuda:N; cpu rehearses')
    parser.add_argument('--minutes', type=float, default=9.0, help='time budget')
    parser.add_argument(
        '--shapes', nargs='+', default=ORDER, metavar='NAME', help='what is timed: all, in order'
    )
    parser.add_argument('--long-run', type=int, default=2000, help='steps of the check of memory')
    try:
        figures = run_gpu(**vars(parser.parse_args()))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(tables(figures))
    ran = any(shape['entries'] for shape in figures['shapes'])
    return 0 if ran and not figures['checks']['failed'] else 1


if __name__ == '__main__':
    sys.exit(main())
