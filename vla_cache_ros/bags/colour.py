# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Note the cameras of a recording whose pictures have no colour. Knows no bag."""

from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence

from vla_cache_ros.bags.steps import BagStep
from vla_cache_ros.control.sensing.colour import ColourWatch
from vla_cache_ros.control.sensing.colour import NO_COLOUR


def watched(
    steps: Iterator[BagStep], topics: Sequence[str], notes: Counter[str]
) -> Iterator[BagStep]:
    """Yield the steps; notes takes one line for each camera that shows gray pictures."""
    watch = ColourWatch()
    for step in steps:
        notes.update(watch.take(topics, step.observation.images))
        yield step


def colour_notes(notes: Sequence[str]) -> list[str]:
    """Return those of a walk's notes that are about cameras without colour."""
    return [note for note in notes if NO_COLOUR in note]
