# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The linters of a ROS build farm find nothing; skipped where there is no ROS install."""

from paths import ROOT
import pytest

SOURCES = [str(ROOT / name) for name in ('vla_cache_ros', 'launch', 'test', 'setup.py')]


@pytest.mark.linter
@pytest.mark.flake8
def test_flake8():
    main = pytest.importorskip('ament_flake8.main')
    code, errors = main.main_with_errors(argv=['--config', str(ROOT / 'setup.cfg'), *SOURCES])
    assert code == 0, '\n'.join(errors)


@pytest.mark.linter
@pytest.mark.pep257
def test_pep257():
    main = pytest.importorskip('ament_pep257.main')
    assert main.main(argv=SOURCES) == 0


@pytest.mark.linter
@pytest.mark.xmllint
def test_xmllint():
    main = pytest.importorskip('ament_xmllint.main')
    assert main.main(argv=[str(ROOT / 'package.xml')]) == 0
