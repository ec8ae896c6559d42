# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The frozen base model: towers, projector, Llama decoder, action heads; no notion of time."""
