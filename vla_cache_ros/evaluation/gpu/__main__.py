# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Check and time this package on a GPU in a few minutes: `make gpu`.

First exactness and memory on small models, then the published 7B shapes with random weights. Ends
in one short table; `gpu.json` and `gpu.md` have everything. On a CPU it rehearses: toy sizes, the
same code, nothing recorded.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
import json
from pathlib import Path
import sys
import time
from typing import Any

import torch
from vla_cache_ros.caching.graphs import Direct
from vla_cache_ros.evaluation.gpu.bench import bench_shape
from vla_cache_ros.evaluation.gpu.bench import list_rows
from vla_cache_ros.evaluation.gpu.checks import check_all
from vla_cache_ros.evaluation.gpu.checks import small
from vla_cache_ros.evaluation.gpu.checks import summary
from vla_cache_ros.evaluation.gpu.frames import read_frames
from vla_cache_ros.evaluation.gpu.table import tables
from vla_cache_ros.reports.hardware import measured_on
from vla_cache_ros.vla.device import check_device
from vla_cache_ros.vla.device import has_fp8
from vla_cache_ros.vla.shapes import SHAPES

GOLDENS = Path(__file__).parents[3] / 'test' / 'data' / 'goldens'
ORDER = ('openvla-7b', 'openvla-oft-7b', 'cogact-7b')
LIGHTER = 'openvla-oft-7b'  # the shape that is timed with lighter weights as well


def run_gpu(
    out: Path,
    device: str,
    minutes: float,
    long_run: int,
    most_frames: int | None = None,
) -> dict[str, Any]:
    """
    Check, time, and write `gpu.json` and `gpu.md` to `out` after every shape.

    device: a CPU rehearses at toy sizes. minutes: what comes too late is left out, and said.
    long_run: steps of the check of memory. most_frames: of each recorded episode, all if None.

    Raises ValueError for a device that isn't there.
    """
    check_device(device)
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
    }
    _write(out, figures)
    lighter = ['int8', 'fp8'] if has_fp8(device) else ['int8']
    for name in ORDER:
        config = SHAPES[name] if gpu else small(name)
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
    return figures


def _write(out: Path, figures: Mapping[str, Any]) -> None:
    (out / 'gpu.json').write_text(json.dumps(figures, indent=1) + '\n', encoding='utf-8')
    (out / 'gpu.md').write_text(tables(figures) + '\n', encoding='utf-8')


def main() -> int:
    """Check and time the recorded step; return the exit code."""
    parser = ArgumentParser(
        'vla_cache_ros.evaluation.gpu', description='Check and time the recorded step.'
    )
    parser.add_argument('--out', type=Path, default='gpu_out', help='for gpu.json and gpu.md')
    parser.add_argument('--device', default='cuda', help='cuda, cuda:N; cpu rehearses')
    parser.add_argument('--minutes', type=float, default=7.0, help='time budget')
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
