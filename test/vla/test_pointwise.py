# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The passes that a GPU compiles compute what the plain ones compute."""

import pytest
import torch
from vla_cache_ros.vla import pointwise
from vla_cache_ros.vla.pointwise import PLAIN


@pytest.fixture
def fresh():
    pointwise.compiled.cache_clear()
    yield
    pointwise.compiled.cache_clear()


def traced(function, **options):
    """Trace as torch.compile does, and run what was traced without a compiler."""
    return COMPILE(function, backend='aot_eager', **options)


def close(one, other):
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


COMPILE = torch.compile


def test_compiled_passes_equal_the_plain_ones_at_every_number_of_rows(fresh, monkeypatch):
    monkeypatch.setattr(torch, 'compile', traced)
    found = pointwise.compiled(torch.device('cpu'))
    assert found is not PLAIN
    generator = torch.Generator().manual_seed(0)
    for rows in (1, 8, 33, 64):
        x = torch.randn(rows, 64, generator=generator)
        cos, sin = torch.randn(2, rows, 1, 16, generator=generator)
        weight = torch.randn(64, generator=generator)
        heads = x.unflatten(1, (4, 16))
        close(found.rms_norm(x, weight, 1e-6), PLAIN.rms_norm(x, weight, 1e-6))
        close(found.rotate(heads, cos, sin), PLAIN.rotate(heads, cos, sin))
        close(found.gate(x), PLAIN.gate(x.clone()))


def test_without_a_compiler_the_plain_passes_run_and_it_is_said_once(fresh, monkeypatch):
    def refuse(function, **options):
        def call(*arguments):
            raise RuntimeError('Cannot find a working triton installation')

        return call

    monkeypatch.setattr(torch, 'compile', refuse)
    with pytest.warns(UserWarning, match=r'torch.compile failed \(Cannot find a working triton'):
        assert pointwise.compiled(torch.device('cpu')) is PLAIN
    assert pointwise.compiled(torch.device('cpu')) is PLAIN  # no second warning: kept
