# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Run a vision-language-action model on a robot arm with a persistent visual token cache."""

import os

__version__ = '0.1.0'

# Read when torch loads its OpenMP (libgomp), so set before. A thread of a step that finds its core
# taken holds up the others, who spin: 0.3 million times unless told, which takes the time that the
# late one waits for. So many are enough for waits within a step. What a user has set stays.
if not {'GOMP_SPINCOUNT', 'OMP_WAIT_POLICY'} & os.environ.keys():
    os.environ['GOMP_SPINCOUNT'] = '3000'
