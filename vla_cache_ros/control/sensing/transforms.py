# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Keep what /tf and /tf_static say, and say where one frame is in another, with tf2's rules.

Pure Python, on any object with the fields of tf2_msgs/TFMessage; for recordings, and for graphs
without tf2_ros. It does not know what the frames are.
"""

from bisect import bisect_left
from dataclasses import dataclass
from dataclasses import field
import math

HORIZON = 2 * 10**9  # ns; what is older than a link's newest by more is dropped, or begins anew
MOST_FRAMES = 4096
DEEPEST = 1000  # links in a chain
LISTED = 30  # frames in a message to the user

Vector = tuple[float, ...]
Transform = tuple[Vector, Vector]  # xyz (m), quaternion xyzw


class NoTransform(ValueError):
    """Frames that are not connected yet, or not at one time."""


@dataclass
class Link:
    """A frame in its parent: stamps (ns, ascending; static: none) and what it was then."""

    parent: str
    static: bool
    stamps: list[int] = field(default_factory=list)
    samples: list[Transform] = field(default_factory=list)


class TransformBuffer:
    """A tree of frames over the last seconds."""

    def __init__(self):
        """Start without frames."""
        self._links: dict[str, Link] = {}

    def clear(self) -> None:
        """Forget what moves; what is static stays true."""
        self._links = {name: link for name, link in self._links.items() if link.static}

    def take(self, message: object, static: bool) -> None:
        """Keep the transforms of a message; raises ValueError for more frames than any robot's."""
        for transform in message.transforms:
            child = transform.child_frame_id.removeprefix('/')
            parent = transform.header.frame_id.removeprefix('/')
            link = self._links.get(child)
            if link is None or link.parent != parent or link.static != static:
                if link is None and len(self._links) >= MOST_FRAMES:
                    raise ValueError(f'tf: expected at most {MOST_FRAMES} frames, got more')
                link = self._links[child] = Link(parent, static)
            stamp = transform.header.stamp
            _insert(link, stamp.sec * 10**9 + stamp.nanosec, _sample(transform.transform))

    def newest(self, base: str, tip: str) -> int:
        """
        Return the newest time (ns) at which base and tip are connected.

        Raises NoTransform if they are not, ValueError for a loop, or if nothing between moves.
        """
        up, down = self._path(base, tip)
        moving = [link.stamps[-1] for link in (*up, *down) if not link.static]
        if not moving:
            raise ValueError(
                f'tf: expected a tip that moves, got {tip} fixed in {base} by /tf_static; '
                'see frame_id and ee_frame'
            )
        return min(moving)

    def at(self, base: str, tip: str, stamp: int) -> Transform:
        """
        Return tip in base at a time (ns), each link interpolated between its neighbours.

        Raises NoTransform if a link does not go back so far, ValueError for one of its values
        that is not finite or no rotation.
        """
        up, down = self._path(base, tip)
        to_tip, to_base = (_compose(links, stamp) for links in (down, up))
        return _multiply(_inverse(to_base), to_tip)

    def _path(self, base: str, tip: str) -> tuple[list[Link], list[Link]]:
        """Return the links from base, and from tip, up to where they meet."""
        base, tip = base.removeprefix('/'), tip.removeprefix('/')
        above, links = self._above(base), self._above(tip)
        if tip not in links or base not in above:
            raise self._unconnected(base, tip)
        meet = next((frame for frame in links if frame in above), None)
        if meet is None:
            raise self._unconnected(base, tip)
        return tuple(
            [self._links[frame] for frame in chain[: chain.index(meet)]]
            for chain in (list(above), list(links))
        )

    def _above(self, frame: str) -> dict[str, None]:
        """Return a frame and all above it, in order; none of a frame that is unknown."""
        found: dict[str, None] = {}
        known = frame in self._links or any(link.parent == frame for link in self._links.values())
        while known and frame not in found:
            found[frame] = None
            if frame not in self._links:
                return found
            frame = self._links[frame].parent
            if len(found) > DEEPEST:
                raise ValueError(f'tf: expected a chain of at most {DEEPEST} frames, got more')
        if known:
            names = list(found)[list(found).index(frame) :]
            raise ValueError(f'tf: expected a tree, got the loop {_listed([*names, frame])}')
        return found

    def _unconnected(self, base: str, tip: str) -> NoTransform:
        frames = dict.fromkeys(self._links)
        frames.update(dict.fromkeys(link.parent for link in self._links.values()))
        return NoTransform(
            f'tf: expected a chain from {base} to {tip}, got the frames '
            f'{_listed(sorted(frames)) or "none"}; see frame_id and ee_frame'
        )


