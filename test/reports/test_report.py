# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The HTML page stands alone and shows what it was given."""

import re

from vla_cache_ros.reports.page import write_report
from vla_cache_ros.reports.plots import line_plot
from vla_cache_ros.reports.tables import Table


def test_page_is_self_contained_and_escapes_what_users_typed(tmp_path):
    video = tmp_path / 'demo.mp4'
    video.write_bytes(b'\0\0\0\x18ftypmp42')
    page = tmp_path / 'report.html'
    write_report(
        page,
        title='Demo',
        lead='three instructions',
        table=Table(('', 'dense'), [('success', '2 of 3')]),
        plots=[line_plot('Reuse', 'per step', {'dense': ([0, 1], [0, 0])}, 'step', 'reuse')],
        episodes=Table(('instruction',), [('<script>alert(1)</script>',)]),
        footer=['one machine'],
        video=video,
    )
    text = page.read_text(encoding='utf-8')
    assert '2 of 3' in text
    assert '<script>' not in text
    assert 'data:video/mp4;base64,AAAAGGZ0eXBtcDQy' in text
    assert '<svg' in text
    assert not re.search(r'(?:src|href)="https?://', text)
