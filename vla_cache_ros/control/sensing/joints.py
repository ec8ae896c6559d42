# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Keep the newest position of each joint by name, whoever publishes it, in whatever parts.

Pure Python, on any object with the fields of sensor_msgs/JointState. It does not know what the
positions are for.
"""

from collections.abc import Iterator
from collections.abc import Sequence

from vla_cache_ros.control.messages import stamp_of
from vla_cache_ros.control.safety import lateness

# ns; an older stamp within this is a message that came late, beyond it the clock was set back
REORDERED = 10**9
LARGEST = 1e30  # scaled, a position is still finite as float32
LISTED = 20  # names in a message to the user


def used_positions(message: object, used: Sequence[str]) -> Iterator[tuple[str, float | None]]:
    """Yield (joint, position) of those joints that are used; None: it has no position."""
    positions = message.position
    count = len(positions)
    for index, name in enumerate(message.name):
        if name in used:
            yield name, positions[index] if index < count else None


def usable(position: float | None) -> bool:
    """Say whether a position is there, and finite."""
    return position is not None and abs(position) < LARGEST  # nor is NaN


class JointStates:
    """The newest of each joint that is used, and what is wrong with it."""

    def __init__(self, joints: Sequence[str]):
        """Start without any; joints: those that are used."""
        self._joints = tuple(dict.fromkeys(joints))
        self._used = frozenset(joints)
        self.forget()

    def forget(self) -> None:
        """Forget all positions."""
        self.positions: dict[str, float] = {}
        self.stamps: dict[str, int] = {}  # ns, of the message that each position came with
        self._faults: dict[str, str] = {}
        self._others: dict[str, None] = {}

    @property
    def complete(self) -> bool:
        """Say whether every joint has a position."""
        return len(self.positions) == len(self._joints)

    def take(self, message: object) -> bool:
        """Keep what is newer than before; return whether any joint that is used is in it."""
        stamp, found = stamp_of(message), False
        for name, position in used_positions(message, self._used):
            found = True
            if 0 < self.stamps.get(name, 0) - stamp <= REORDERED:
                continue
            if usable(position):
                self.positions[name], self.stamps[name] = float(position), stamp
                self._faults.pop(name, None)
            elif position is None:
                self._faults[name] = (
                    f'joint_states: expected a position for {_shown(name)}, got '
                    f'{len(message.position)} for {len(message.name)} names'
                )
            else:
                self._faults[name] = (
                    f'joint_states: expected a finite position for {_shown(name)}, got {position}'
                )
        if not self.complete and len(self._others) < LISTED:
            self._others.update(dict.fromkeys(message.name[:LISTED]))
        return found

    def problem(self, now: int, timeout: float) -> tuple[str, str] | None:
        """Return (bad, no, stale, ...; message) for what forbids their use at now (ns), if any."""
        if self._faults:
            return 'bad', next(iter(self._faults.values()))
        if not self.complete:
            missing = ', '.join(_shown(n) for n in self._joints if n not in self.positions)
            if not self._others:
                return 'no', f'waiting for state joint_states ({missing})'
            return 'no', (
                f'joint_states: expected the joints {missing}, got so far '
                f'{", ".join(map(_shown, self._others))}; start the driver that publishes them, '
                'or see the parameters finger_joints and arm_joints'
            )
        for oldest, stamp in sorted(self.stamps.items(), key=lambda item: item[1]):
            if late := lateness(f'joint_states ({_shown(oldest)})', stamp, now, timeout):
                return late
        return None


def _shown(name: str) -> str:
    return name[:100] if name.isprintable() else repr(name[:100])
