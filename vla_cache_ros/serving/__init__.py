# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A policy for clients on a network: the wire, the scheduler, the server, and our own client."""
