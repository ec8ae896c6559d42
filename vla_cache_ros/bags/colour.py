# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Note the cameras of a recording whose colours are lost, or made of a compressed mosaic."""

from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence

from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.steps import BagStep
from vla_cache_ros.control.sensing.colour import ColourWatch
from vla_cache_ros.control.sensing.colour import NO_COLOUR
from vla_cache_ros.control.sensing.compressed import mosaic_of


def watched(
    steps: Iterator[BagStep], bag: Bag, topics: Sequence[str], notes: Counter[str]
) -> Iterator[BagStep]:
    """Yield the steps; notes takes a line for each camera that is gray or sends a mosaic."""
    for topic in topics:
        first = next(bag.messages({topic}), None)
        if first and (mosaic := mosaic_of(getattr(first.message, 'format', ''))):
            notes[
                f'{topic}: a mosaic ({mosaic}) that was compressed as it is, and is made to '
                'colours; compress pictures in colours, which stay sharper'
            ] += 1
    watch = ColourWatch()
    for step in steps:
        notes.update(watch.take(topics, step.observation.images))
        yield step


def colour_notes(notes: Sequence[str]) -> list[str]:
    """Return those of a walk's notes that are about cameras without colour."""
    return [note for note in notes if NO_COLOUR in note]
