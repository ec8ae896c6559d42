# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say on which machine and with which versions a figure was measured, and what a process takes.

Knows no model and no result. Reads what the operating system says; what it cannot read it
reports as None rather than as a guess. Host and user names are left out on purpose.
"""

from collections.abc import Mapping
import functools
import hashlib
from importlib import metadata
import os
from pathlib import Path
import platform
import subprocess
from typing import Any

import psutil
import torch
import vla_cache_ros

_PACKAGES = ('torch', 'transformers', 'numpy', 'opencv-python-headless', 'opencv-python', 'mujoco')


def measured_on() -> dict[str, Any]:
    """Return `hardware` and `versions`, which stand in every file of figures."""
    return {'hardware': hardware(), 'versions': versions()}


def hardware() -> dict[str, object]:
    """Return CPU model, usable cores, threads of torch, memory in GiB and the GPU's name."""
    return {
        'cpu': _proc_value('/proc/cpuinfo', 'model name') or platform.processor() or None,
        'architecture': platform.machine(),
        'cores': len(os.sched_getaffinity(0)),  # in a container fewer than the machine has
        'torch_threads': torch.get_num_threads(),
        'memory_gib': round(psutil.virtual_memory().total / 2**30, 1),
        'gpu': torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        'system': f'{platform.system()} {platform.release()}',
    }


def versions() -> dict[str, str]:
    """
    Return the version of this package, of Python and of each library that shapes a figure.

    In a checkout `commit` is there too, see `commit()`.
    """
    found = {'vla_cache_ros': vla_cache_ros.__version__, 'python': platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # OpenCV comes under either of two names, MuJoCo only with the simulation
    revision = commit()
    if revision is not None:
        found['commit'] = revision
    return found


@functools.cache
def code() -> dict[str, str]:
    """Return the versions of what computes: this package, its sources by digest; torch; Python."""
    root = Path(vla_cache_ros.__file__).resolve().parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob('*.py')):
        digest.update(f'{path.relative_to(root)} '.encode() + path.read_bytes())
    return {
        'vla_cache_ros': f'{vla_cache_ros.__version__} (sources {digest.hexdigest()[:12]})',
        'torch': torch.__version__,
        'Python': platform.python_version(),
    }


@functools.cache  # what was imported stays what it was, whatever is checked out later
def commit() -> str | None:
    """
    Return 12 digits of the commit that this package's checkout is at, None outside of one.

    It ends in `-dirty` where tracked files differ. The checkout must be the package's own: one
    that holds an environment with the package installed says nothing about it.
    """
    root = Path(vla_cache_ros.__file__).resolve().parents[1]
    top = _git(root, 'rev-parse', '--show-toplevel')
    if not top or Path(top).resolve() != root:
        return None
    revision = _git(root, 'rev-parse', '--short=12', 'HEAD')
    changed = _git(root, 'status', '--porcelain', '--untracked-files=no')
    return revision and f'{revision}{"-dirty" if changed else ""}'


def _git(folder: Path, *arguments: str) -> str | None:
    # --no-optional-locks: a measurement must not get into the way of somebody's commit
    command = ['git', '--no-optional-locks', '-C', str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def footer(figures: Mapping[str, Any]) -> list[str]:
    """Return `hardware` and `versions` of some figures in two lines, for the foot of a page."""
    machine = figures['hardware']
    return [
        f'{machine["cpu"]}, {machine["cores"]} cores, GPU: {machine["gpu"] or "none"}',
        ', '.join(f'{name} {version}' for name, version in figures['versions'].items()),
    ]


def usage(pid: int) -> dict[str, float]:
    """
    Return the resident memory (MiB), open file descriptors and threads of a process.

    Raises psutil.NoSuchProcess for one that has ended.
    """
    process = psutil.Process(pid)
    with process.oneshot():
        return {
            'rss_mib': process.memory_info().rss / 2**20,
            'fds': process.num_fds(),
            'threads': process.num_threads(),
        }


def held_mib(device: str) -> float:
    """Return the memory that is in use now, MiB: this process's, or a GPU's."""
    if torch.device(device).type == 'cuda':
        return torch.cuda.memory_allocated(device) / 2**20
    return psutil.Process().memory_info().rss / 2**20


def peak_mib(device: str) -> float:
    """Return the most memory that was ever in use, MiB: this process's, or a GPU's."""
    if torch.device(device).type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = _proc_value('/proc/self/status', 'VmHWM')  # psutil does not know it
    return int(peak.split()[0]) / 2**10


def _proc_value(path: str, key: str) -> str | None:
    try:
        lines = Path(path).read_text(encoding='utf-8').splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(':')
        if name.strip() == key:
            return value.strip()
    return None
