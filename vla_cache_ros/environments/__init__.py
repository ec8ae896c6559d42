# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The environments by name; each is imported when it is asked for, since most need an extra."""

from importlib import import_module

from vla_cache_ros.environments.environment import Actor
from vla_cache_ros.environments.environment import Environment
from vla_cache_ros.environments.environment import Setup

__all__ = ['Actor', 'Environment', 'Setup', 'ENVIRONMENTS', 'make_environment']

# name -> module with `make(name, setup)`
ENVIRONMENTS = {
    'tabletop': 'vla_cache_ros.environments.tabletop.environment',
    'libero_spatial': 'vla_cache_ros.environments.libero',
    'libero_object': 'vla_cache_ros.environments.libero',
    'libero_goal': 'vla_cache_ros.environments.libero',
    'libero_10': 'vla_cache_ros.environments.libero',
    'simpler_bridge': 'vla_cache_ros.environments.simpler',
    'maniskill_pick_cube': 'vla_cache_ros.environments.simpler',
}


def make_environment(name: str, setup: Setup) -> Environment:
    """
    Return an environment by its name, or by `module:function` for one of your own.

    Raises ValueError listing the known names, ModuleNotFoundError without its extra.
    """
    module, _, function = name.partition(':')
    if function:
        return getattr(import_module(module), function)(name, setup)
    if name not in ENVIRONMENTS:
        raise ValueError(
            f'env: expected one of {", ".join(ENVIRONMENTS)} or module:function, got {name!r}'
        )
    return import_module(ENVIRONMENTS[name]).make(name, setup)
