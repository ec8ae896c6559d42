# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The client's end of the wire: a policy that is in another process or machine."""
