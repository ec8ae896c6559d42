# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Walk through a bag and yield the observations of a policy, one after the other.

Where a live node ran along they are the ones it used; elsewhere they are chosen as it would have.
Knows no model: whether a missing state matters is the caller's business.
"""

from collections import Counter
from collections.abc import Iterator

from vla_cache_ros.bags.colour import watched
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.reported import reported_steps
from vla_cache_ros.bags.reported import usable_reports
from vla_cache_ros.bags.steps import BagStep
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.bags.timed import timed_steps
from vla_cache_ros.bags.topics import BagTopics


def walk(
    bag: Bag, topics: BagTopics, cadence: Cadence, notes: Counter[str] | None = None
) -> Iterator[BagStep]:
    """
    Yield observations in the order of recording, with state wherever the bag has it.

    cadence is for a bag without step reports; an empty `topics.report` passes reports over.
    notes: takes why there was no observation, how stamps were read, which camera shows no
    colour, and how often.
    Raises ValueError if the bag lacks images or an instruction.
    """
    topics.check(bag, needs_state=False)
    notes = Counter() if notes is None else notes
    images = topics.recorded_images(bag)
    if topics.has_reports(bag):
        if usable_reports(bag, topics):
            return watched(reported_steps(bag, topics, notes), bag, images, notes)
        notes[
            f'{topics.report}: the live node had fewer cameras than {len(topics.images)}; '
            'observations are chosen by time'
        ] += 1
    return watched(timed_steps(bag, topics, cadence, notes), bag, images, notes)
