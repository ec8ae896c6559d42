# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Keep records in one Markdown file that people read and the program reads back: the book.

A record is a section between two marks, with tables for people and a `json` block. Sections are
only ever added, at the end, in one write under a lock. What stands there is never touched, not
even a section that somebody's full disk cut short. Knows no figure.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import fcntl
import json
import os
from pathlib import Path
import re
from typing import Any
from typing import BinaryIO

HEADER = """# Benchmarks

What `vla-cache paper` reads: one section for every file of figures that was added to it, in the
order of their coming. A section has a table for people and, in a `json` block, the same record for
the program: commit, hardware, versions, command, checkpoint, environment, seeds, and for every
gate episodes, successes with their 95 % Wilson interval, the effective reuse (mean over all
inferences, full refreshes as zero) and milliseconds.

```
vla-cache paper --add compare.json --add bench.json    # adds two sections to this file
vla-cache paper                       # the paper's tables, with these rows beside them
```

Sections are added and never rewritten. What is written by hand below one on success is printed
with it; where that begins with `**Withdrawn`, since the measurement turned out wrong, the section
takes no place among the paper's rows. Of measurements of one thing `vla-cache paper` shows the one
of most episodes, the latest of them. The command of a section is rebuilt from its figures; FILE
and FOLDER stand for paths, and the folders of gates are not in it. Times of different machines are
not comparable, ratios within one section are.
"""
_BEGIN, _END = '<!-- record: begin {} -->', '<!-- record: end {} -->'
_MARK = re.compile(r'^<!-- record: (begin|end) ([0-9a-f]{16}) -->$', re.MULTILINE)
_BLOCK = re.compile(r'^```json\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Pages:
    """
    Hold the records of a book in their order, and a line on each section left out, if any.

    A record below whose section somebody wrote something has that as `remark`.
    """

    records: tuple[dict[str, Any], ...]
    torn: tuple[str, ...] = ()


def read_book(path: Path) -> Pages:
    """
    Return what a book holds; nothing where there is no file.

    A section without its end, or whose block can't be read, is named in `torn`. Raises OSError,
    and ValueError for a file that is no text.
    """
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        return Pages(())
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: expected a Markdown file in UTF-8, found {error}') from error


def append(
    path: Path, records: Sequence[Mapping[str, Any]], section: Callable[[Mapping[str, Any]], str]
) -> Pages:
    """
    Add records at the end of a book, all or none, and return what it then holds.

    section: record -> its Markdown, from the heading on. A book that does not exist begins with
    `HEADER`. Other processes that append wait.

    Raises ValueError where a record's file is in the book already or comes twice, OSError where
    the file can't be written in full.
    """
    with path.open('a+b', buffering=0) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.seek(0)
        before = stream.read()
        try:
            pages = parse(before)
        except UnicodeDecodeError as error:
            raise ValueError(f'{path}: expected a Markdown file, found {error}') from error
        known = {record['source']['sha256']: record for record in pages.records}
        for record in records:
            digest = record['source']['sha256']
            if digest in known:
                raise ValueError(
                    f'{record["source"]["name"]}: the same file is in {path} already, added '
                    f'{known[digest]["added"]}; nothing was added'
                )
            known[digest] = dict(record)
        text = '' if before else HEADER
        if before and not before.endswith(b'\n'):
            text = '\n'  # a mark must begin its line
        text += ''.join(_frame(record, section(record)) for record in records)
        _write(stream, text.encode(), path)
    return read_book(path)


def parse(data: bytes) -> Pages:
    """Return the records of a book's bytes; raises UnicodeDecodeError."""
    text = data.decode('utf-8')
    records: list[dict[str, Any]] = []
    torn: list[str] = []
    marks = [(m[1], m[2], m.start(), m.end()) for m in _MARK.finditer(text)]
    for place, (what, digest, start, end) in enumerate(marks):
        if what == 'end':
            continue
        line = text.count('\n', 0, start) + 1
        following = marks[place + 1] if place + 1 < len(marks) else None
        if following is None or following[:2] != ('end', digest):
            torn.append(f'line {line}: section {digest} has no end; left as it is, not read')
            continue
        record = _block(text[end : following[2]], digest)
        after = marks[place + 2][2] if place + 2 < len(marks) else len(text)
        remark = text[following[3] : after].strip()
        if record is None:
            torn.append(f'line {line}: section {digest} has no record; left as it is, not read')
        elif remark and not remark.startswith('<!--'):  # that is a mark cut short
            records.append({**record, 'remark': remark})
        else:
            records.append(record)
    return Pages(tuple(records), tuple(torn))


def _block(section: str, digest: str) -> dict[str, Any] | None:
    blocks = _BLOCK.findall(section)
    try:
        record = json.loads(blocks[-1])
        whole = record['source']['sha256'].startswith(digest) and record['rows']
    except (IndexError, KeyError, TypeError, AttributeError, ValueError):
        return None
    return record if whole else None


def _frame(record: Mapping[str, Any], section: str) -> str:
    digest = record['source']['sha256'][:16]
    # one row a line: short enough to read, and a difference of two books shows which row it is
    rows = ',\n'.join('  ' + _json(row) for row in record['rows'])
    fields = [f' {_json(k)}: {_json(v)}' for k, v in record.items() if k != 'rows']
    block = '{\n' + ',\n'.join([*fields, f' "rows": [\n{rows}\n ]']) + '\n}'
    return (
        f'\n{_BEGIN.format(digest)}\n{section.strip()}\n\n```json\n{block}\n```\n'
        f'{_END.format(digest)}\n'
    )


def _json(value: Any) -> str:  # noqa: ANN401
    return json.dumps(value, allow_nan=False)


def _write(stream: BinaryIO, data: bytes, path: Path) -> None:
    written = stream.write(data)
    os.fsync(stream.fileno())
    if written != len(data):
        raise OSError(
            f'{path}: only {written} of {len(data)} bytes could be written; what stood there '
            'before is whole, free some space and add the file again'
        )
