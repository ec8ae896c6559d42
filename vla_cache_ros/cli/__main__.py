# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run the command line as a module."""

from vla_cache_ros.cli.main import main

main()
