# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What can't be recorded runs as it is and is named; a GPU is not needed to see that."""

from contextlib import contextmanager
from contextlib import nullcontext
import warnings

import numpy as np
import pytest
import torch
from vla_cache_ros.caching.recording.graphs import Direct
from vla_cache_ros.caching.recording.graphs import GraphRecorder
from vla_cache_ros.caching.recording.graphs import WARM_UPS
from vla_cache_ros.caching.recording.staging import Staging


class FakeStream:
    """Note who waited for whom."""

    waits = []

    def __init__(self, device=None):
        pass

    def wait_stream(self, other):
        self.waits.append((self, other))


@pytest.fixture
def cuda(monkeypatch):
    """Return torch.cuda with parts that need no GPU; graphs note that they were replayed."""
    replayed = []

    class Graph:
        """Stand in for torch.cuda.CUDAGraph."""

        def replay(self):
            replayed.append(self)

    main = FakeStream()
    for name, part in {
        'graph_pool_handle': object,
        'Stream': FakeStream,
        'current_stream': lambda device=None: main,
        'stream': lambda stream: nullcontext(),
        'device': lambda device: nullcontext(),
        'CUDAGraph': Graph,
        'graph': lambda graph, pool, stream: nullcontext(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, part)
    FakeStream.waits = []
    return replayed


def test_work_is_warmed_up_recorded_once_and_then_replayed(cuda):
    done = []
    replay = GraphRecorder(torch.device('cuda')).record('look', lambda: done.append(1))
    assert len(done) == WARM_UPS + 1
    replay()
    replay()
    assert len(done) == WARM_UPS + 1 and len(cuda) == 2


def test_what_fails_half_way_is_named_once_and_runs_as_it_is(cuda, monkeypatch):
    @contextmanager
    def broken(graph, pool, stream):
        yield
        raise RuntimeError('operation not permitted when stream is capturing')

    monkeypatch.setattr(torch.cuda, 'graph', broken)
    done = []
    recorder = GraphRecorder(torch.device('cuda'))
    with pytest.warns(UserWarning, match='decoder of 32 rows: could not be recorded') as caught:
        replay = recorder.record('decoder of 32 rows', lambda: done.append(1))
    assert len(caught) == 1 and 'not permitted' in str(caught[0].message)
    before = len(done)
    replay()
    assert len(done) == before + 1 and not cuda
    assert recorder.failed == ['decoder of 32 rows']


def test_works_beside_each_other_keep_their_order_and_join(cuda):
    recorder = GraphRecorder(torch.device('cuda'))
    assert recorder.together([lambda: 'a', lambda: 'b', lambda: 'c']) == ['a', 'b', 'c']
    main = torch.cuda.current_stream()
    forks = [pair for pair in FakeStream.waits if pair[1] is main]
    joins = [pair for pair in FakeStream.waits if pair[0] is main]
    assert len(forks) == len(joins) == 2
    assert {first for first, _ in forks} == {second for _, second in joins}
    assert Direct().together([lambda: 1, lambda: 2]) == [1, 2]


def test_fields_reach_the_other_side_in_one_block_and_come_back():
    fields = {'rows': (np.int64, (3,)), 'bias': (np.float32, (2, 2)), 'image': (np.uint8, (5,))}
    staging = Staging(fields, torch.device('cpu'))
    host = staging.ready()
    host['rows'][:] = [1, -2, 2**40]
    host['bias'][:] = [[0.5, -np.inf], [3, 4]]
    host['image'][:] = 7
    assert not staging.device['rows'].any()  # not before it is sent
    staging.send()
    assert staging.device['rows'].tolist() == [1, -2, 2**40]
    assert staging.device['bias'].tolist() == [[0.5, -np.inf], [3, 4]]
    assert staging.device['image'].tolist() == [7] * 5
    staging.device['bias'].mul_(2)
    assert staging.fetch()['bias'].tolist() == [[1, -np.inf], [6, 8]]
    assert {tensor.untyped_storage().data_ptr() for tensor in staging.device.values()} == {
        staging.device['rows'].untyped_storage().data_ptr()
    }


def test_a_recorder_that_records_nothing_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert Direct().record('head', lambda: None)() is None
