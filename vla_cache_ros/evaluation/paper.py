# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run `vla-cache paper`: add files of figures to the book, or print the paper's tables with ours.

Joins records, book and page. Loads no model, so it is quick and runs anywhere.
"""

from collections.abc import Sequence
from datetime import datetime
from datetime import UTC
from pathlib import Path
import sys

from vla_cache_ros.evaluation.paper_book import append
from vla_cache_ros.evaluation.paper_book import Pages
from vla_cache_ros.evaluation.paper_book import read_book
from vla_cache_ros.evaluation.paper_page import page
from vla_cache_ros.evaluation.paper_records import read_record
from vla_cache_ros.evaluation.paper_sections import section
from vla_cache_ros.evaluation.paper_sections import title

BOOKS = (Path('docs/benchmarks.md'), Path('benchmarks.md'))  # the first that exists; else the last


def run_paper(
    files: Sequence[Path] = (), book: Path | None = None, commit: str | None = None
) -> Pages:
    """
    Add `files` to the book, all or none, or without any print the tables.

    book: its file, see `BOOKS`. commit: of files that carry none. Sections of the book that can't
    be read are named on stderr. Raises ValueError and OSError for what can't be read, recognised
    or written, and ValueError for a file that the book has.
    """
    if commit and not files:
        raise ValueError(
            '--commit: expected --add beside it, it says where added figures are from'
        )
    path = book or next((found for found in BOOKS if found.is_file()), BOOKS[-1])
    if not files:
        pages = read_book(path)
        print(page(pages.records, str(path)))
    else:
        today = datetime.now(UTC).date().isoformat()
        records = [read_record(file, today, commit) for file in files]
        pages = append(path, records, section)
        for record in records:
            print(f'{path}: added {title(record)}')
    for line in pages.torn:
        print(f'{path}: {line}', file=sys.stderr)
    return pages
