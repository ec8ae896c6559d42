# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A plugin for LeRobot: importing it makes the policy type vla_cache known."""

from lerobot_policy_vla_cache.configuration_vla_cache import VLACacheConfig

__all__ = ['VLACacheConfig']