def _insert(link: Link, stamp: int, sample: Transform) -> None:
    """Keep a sample in its place; of two with one stamp the first stays, as in tf2."""
    if link.static:
        link.samples = [sample]
        return
    stamps, samples = link.stamps, link.samples
    if stamps and stamps[-1] - stamp > HORIZON:
        stamps.clear()  # the source began anew, or its clock was set
        samples.clear()
    index = bisect_left(stamps, stamp)
    if index < len(stamps) and stamps[index] == stamp:
        return
    stamps.insert(index, stamp)
    samples.insert(index, sample)
    old = bisect_left(stamps, stamps[-1] - HORIZON)
    if old > 64:  # not one by one
        del stamps[:old], samples[:old]


def _sample(transform: object) -> Transform:
    move, turn = transform.translation, transform.rotation
    return (move.x, move.y, move.z), (turn.x, turn.y, turn.z, turn.w)


def _compose(links: list[Link], stamp: int) -> Transform:
    """Return the first link's frame in the last one's parent."""
    found = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)
    for link in links:
        found = _multiply(_value(link, stamp), found)
    return found


def _value(link: Link, stamp: int) -> Transform:
    """Return a link at a time."""
    index = 0 if link.static else bisect_left(link.stamps, stamp)
    if index == len(link.samples) or (index == 0 and not link.static and link.stamps[0] != stamp):
        raise NoTransform(
            f'tf: expected all links at one time, got {_listed([link.parent])} without the '
            f'{(stamp - link.stamps[0]) * 1e-9:+.3f} s around it; synchronise the clocks'
        )
    later = _checked(link.samples[index], link.parent)
    if link.static or link.stamps[index] == stamp:
        return later
    before, after = link.stamps[index - 1 : index + 1]
    share = (stamp - before) / (after - before)
    xyz, turn = _checked(link.samples[index - 1], link.parent)
    moved = tuple(a + share * (b - a) for a, b in zip(xyz, later[0], strict=True))
    return moved, _turned(turn, later[1], share)


def _checked(sample: Transform, parent: str) -> Transform:
    xyz, turn = sample
    norm = math.hypot(*turn)
    if not (all(abs(value) < 1e30 for value in xyz) and abs(norm - 1) < 1e-2):
        raise ValueError(
            'tf: expected finite translations and unit quaternions, got '
            f'{list(xyz)} and {list(turn)} below {_listed([parent])}'
        )
    return xyz, tuple(value / norm for value in turn)


def _turned(a: Vector, b: Vector, share: float) -> Vector:
    """Return the rotation between two, by the shorter way."""
    cosine = sum(x * y for x, y in zip(a, b, strict=True))
    if cosine < 0:
        b, cosine = tuple(-value for value in b), -cosine
    angle = math.acos(min(1.0, cosine))
    if angle < 1e-6:
        return a
    first, second = (math.sin(part * angle) / math.sin(angle) for part in (1 - share, share))
    return tuple(first * x + second * y for x, y in zip(a, b, strict=True))


def _multiply(a: Transform, b: Transform) -> Transform:
    """Return what b does and then a."""
    (px, py, pz), q = a
    x, y, z = _rotated(q, b[0])
    return (px + x, py + y, pz + z), _product(q, b[1])


def _inverse(a: Transform) -> Transform:
    xyz, (x, y, z, w) = a
    back = (-x, -y, -z, w)
    return tuple(-value for value in _rotated(back, xyz)), back


def _rotated(q: Vector, v: Vector) -> Vector:
    x, y, z, _ = _product(_product(q, (*v, 0.0)), (-q[0], -q[1], -q[2], q[3]))
    return x, y, z


def _product(a: Vector, b: Vector) -> Vector:
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def _listed(names: list[str]) -> str:
    shown = [name[:100] if name.isprintable() else repr(name[:100]) for name in names[:LISTED]]
    return ', '.join(shown) + (', ...' if len(names) > LISTED else '')
