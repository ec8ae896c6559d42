# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every source file names its owner and its licence in its first two lines."""

from paths import ROOT

FOLDERS = ('vla_cache_ros', 'recipes', 'worlds', 'launch', 'test')
HEAD = '# Copyright 2026 The vla_cache_ros authors\n# SPDX-License-Identifier: Apache-2.0\n'


def test_every_source_starts_with_copyright_and_licence():
    sources = [path for name in FOLDERS for path in (ROOT / name).rglob('*.py')]
    assert len(sources) > 300
    bare = [path for path in sources if not path.read_text(encoding='utf-8').startswith(HEAD)]
    assert bare == []


def test_licence_file_is_the_full_text():
    text = (ROOT / 'LICENSE').read_text(encoding='utf-8')
    assert 'Version 2.0, January 2004' in text
    assert 'END OF TERMS AND CONDITIONS' in text
