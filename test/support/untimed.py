# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Figures without what no two runs have alike: times, and the machines that took them."""

TIMED = {
    'hardware', 'inference_per_solved', 'latency_ms', 'latency_ratio', 'machines', 'milliseconds',
    'processes', 'seconds_per_solved', 'seconds_per_solved_ci95', 'seconds_per_solved_ratio',
    'threads', 'versions',
}  # fmt: skip


def untimed(value):
    """Return figures without these, at every depth."""
    if isinstance(value, dict):
        return {name: untimed(item) for name, item in value.items() if name not in TIMED}
    if isinstance(value, list | tuple):
        return [untimed(item) for item in value]
    return value
