# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Count what a step has to do: multiply-accumulates and bytes, from the model's sizes alone.

Counted is the work that a plan asks for: rows that an implementation adds as padding are no work.
A linear layer reads its weights and inputs and writes its outputs once; attention reads the keys
and values of all that a row may see, and writes those of the rows. Norms, activations and
softmaxes count as nothing. Knows no clock.

torch's own counter can't stand in: it knows no bytes, counts padding, and sees neither fused
attention on a CPU nor what a graph replays. The tests hold these numbers against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from vla_cache_ros.caching.layout import SlotLayout
from vla_cache_ros.vla.config import TowerConfig
from vla_cache_ros.vla.config import VLAConfig

STAGES = ('vision', 'decoder', 'decode')


@dataclass(frozen=True)
class Work:
    """Hold multiply-accumulates (macs) and bytes moved."""

    macs: float = 0.0
    moved: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.macs + other.macs, self.moved + other.moved)

    def __mul__(self, times: float) -> Work:
        return Work(self.macs * times, self.moved * times)


@dataclass(frozen=True)
class StepWork:
    """
    Say what one step computed.

    active: visual tokens per camera whose patches the towers compute. visual: visual rows of the
    decoder, mean over its layers. entering: those of its first layer. fixed: rows that are not
    visual. visible: slots that a row may see. passes: decoder passes after the prefill.
    rows_a_pass: rows of each of them, at most. probed: text rows whose attention is computed again
    at every layer. read: rows whose output of the last layer is wanted, where the others get keys
    and values only; None where all get all. plain: whether an expert computes at every one of its
    steps what does not change from one to the next.
    """

    active: Sequence[int]
    visual: float
    entering: int
    fixed: int
    visible: int
    passes: int = 0
    rows_a_pass: int = 1
    probed: int = 0
    read: int | None = None
    plain: bool = False

    @property
    def rows(self) -> float:
        """Return the rows that the decoder computes, mean over its layers, passes included."""
        return self.visual + self.fixed + self.passes * self.rows_a_pass


