# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Denoise one chunk quickly: the same numbers as `FlowExpert.velocity` gives, ten times over.

What does not depend on the chunk is computed when the sampler is made: the time's embedding and,
for pi0.5, the factors, offsets and gates of every norm. What depends on the prefix alone is
computed once a step. Nothing in here waits for the device, so that a GPU can record it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
import torch.nn.functional as F
from vla_cache_ros.vla.flow.expert import FlowExpert
from vla_cache_ros.vla.flow.expert import Memory
from vla_cache_ros.vla.flow.guidance import Guidance
from vla_cache_ros.vla.fused import FusedLayer
from vla_cache_ros.vla.fused import Seen
from vla_cache_ros.vla.fused import signed_rotary
from vla_cache_ros.vla.pointwise import PLAIN
from vla_cache_ros.vla.pointwise import Pointwise


@dataclass
class _Joint:
    """
    Hold what the rows of B sequences see at one layer, their own keys and values last.

    keys, values: `[B, kv, L + rows, head_dim]`.
    """

    keys: Tensor
    values: Tensor

    @classmethod
    def of(cls, keys: Tensor, values: Tensor, rows: int) -> _Joint:
        """Return a copy of keys and values `[B, kv, L, head_dim]` with room for rows."""
        return cls(F.pad(keys, (0, 0, 0, rows)), F.pad(values, (0, 0, 0, rows)))

    def put(self, keys: Tensor, values: Tensor, begin: int, mask: Tensor | None) -> Seen:
        """Write `[1, kv, B * R, head_dim]` behind the first `begin`; return what the rows see."""
        shape = (len(self.keys), -1)
        rows = keys.shape[2]
        end = begin + rows // len(self.keys)
        for joint, new in ((self.keys, keys), (self.values, values)):
            joint[:, :, begin:end] = new[0].unflatten(1, shape).transpose(0, 1)
        return Seen(rows, self.keys[:, :, :end], self.values[:, :, :end], mask)


@dataclass
class _Prefixes:
    """
    Hold what the rows of several memories see, for all steps.

    joints: of each memory, layer by layer. masks: `[B or 1, 1, rows, L + rows]`, or None.
    """

    memories: Sequence[Memory]
    joints: list[list[_Joint]]
    masks: list[Tensor | None]
    rows: int  # that stand in the joints

    @property
    def sequences(self) -> list[int]:
        """Return how many sequences each memory holds."""
        return [len(memory.keys[0]) for memory in self.memories]

    def seen(self, index: int, keys: Tensor, values: Tensor) -> list[Seen]:
        """Write the rows' keys and values `[1, kv, N * R, head_dim]`; return what they see."""
        rows = keys.shape[2] // sum(self.sequences)
        counts = [rows * count for count in self.sequences]
        found, parts = [], zip(keys.split(counts, 2), values.split(counts, 2), strict=True)
        for memory, joints, mask, part in zip(
            self.memories, self.joints, self.masks, parts, strict=True
        ):
            begin = memory.keys[index].shape[2] + self.rows
            if mask is not None:
                mask = mask[:, :, self.rows : self.rows + rows, : begin + rows]
            found.append(joints[index].put(*part, begin, mask))
        return found

    def crossed(self, index: int, rows: int) -> list[Seen]:
        """Return what so many rows of each sequence see at a crossed layer."""
        return [
            Seen(rows * len(memory.keys[0]), *memory.crossed[index], memory.mask)
            for memory in self.memories
        ]


