# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Denoise one chunk quickly: the same numbers as `FlowExpert.velocity` gives, ten times over.

What does not depend on the chunk is computed when the sampler is made: the time's embedding and,
for pi0.5, the factors, offsets and gates of every norm. What depends on the prefix alone is
computed once a step. Nothing in here waits for the device, so that a GPU can record it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
import torch.nn.functional as F
from vla_cache_ros.vla.flow.expert import FlowExpert
from vla_cache_ros.vla.flow.expert import Memory
from vla_cache_ros.vla.flow.guidance import Guidance
from vla_cache_ros.vla.fused import FusedLayer
from vla_cache_ros.vla.fused import signed_rotary
from vla_cache_ros.vla.pointwise import PLAIN
from vla_cache_ros.vla.pointwise import Pointwise


@dataclass
class _Joint:
    """Hold one layer's keys and values `[1, kv, L + rows, head_dim]`, the expert's own last."""

    keys: Tensor
    values: Tensor

    def put(self, keys: Tensor, values: Tensor, begin: int) -> tuple[Tensor, Tensor]:
        """Write rows from `begin` on; return all up to their end."""
        end = begin + keys.shape[2]
        self.keys[:, :, begin:end], self.values[:, :, begin:end] = keys, values
        return self.keys[:, :, :end], self.values[:, :, :end]


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
        memory: Memory,
        noise: Tensor,
        state: Tensor | None = None,
        guidance: Guidance | None = None,
        trace: list[tuple[Tensor, Tensor]] | None = None,
    ) -> Tensor:
        """
        Return the chunk `[C, action_size]` float32 that noise of that shape becomes.

        memory: of one prefix. state: normalised and padded `[state_size]`, which pi0 takes.
        guidance: what of the last chunk is still to be executed. trace: takes each step's chunk
        and velocity, before guidance.
        """
        rows = signed_rotary(memory.cos[0], memory.sin[0])
        crossed = signed_rotary(
            *(one[0] for one in self._expert.own_rotary(memory.cos, memory.sin))
        )
        joints = self._joints(memory)
        prefix = memory.keys[0].shape[2]
        mask = self._expert.mask(memory.mask, prefix, memory.keys[0])
        begin = prefix
        if self.config.state_row:
            # the state's row depends neither on the time nor on the chunk
            first = self._expert.state_proj(state.to(self._expert.state_proj.weight.dtype)[None])
            self._pass(first, 0, memory, joints, begin, tuple(t[:1] for t in rows), crossed, mask)
            begin, rows = begin + 1, tuple(t[1:] for t in rows)
            # ... and the actions see it and each other
            mask = None if memory.mask is None else mask[:, :, 1:]
        x = noise.float()
        for step in range(self.steps):
            hidden = self._embed(x, step)
            hidden = self._pass(hidden, step, memory, joints, begin, rows, crossed, mask)
            velocity = self._out(hidden, step)
            if trace is not None:
                trace.append((x, velocity))
            if guidance is not None:
                velocity = guidance(x, velocity, self._times[step])
            x = x - velocity / self.steps
        return x

    def _joints(self, memory: Memory) -> list[_Joint]:
        rows = self._expert.rows
        return [
            _Joint(*(F.pad(one, (0, 0, 0, rows)) for one in pair))
            for pair in zip(memory.keys, memory.values, strict=True)
        ]

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
        memory: Memory,
        joints: list[_Joint],
        begin: int,
        rotary: tuple[Tensor, Tensor],
        crossed: tuple[Tensor, Tensor],
        mask: Tensor | None,
    ) -> Tensor:
        """Run all layers on rows `[R, D]` whose keys stand from `begin` on in the joints."""
        hidden = hidden.to(self._layers[0].like.dtype)
        end = begin + len(hidden)
        seen = None if mask is None else mask[:, :, : len(hidden), :end]
        for index, layer in enumerate(self._layers):
            modulation = None
            if self.config.adaptive:
                modulation = self._modulations[step, 2 * index : 2 * index + 2]
            if self.config.crossed(index):
                hidden = layer.cross(hidden, crossed, memory.mask, *memory.crossed[index])
                continue
            joint = joints[index]
            hidden = layer(
                hidden,
                rotary,
                seen,
                lambda keys, values, joint=joint: joint.put(keys, values, begin),
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
