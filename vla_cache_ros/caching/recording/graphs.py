# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Record what a function launches on a GPU as one CUDA graph, and replay it.

All graphs of a recorder share one pool of memory, so that what they work with is held once: their
results have to be copied to buffers of their own before the next one runs. Knows no model.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import Protocol
import warnings

import torch

WARM_UPS = 3  # before a capture, as torch's documentation asks

Work = Callable[[], Any]


class Recorder(Protocol):
    """Turn work that is repeated at fixed addresses into something that is quick to repeat."""

    def record(self, name: str, work: Work) -> Work:
        """Return a function that does the work again; what the work returns is lost."""

    def together(self, works: Sequence[Work]) -> list[Any]:
        """Do works that do not depend on each other, at once if possible; return their results."""


class Direct:
    """Record nothing: do the work each time. On a CPU, and where recording failed."""

    def record(self, name: str, work: Work) -> Work:
        """Return the work, done once as recording does: what cannot be done shows at once."""
        work()
        return work

    def together(self, works: Sequence[Work]) -> list[Any]:
        """Do one after the other."""
        return [work() for work in works]


class GraphRecorder:
    """
    Record CUDA graphs on one device, from the thread that will replay them.

    failed: names of what could not be recorded and is launched operation by operation instead.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream(device)
        self._beside = [torch.cuda.Stream(device)]
        self.failed: list[str] = []

    def record(self, name: str, work: Work) -> Work:
        """
        Return the replay of what `work` launches.

        Where that can't be recorded, as by an operation that waits for the device, one warning
        names it and the work itself is returned.
        """
        with torch.cuda.device(self._device):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UPS):
                    work()
            torch.cuda.current_stream().wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            try:
                with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                    work()
            except Exception as error:  # noqa: BLE001 - torch has no type for it
                self.failed.append(name)
                reason = ' '.join(str(error).split())
                warnings.warn(
                    f'{name}: could not be recorded as a CUDA graph ({reason:.200}); it runs '
                    'operation by operation, which takes longer',
                    stacklevel=2,
                )
                return work
        return graph.replay

    def together(self, works: Sequence[Work]) -> list[Any]:
        """Do works side by side on streams of their own; they join before this returns."""
        main = torch.cuda.current_stream(self._device)
        while len(self._beside) < len(works) - 1:
            self._beside.append(torch.cuda.Stream(self._device))
        beside = self._beside[: len(works) - 1]
        results = []
        for stream, work in zip(beside, works[1:], strict=True):
            stream.wait_stream(main)
            with torch.cuda.stream(stream):
                results.append(work())
        results.insert(0, works[0]())
        for stream in beside:
            main.wait_stream(stream)
        return results
