# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Fuzz the parsers that take bytes, guided by their coverage (atheris, libFuzzer).

`fuzz_parsers.py --out DIR --seconds S` runs every target in a process of its own and writes
DIR/fuzz.json; `--target NAME` runs one of them; inputs that crash are kept in DIR. Python code of
this package, rosbags and mcap is instrumented; torch, OpenCV, safetensors, zstandard and SQLite
are not. JSON is changed in its structure, too, since its parser is native code.
"""

import argparse
import json
from pathlib import Path
import random
import re
import subprocess
import sys
import tempfile

import atheris

HERE = Path(__file__).resolve().parent
INSTRUMENTED = ['vla_cache_ros', 'rosbags.rosbag2', 'rosbags.typesys', 'mcap', 'pickletools']
MEMORY = 2048  # MB of a process, of which the imports take 600
LONGEST = 20  # s for one input


def fuzz(name: str, seconds: int, out: Path) -> None:
    """Run one target; ends the process, as libFuzzer does."""
    sys.path[:0] = [str(HERE.parent), str(HERE)]
    sys.modules.pop('pickletools', None)
    with atheris.instrument_imports(include=INSTRUMENTED):
        from fuzz_targets import make_targets
    with tempfile.TemporaryDirectory() as folder:
        target = make_targets(Path(folder))[name]
        corpus = Path(folder) / 'corpus'
        corpus.mkdir()
        for place, seed in enumerate(target.seeds):
            (corpus / str(place)).write_bytes(seed)

        def one(data: bytes) -> None:
            try:
                target.parse(data)
            except ValueError as error:
                assert str(error) and '\n' not in str(error), 'expected one line'

        options = {
            'max_total_time': seconds,
            'max_len': max(target.longest, *map(len, target.seeds)),
            'rss_limit_mb': MEMORY,
            'timeout': LONGEST,
            'print_final_stats': 1,
            'artifact_prefix': f'{out}/{name}-',
        }
        command = [sys.argv[0], *(f'-{k}={v}' for k, v in options.items()), str(corpus)]
        atheris.Setup(command, one, custom_mutator=change)
        atheris.Fuzz()


def change(data: bytes, longest: int, seed: int) -> bytes:
    """Return JSON with an odd value somewhere, or bytes as libFuzzer changes them."""
    from damage import ODD

    chance = random.Random(seed)
    try:
        content = json.loads(data) if chance.random() < 0.7 else None
    except (ValueError, RecursionError):
        content = None
    place, key, inner = None, None, content
    while isinstance(inner, dict | list) and inner and (place is None or chance.random() < 0.7):
        place, key = (
            inner,
            chance.choice(list(inner) if isinstance(inner, dict) else range(len(inner))),
        )
        inner = place[key]
    if place is None:
        return atheris.Mutate(data, longest)
    place[key] = chance.choice(ODD)
    return json.dumps(content).encode()[:longest]


def row(name: str, seconds: int, out: Path) -> dict:
    """Run one target in a process; return its figures."""
    command = [sys.executable, __file__, '--target', name, '--seconds', str(seconds)]
    done = subprocess.run([*command, '--out', str(out)], capture_output=True, text=True)
    (out / f'{name}.log').write_text(done.stderr[-(2**20) :])
    found = {key: int(value) for key, value in re.findall(r'stat::(\w+):\s+(\d+)', done.stderr)}
    edges = re.findall(r'\bcov: (\d+)', done.stderr)
    crashes = sorted(path.name for path in out.glob(f'{name}-*'))
    return {
        'target': name,
        'inputs': found.get('number_of_executed_units', 0),
        'inputs_per_second': found.get('average_exec_per_sec', 0),
        'seconds': seconds,
        'edges': int(edges[-1]) if edges else 0,
        'largest_process_mb': found.get('peak_rss_mb', 0),
        'exit': done.returncode,
        'crashes': crashes,
    }


def main() -> int:
    """Run what the command line says; return 1 if anything crashed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--target', help='one target; default: all of them')
    parser.add_argument('--seconds', type=int, default=20, help='for each target')
    parser.add_argument('--out', type=Path, default=Path('fuzz_out'))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.target:
        fuzz(options.target, options.seconds, options.out.resolve())
    rows = [row(name, options.seconds, options.out.resolve()) for name in names()]
    (options.out / 'fuzz.json').write_text(json.dumps(rows, indent=1) + '\n')
    for one in rows:
        print('{target:14} {inputs:9} inputs {edges:6} edges  {crashes}'.format(**one))
    return int(any(one['crashes'] or one['exit'] for one in rows))


def names() -> list[str]:
    """Return the names of the targets."""
    sys.path[:0] = [str(HERE.parent), str(HERE)]
    from fuzz_targets import make_targets

    with tempfile.TemporaryDirectory() as folder:
        return sorted(make_targets(Path(folder)))


if __name__ == '__main__':
    sys.exit(main())