class FlowSampler:
    """Run an expert's Euler steps; steps: how many, the checkpoint's own number if None."""

    def __init__(
        self, expert: FlowExpert, steps: int | None = None, pointwise: Pointwise = PLAIN
    ) -> None:
        self.config = config = expert.config
        self._expert, self._do = expert, pointwise
        self.steps = steps or config.steps
        self._layers = [FusedLayer(layer, pointwise) for layer in expert.layers]
        self._times = [1 - k / self.steps for k in range(self.steps)]
        # the shortest period is 0.004: to embed a time as float32 rounds it tells on the velocity
        times = torch.tensor(self._times, device=expert.action_in_proj.weight.device)
        with torch.no_grad():
            self._tabulate(times)

    def _tabulate(self, times: Tensor) -> None:
        expert, config = self._expert, self.config
        like = self._layers[0].like
        if config.adaptive:
            condition = expert.condition(times)  # [steps, width]
            norms = [
                norm
                for layer in expert.layers
                for norm in (layer.input_layernorm, layer.post_attention_layernorm)
            ]
            self._modulations = torch.stack(
                [torch.stack(norm.modulation(condition), dim=1) for norm in norms], dim=1
            ).to(like)  # [steps, 2 * depth, 3, width]
            self._last = torch.stack(expert.norm.modulation(condition), dim=1).to(like)
            return
        weight = expert.time_mlp_in.weight
        time = expert.time_embedding(times).to(weight.dtype)
        # of the first layer's input the time is a part that never changes
        self._time = F.linear(time, weight[:, config.width :], expert.time_mlp_in.bias)
        self._weight = weight[:, : config.width].contiguous()
        norm = expert.norm
        offset = 0.0 if config.smolvla else 1.0
        epsilon = norm.variance_epsilon if config.smolvla else norm.eps
        self._norm = ((norm.weight.float() + offset).to(like), epsilon)

    def __call__(
        self,
        memories: Sequence[Memory],
        noise: Tensor,
        states: Tensor | None = None,
        guidance: Sequence[Guidance | None] = (),
        trace: list[tuple[Tensor, Tensor]] | None = None,
    ) -> Tensor:
        """
        Return the chunks `[N, C, action_size]` float32 that noise of that shape becomes.

        memories: of the prefixes, N sequences in all. states: normalised and padded `[N,
        state_size]`, which pi0 takes. guidance: of each chunk, what of its last one is still to be
        executed. trace: takes each step's chunks and velocities, before guidance.
        """
        rows, crossed = self._tables(memories)  # cosines and sines [N, rows, head_dim]
        seen = self._prefixes(memories)
        x, first = noise.float(), 0
        if self.config.state_row:
            # the state's row depends neither on the time nor on the chunk
            project = self._expert.state_proj
            row = project(states.to(project.weight.dtype))  # [N, width]
            self._pass(row, 0, seen, _rotary(rows, slice(0, 1)), None)
            seen.rows = first = 1
            # ... and the actions see it and each other
            seen.masks = [
                None if memory.mask is None else mask
                for memory, mask in zip(memories, seen.masks, strict=True)
            ]
        rotary, crossed = _rotary(rows, slice(first, None)), _rotary(crossed, slice(None))
        for step in range(self.steps):
            hidden = self._embed(x.flatten(0, 1), step)
            hidden = self._pass(hidden, step, seen, rotary, crossed)
            velocity = self._out(hidden, step).unflatten(0, (len(x), -1))
            if trace is not None:
                trace.append((x, velocity))
            if any(guidance):
                velocity = torch.stack(
                    [
                        one(*pair, self._times[step]) if one else pair[1]
                        for one, *pair in zip(guidance, x, velocity, strict=True)
                    ]
                )
            x = x - velocity / self.steps
        return x

    def _tables(self, memories: Sequence[Memory]) -> tuple[list[Tensor], list[Tensor]]:
        """Return the tables `[N, rows, head_dim]` of the rows, and those of crossed layers."""
        kinds = [
            [(memory.cos, memory.sin) for memory in memories],
            [self._expert.own_rotary(memory.cos, memory.sin) for memory in memories],
        ]
        counts = [len(memory.keys[0]) for memory in memories]
        return tuple(
            [
                torch.cat([t.expand(n, -1, -1) for t, n in zip(tables, counts, strict=True)])
                for tables in zip(*kind, strict=True)
            ]
            for kind in kinds
        )

    def _prefixes(self, memories: Sequence[Memory]) -> _Prefixes:
        rows = self._expert.rows
        joints = [
            [_Joint.of(*pair, rows) for pair in zip(memory.keys, memory.values, strict=True)]
            for memory in memories
        ]
        masks = [
            self._expert.mask(memory.mask, memory.keys[0].shape[2], memory.keys[0])
            for memory in memories
        ]
        return _Prefixes(memories, joints, masks, rows=0)

    def _embed(self, x: Tensor, step: int) -> Tensor:
        expert = self._expert
        rows = expert.action_in_proj(x.to(expert.action_in_proj.weight.dtype))
        if self.config.adaptive:
            return rows
        return expert.time_mlp_out(F.silu(F.linear(rows, self._weight) + self._time[step]))

    def _pass(
        self,
        hidden: Tensor,
        step: int,
        seen: _Prefixes,
        rotary: tuple[Tensor, Tensor],
        crossed: tuple[Tensor, Tensor] | None,
    ) -> Tensor:
        """Run all layers on rows `[N * R, D]`; rotary, crossed: their `[N * R, 1, head_dim]`."""
        hidden = hidden.to(self._layers[0].like.dtype)
        rows = len(hidden) // sum(seen.sequences)
        for index, layer in enumerate(self._layers):
            modulation = None
            if self.config.adaptive:
                modulation = self._modulations[step, 2 * index : 2 * index + 2]
            if self.config.crossed(index):
                hidden = layer.cross(hidden, crossed, seen.crossed(index, rows))
                continue
            hidden = layer(
                hidden,
                rotary,
                lambda keys, values, index=index: seen.seen(index, keys, values),
                modulation=modulation,
            )
        return hidden

    def _out(self, hidden: Tensor, step: int) -> Tensor:
        project = self._expert.action_out_proj
        if self.config.adaptive:
            scale, shift, _ = self._last[step]
            epsilon = self._expert.norm.variance_epsilon
            hidden = self._do.rms_norm(hidden, scale, epsilon) + shift
        else:
            hidden = self._do.rms_norm(hidden, *self._norm)
        return project(hidden.to(project.weight.dtype)).float()


def _rotary(tables: Sequence[Tensor], span: slice) -> tuple[Tensor, Tensor]:
    """Return what layers take, of a span of the rows of tables `[N, rows, head_dim]`."""
    return signed_rotary(*(table[:, span].flatten(0, 1) for table in tables))