class Costs:
    """
    Count the work of steps of one model.

    dtype: of what is computed with. held: of the weights, if another. empty_cameras: that the
    plain loop of a flow model computes besides.
    """

    def __init__(
        self,
        config: VLAConfig,
        dtype: torch.dtype,
        action_dim: int,
        held: torch.dtype | None = None,
        empty_cameras: int = 0,
    ) -> None:
        self.config = config
        self.llama = config.decoder()
        self.size, self.held = dtype.itemsize, (held or dtype).itemsize
        self.layout = SlotLayout.for_model(config, action_dim)
        self._empty = empty_cameras

    def stages(self, step: StepWork) -> dict[str, Work]:
        """Return the work of a step for each of `STAGES`; the projector counts as decoder."""
        return {
            'vision': self.vision(step.active),
            'decoder': self.projector(step.entering) + self.prefill(step),
            'decode': self.decode(step),
        }

    def plain_flow(self) -> StepWork:
        """Return what the plain loop of a flow model computes, padding and all."""
        flow, tokens = self.config.flow, self.config.tokens
        cameras = self.config.cameras + self._empty
        visual, fixed = cameras * tokens, flow.prompt_tokens + int(flow.state_slot)
        return StepWork((tokens,) * cameras, visual, visual, fixed, visual + fixed, plain=True)

    def vision(self, active: Sequence[int]) -> Work:
        """Return the work of all towers for so many active tokens per camera."""
        busy = [count for count in active if count]
        if not busy:
            return Work()
        return sum((self._tower(tower, busy) for tower in self.config.towers), Work())

    def projector(self, rows: int) -> Work:
        """Return the work of projecting patch features."""
        config, width = self.config, self.config.hidden_dim
        sizes = [config.vision_dim, width] + ([] if config.flow else [width])
        if config.fused:
            sizes.insert(1, 4 * config.vision_dim)
        return self._chain(rows, sizes)

    def prefill(self, step: StepWork) -> Work:
        """Return the work of the decoder's layers on the rows of a step, and of the probes."""
        layers, width = self.llama.num_hidden_layers, self.llama.hidden_size
        rows = step.visual + step.fixed
        read = rows if step.read is None else step.read
        work = self._layer(rows, step.visible) * (layers - 1)
        work += self._layer(rows, step.visible, read)
        if step.probed:
            probe = self._linear(step.probed, width, width)
            # the scores alone: no values are read or mixed
            probe += self._attention(step.probed, step.visible, width, width) * 0.5
            work += probe * layers
        if self.config.flow:
            return work + self._linear(
                int(self.config.flow.state_slot), self.config.flow.state_size, width
            )
        if self.layout.proprio:
            oft = self.config.oft
            work += self._chain(1, [oft.proprio_dim, width, width])
        return work

    def decode(self, step: StepWork) -> Work:
        """Return the work from the last hidden states to the action."""
        oft, width = self.config.oft, self.llama.hidden_size
        if self.config.flow is not None:
            return self.expert(step)
        if self.config.head is not None:
            products = (self._linear(*sizes) for sizes in self.config.head.products(width))
            return sum(products, Work())
        if oft is None:
            # a token sees those before it too: half of them in the mean
            seen = step.visible + self.layout.actions / 2
            one = self._layer(step.rows_a_pass, seen) * self.llama.num_hidden_layers
            one += self._linear(step.rows_a_pass, width, self.llama.vocab_size)
            return self._linear(1, width, self.llama.vocab_size) + one * step.passes
        if oft.action_head != 'l1':
            return self._linear(oft.chunk * oft.action_dim, width, self.llama.vocab_size)
        return self._chain(
            oft.chunk, [oft.action_dim * width, width, width, width, oft.action_dim]
        )

    def expert(self, step: StepWork) -> Work:
        """Return the work of denoising a chunk, and of what crossed layers make of the prefix."""
        flow = self.config.flow
        keys, width = flow.kv_heads * flow.head_dim, flow.width
        project = self._linear(step.visual + step.fixed, keys, keys) * 2
        project *= len(flow.crossed_layers)
        state = self._linear(int(flow.state_row), flow.state_size, width)
        if not step.plain:
            # pi0's state is a row that no other one changes: it passes once
            first = state + self._pass(step, 1) if flow.state_row else Work()
            after = int(flow.state_row)
            return project + first + self._pass(step, flow.chunk, after) * flow.steps
        if flow.adaptive:
            again = self._linear(1, width, 3 * width) * (2 * flow.depth + 1)
            again += self._chain(1, [width, width, width])
        else:
            again = self._linear(flow.chunk, width, width)  # the time's half of a product
        rows = flow.chunk + int(flow.state_row)
        return (project + state + self._pass(step, rows) + again) * flow.steps

    def _pass(self, step: StepWork, rows: int, before: int = 0) -> Work:
        """Return the work of the expert on rows; most see the prefix, those before, each other."""
        flow = self.config.flow
        keys, queries = flow.kv_heads * flow.head_dim, flow.num_heads * flow.head_dim
        products = [*flow.products(self.llama.hidden_size)]
        once = products[: len(products) // flow.steps]
        work = sum((self._linear(rows, *sizes) for _, *sizes in once), Work())
        for layer in range(flow.depth):
            own = 0 if flow.crossed(layer) else rows
            seen = step.visible + (before + own if own else 0)
            work += self._attention(rows, seen, queries, keys, written=own)
        return work

    def _tower(self, tower: TowerConfig, busy: Sequence[int]) -> Work:
        dim, hidden = tower.embed_dim, tower.inner
        busy = [count * tower.group**2 for count in busy]  # patches
        rows = sum(busy) + len(busy) * tower.prefix_tokens
        block = self._linear(rows, dim, 3 * dim) + self._linear(rows, dim, dim)
        block += self._chain(rows, [dim, hidden, dim])
        for count in busy:
            block += self._attention(
                count + tower.prefix_tokens, tower.patches + tower.prefix_tokens, dim, dim
            )
        blocks = tower.depth - int(not tower.finished)
        return self._linear(sum(busy), 3 * tower.patch**2, dim) + block * blocks

    def _layer(self, rows: float, visible: float, read: float | None = None) -> Work:
        """Return the work of one layer on rows; read: of them, those whose output is wanted."""
        llama, read = self.llama, rows if read is None else read
        width, inner = llama.hidden_size, llama.intermediate_size
        head = getattr(llama, 'head_dim', None) or width // llama.num_attention_heads
        queries, keys = head * llama.num_attention_heads, head * llama.num_key_value_heads
        work = self._linear(read, width, queries) + self._linear(read, queries, width)
        work += self._linear(rows, width, keys) * 2
        work += self._linear(read, width, inner) * 2 + self._linear(read, inner, width)
        return work + self._attention(read, visible, queries, keys, written=rows)

    def _chain(self, rows: float, sizes: Sequence[int]) -> Work:
        return sum((self._linear(rows, *pair) for pair in pairwise(sizes)), Work())

    def _linear(self, rows: float, inputs: int, outputs: int) -> Work:
        if not rows:
            return Work()
        weights = inputs * outputs
        moved = self.held * weights + self.size * rows * (inputs + outputs)
        return Work(rows * weights, moved)

    def _attention(
        self, rows: float, seen: float, queries: int, keys: int, written: float | None = None
    ) -> Work:
        """Return the work of scores and mixing; keys and values of rows are written too."""
        written = rows if written is None else written
        moved = 2 * (seen if rows else 0) * keys + 2 * written * keys + 2 * rows * queries
        return Work(2 * rows * seen * queries, self.size * moved)
