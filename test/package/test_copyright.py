# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every source file names its owner and its licence in its first two lines."""

from paths import ROOT
import pytest

FOLDERS = ('vla_cache_ros', 'test', 'launch')
SOURCES = sorted(path for name in FOLDERS for path in (ROOT / name).rglob('*.py'))


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_source_starts_with_copyright_and_licence(path):
    first, second = path.read_text(encoding='utf-8').split('\n', 2)[:2]
    assert first == '# Copyright 2026 The vla_cache_ros authors'
    assert second == '# SPDX-License-Identifier: Apache-2.0'


def test_licence_file_is_the_full_text():
    text = (ROOT / 'LICENSE').read_text(encoding='utf-8')
    assert 'Version 2.0, January 2004' in text
    assert 'END OF TERMS AND CONDITIONS' in text
