# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The plain loop as a careful user would run it on a GPU: through torch.compile."""

from __future__ import annotations

import torch
from torch import Tensor
from vla_cache_ros.evaluation.bench.hf_loop import HFLoop
from vla_cache_ros.vla.checkpoint import LoadedVLA


class CompiledLoop(HFLoop):
    """
    Act as `HFLoop` does, towers and Llama compiled; the first two steps take minutes.

    `reduce-overhead` compiles kernels and replays them as CUDA graphs. One call a step keeps
    nothing, so no cache is filled. Not for models that decode token by token: their shapes change
    with each.
    """

    def __init__(self, vla: LoadedVLA) -> None:
        super().__init__(vla)
        llama = vla.model.language_model.model

        def run(embeds: Tensor, causal: bool) -> Tensor:
            found = llama(inputs_embeds=embeds, use_cache=False, is_causal=causal)
            return found.last_hidden_state

        # a rehearsal on a CPU traces as a GPU would, and compiles nothing
        on_gpu = self._weight.device.type == 'cuda'
        how = {'mode': 'reduce-overhead'} if on_gpu else {'backend': 'eager'}
        self._compiled_run = torch.compile(run, dynamic=False, **how)
        self._compiled_see = torch.compile(vla.model.vision_features, dynamic=False, **how)

    def _see(self, pixel_values: Tensor) -> Tensor:
        return self._compiled_see(pixel_values).clone()  # the next replay overwrites it

    def _run(self, embeds: Tensor, causal: bool) -> Tensor:
        return self._compiled_run(embeds, causal).clone()
