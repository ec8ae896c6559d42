# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Say of a policy what a client must know: its metadata. Knows the policy's outside only."""

from typing import Any

from vla_cache_ros.serving.messages import camera_keys
from vla_cache_ros.serving.messages import Metadata


def metadata_of(policy: Any) -> Metadata:  # noqa: ANN401
    """Return what a server says of a policy; raises ValueError for cameras it cannot name."""
    names, statistics = tuple(policy.camera_names), policy.statistics
    described = policy.description
    return Metadata(
        family=policy.family,
        summary=policy.summary,
        cameras=camera_keys(names, policy.num_images),
        camera_names=names,
        state=policy.proprio_size,
        chunk=policy.chunk,
        action_dim=len(statistics.action),
        units=f'state and actions as in the training data {statistics.key}, not normalised',
        takes_rest=policy.takes_rest,
        checkpoint=described['checkpoint'],
        gate=described['gate'],
        gate_weights=described['gate_weights'],
        images=described['images'],
        reuse=getattr(policy.gate, 'reuse', None),
        largest_reuse=getattr(policy.gate, 'largest_reuse', None),
        session_bytes=policy.session_bytes,
    )
