# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Say what is compared: a gate, with its folder, recovery and requested reuse, under a label.

Reads the text of the command line and takes fingerprints of folders, so that results of what was
exchanged under the same name are not mixed. Loads no gate.
"""

from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
import re
from typing import Any

DENSE = 'dense'
RULES = ('random', 'motion', 'vla-cache', 'every')  # gates that nothing was trained for
GATE_FOLDER = 'gate'  # beside the model, where the checkpoint has its own

_FORM = re.compile(
    r'(?:(?P<label>[^=@,|]+)=)?(?P<gate>[^=@,|]+)(?:@(?P<folder>[^,]+))?(?P<options>(?:,[^,]+)*)'
)
_OPTIONS = ('recovery', 'first', 'reuse', 'towers')


@dataclass(frozen=True)
class Entry:
    """
    Hold one contender; label and reuse together name it.

    gate: name. folder: of a trained gate, None for the checkpoint's own. recovery, first: the
    gate's recovery and first share. reuse: requested share. towers: 1 if the vision towers compute
    active patches alone, 0 if they run whole. None leaves each of them to the gate.
    """

    label: str
    gate: str
    folder: str | None = None
    recovery: float | None = None
    reuse: float | None = None
    first: float | None = None
    towers: float | None = None

    @property
    def key(self) -> tuple[str, float | None]:
        """Return what names the entry in records."""
        return self.label, self.reuse

    @property
    def name(self) -> str:
        """Return the entry's name for people, such as 'motion at 50 %'."""
        return entry_name(self.label, self.reuse)

    @property
    def gate_argument(self) -> str:
        """Return what `Policy.from_pretrained` takes as `gate`."""
        return self.gate if self.folder is None else f'{self.gate}@{self.folder}'

    def definition(self, checkpoint: Path) -> dict[str, Any]:
        """Return the entry as JSON values, its folder by fingerprint; checkpoint: a folder."""
        folder = None
        if self.folder is not None:
            folder = Path(self.folder)
        elif self.gate not in (DENSE, *RULES):
            folder = checkpoint / GATE_FOLDER
        return {
            'label': self.label,
            'requested_reuse': self.reuse,
            'gate': self.gate,
            'gate_fingerprint': fingerprint(folder) if folder and folder.is_dir() else None,
            'recovery': self.recovery,
            'first_share': self.first,
            'reuse_towers': None if self.towers is None else bool(self.towers),
        }


def entry_name(label: str, reuse: float | None) -> str:
    """Return a name for people, such as 'motion at 50 %'."""
    return label if reuse is None else f'{label} at {100 * reuse:g} %'


def parse_entry(text: str) -> Entry:
    """
    Read `[label=]gate[@folder][,recovery|first|reuse|towers=X]`.

    Raises ValueError: the text has another form or a share is not from 0 to 1.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(
            f'gate: expected [label=]gate[@folder][,recovery|first|reuse|towers=X], got {text!r}'
        )
    label, gate, folder = match['label'], match['gate'], match['folder']
    options: dict[str, float] = {}
    form = ', '.join(f'{name}=X' for name in _OPTIONS)
    for item in match['options'].split(',')[1:]:
        name, _, value = item.partition('=')
        if name not in _OPTIONS or name in options:
            raise ValueError(f'gate {text!r}: expected {form} once, got {item!r}')
        with suppress(ValueError):
            options[name] = float(value)
        if not 0 <= options.get(name, -1.0) <= 1:
            raise ValueError(f'gate {text!r}: expected {name} from 0 to 1, got {value!r}')
    if options.get('towers', 1) not in (0, 1):
        raise ValueError(f'gate {text!r}: expected towers 0 or 1, got {options["towers"]:g}')
    if gate == DENSE and options:
        raise ValueError(f'gate {text!r}: dense recomputes everything and takes no options')
    if label is None:
        label = gate if folder is None else f'{gate}@{Path(folder).name}'
        named = [name for name in ('recovery', 'first', 'towers') if name in options]
        label += ''.join(f',{name}={options[name]:g}' for name in named)
    return Entry(label, gate, folder, *map(options.get, ('recovery', 'reuse', 'first', 'towers')))


def expand(texts: Sequence[str], reuses: Sequence[float]) -> list[Entry]:
    """
    Return every entry at every requested reuse; dense, and one that fixes its own, once.

    Raises ValueError: no entry, one that can't be read, or two of the same name.
    """
    if not texts:
        raise ValueError('gate: expected at least one')
    entries: list[Entry] = []
    for text in texts:
        entry = parse_entry(text)
        if entry.gate == DENSE or entry.reuse is not None or not reuses:
            entries.append(entry)
        else:
            entries += [replace(entry, reuse=reuse) for reuse in reuses]
    seen: set[tuple[str, float | None]] = set()
    for entry in entries:
        if entry.key in seen:
            raise ValueError(f'gate: {entry.name!r} stands there twice; give one another label')
        seen.add(entry.key)
    return entries


def public_name(folder: Path) -> str:
    """Return what to call a checkpoint's folder: its hub id in the hub's cache, else its name."""
    place = folder.resolve().parts
    if len(place) > 2 and place[-2] == 'snapshots' and place[-3].startswith('models--'):
        return place[-3].removeprefix('models--').replace('--', '/')
    return place[-1]


def fingerprint(folder: Path) -> str:
    """Return 16 hex digits that tell a folder's files from others, its own gate left out."""
    from vla_cache_ros.vla.checkpoint import fingerprint as digest

    return digest(_files(folder))[:16]


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob('*')):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith('.') for part in parts)
        if path.is_file() and not hidden and parts[0] != GATE_FOLDER and path.suffix != '.md':
            yield path
