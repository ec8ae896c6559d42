# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Follow who has the arm through a recording, and say which of its observations are wanted.

A correction is what comes between a take-over by a person and the hand-back. Knows no bag.
"""

import json
from typing import Literal

from vla_cache_ros.control.takeover import PERSON
from vla_cache_ros.control.takeover import POLICY

Choice = Literal['use', 'leave-out', 'only']


class Corrections:
    """Hold who has the arm; person: whether it is a person."""

    def __init__(self, choice: Choice):
        """Begin with the policy; choice: what becomes of a person's observations."""
        self.person = False
        self._choice = choice

    def follow(self, person: bool) -> bool:
        """Take who has the arm from now on; return whether an episode has to end here."""
        changed, self.person = person != self.person, person
        return changed and self._choice != 'use'

    @property
    def wanted(self) -> bool:
        """Say whether what is observed now is wanted."""
        return self._choice == 'use' or self.person == (self._choice == 'only')


def read_mode(text: str) -> bool | None:
    """Return whether a text of `~/control_mode` names a person, None where it names nobody."""
    try:
        mode = json.loads(text)
    except (ValueError, RecursionError):
        return None
    who = mode.get('control') if isinstance(mode, dict) else None
    return who == PERSON if who in (PERSON, POLICY) else None
