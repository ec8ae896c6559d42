# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training of the base model from the embedded expert, and of the gates."""
