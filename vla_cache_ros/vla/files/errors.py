# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Name the ways in which a model's files or inputs can be wrong; the messages are for users."""


class CheckpointError(ValueError):
    """Say which file or tensor of a checkpoint is wrong: what was expected and what came."""


class InputError(ValueError):
    """Say which input of a step is wrong: what was expected and what came."""


class NonFiniteOutputError(RuntimeError):
    """Say that the model's output held a NaN or an infinity; the cache has been invalidated."""
