# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Fill a template of this package: one HTML page that loads nothing from elsewhere.

Every page extends reports/base.html. Computes nothing; a page can be mailed as it is.
"""

import base64
from collections.abc import Sequence
from pathlib import Path

import jinja2
from vla_cache_ros.reports.plots import Plot
from vla_cache_ros.reports.tables import Table

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parents[1]),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_page(path: Path, template: str, **values: object) -> None:
    """
    Write a page; values are escaped unless the template says otherwise.

    template: its path in the package, such as 'reports/report.html'.
    """
    page = _TEMPLATES.get_template(template).render(**values)
    path.write_text(page, encoding='utf-8')


def embedded(file: Path | bytes) -> str:
    """Return a file in base64; a page that holds it grows by a third over its size."""
    content = file if isinstance(file, bytes) else file.read_bytes()
    return base64.b64encode(content).decode('ascii')


def write_report(
    path: Path,
    title: str,
    lead: str,
    table: Table,
    plots: Sequence[Plot],
    episodes: Table,
    footer: Sequence[str],
    video: Path,
) -> None:
    """Write a page of a comparison in closed loop, with its video."""
    write_page(
        path,
        'reports/report.html',
        title=title,
        lead=lead,
        table=table,
        plots=plots,
        episodes=episodes,
        footer=footer,
        video=embedded(video),
    )
