# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Replay the decoder as a CUDA graph: one launch for a step, in a shape that is known in advance.

Rows are padded to the next of a short list of buckets; padding writes to a slot that nobody sees,
and slots that hold nothing are hidden by a bias in place of a cut. What changes from step to step
is copied into buffers that stay. Knows rows, as `SlotDecoder` does, not what they stand for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.layout import SlotLayout
from vla_cache_ros.caching.prompt_slots import PromptSlots
from vla_cache_ros.caching.slot_decoder import SlotDecoder
from vla_cache_ros.types import StepPlan
from vla_cache_ros.vla.model import PrismaticVLA

SMALL = 8  # rows: a pass over action tokens
BUCKET = 32  # rows: a tile of the matrix units
WARM_UPS = 3  # before a capture, as torch's documentation asks

Replay = Callable[[], Tensor]


@dataclass
class Run:
    """
    Hold the buffers of one shape.

    embeds: `[R, D]`. rows: slots `[R]`, padding first. read: `[r]`, rows that are returned, or
    None for all. replay: computes from them; its result is overwritten by the next one.
    """

    embeds: Tensor
    rows: Tensor
    read: Tensor | None
    replay: Replay


def record_graph(forward: Replay) -> Replay:
    """Return a function that replays what `forward` launches on the GPU."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            forward()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = forward()

    def replay() -> Tensor:
        graph.replay()
        return output

    return replay


class CapturedDecoder(SlotDecoder):
    """
    Run the decoder in recorded shapes; see `SlotDecoder` for what it computes.

    Steps whose rows shrink from layer to layer, or that probe attention, run as they do there.
    """

    def __init__(
        self,
        model: PrismaticVLA,
        layout: SlotLayout,
        cache: EpisodeCache,
        record: Callable[[Replay], Replay] = record_graph,
    ) -> None:
        super().__init__(model, layout, cache, capture=True)
        self._record = record
        self._runs: dict[tuple[int, int | None], Run] = {}
        self._prompt: PromptSlots | None = None
        like = cache.layers[0].keys
        self._cos = like.new_zeros(layout.size, like.shape[3])
        self._sin = torch.zeros_like(self._cos)
        self._hidden_slots = like.new_zeros(layout.size)
        self._mask: Tensor | None = None
        if not model.config.bidirectional:
            self._mask = like.new_zeros(layout.size, layout.size)

    def recompute(
        self,
        prompt: PromptSlots,
        embeds: Tensor,
        rows: Tensor,
        plan: StepPlan | None = None,
        probe_layers: tuple[int, ...] = (),
        read: Tensor | None = None,
        unseen: Tensor | None = None,
    ) -> Tensor:
        """Recompute slots, as `SlotDecoder.recompute` does."""
        if probe_layers or (plan is not None and plan.layers):
            return super().recompute(prompt, embeds, rows, plan, probe_layers, read, unseen)
        self._load(prompt, unseen)
        run = self._run(bucket(len(rows)), None if read is None else len(read))
        padding = len(run.rows) - len(rows)
        run.rows[:padding] = self._layout.spare
        run.rows[padding:] = rows
        run.embeds[:padding] = 0
        run.embeds[padding:] = embeds
        if read is not None:
            run.read.copy_(read + len(run.rows))
            return run.replay().clone()
        return run.replay()[padding:].clone()

    def prepare(self, most: int, reads: int) -> None:
        """
        Record every shape up to `most` rows.

        reads: the rows that a step returns. What is cached does not survive this.
        """
        for size in (SMALL, *range(BUCKET, bucket(most) + 1, BUCKET)):
            self._run(size, reads)
        self._run(SMALL, None)

    def _run(self, size: int, reads: int | None) -> Run:
        key = (size, reads)
        if key not in self._runs:
            llama, rows = self._llama, self._cos.new_zeros(size, dtype=torch.long)
            run = Run(
                embeds=self._cos.new_zeros(size, llama.config.hidden_size),
                rows=rows.fill_(self._layout.spare),
                read=None if reads is None else rows.new_zeros(reads),
                replay=lambda: self._forward(run),
            )
            run.replay = self._record(run.replay)
            self._runs[key] = run
        return self._runs[key]

    def _forward(self, run: Run) -> Tensor:
        window, last = self._cache.window, len(self._cache.layers) - 1
        window.rows, window.visible = run.rows, self._layout.size
        mask = self._hidden_slots[None, None, None]
        if self._mask is not None:
            mask = mask + self._mask[run.rows]  # [1, 1, R, slots]
        rotary = self._layers.rotary((self._cos[run.rows][None], self._sin[run.rows][None]))
        hidden = run.embeds
        for index in range(last + 1):
            read = run.read if index == last else None
            hidden = self._layers(index, hidden, rotary, mask, read)
        return self._llama.norm(hidden)

    def _load(self, prompt: PromptSlots, unseen: Tensor | None) -> None:
        """Copy what depends on the instruction, if it is new, and what is hidden at this step."""
        used = prompt.used
        if prompt is not self._prompt:
            self._prompt = prompt
            self._cos[:used], self._sin[:used] = prompt.cos, prompt.sin
            if self._mask is not None:
                self._mask[:used, :used] = prompt.mask
        self._hidden_slots[used:] = -torch.inf
        if unseen is None:
            self._hidden_slots[:used] = 0
        else:
            self._hidden_slots[:used] = unseen[:used]


def bucket(rows: int) -> int:
    """Return the rows of the smallest bucket that holds `rows`."""
    return SMALL if rows <= SMALL else -(-rows // BUCKET) * BUCKET
