# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run the command line as a module."""

import sys

from vla_cache_ros.cli.main import main

sys.exit(main())
