# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Say of a bag's cameras which ones lost something when their pictures were compressed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vla_cache_ros.bags.reader import Bag

COMPRESSED = 'sensor_msgs/msg/CompressedImage'
# what it means for a gate, whatever it was compressed with
MEANING = (
    'patches differ by some grey levels from picture to picture where nothing moved, which a gate '
    'takes for change: live, with raw pictures, it may reuse more'
)


def compression_of(bag: Bag, topics: Sequence[str]) -> str:
    """Return in one line what compression did to the pictures of topics, '' if it did nothing."""
    lossy = [name for name in topics if bag.topics.get(name) == COMPRESSED and _lossy(bag, name)]
    return f'{", ".join(lossy)}: JPEG; {MEANING}' if lossy else ''


def _lossy(bag: Bag, topic: str) -> bool:
    """Say whether the first picture of a topic is JPEG."""
    first = next(bag.messages({topic}), None)
    return first is not None and bytes(first.message.data[:2]) == b'\xff\xd8'
