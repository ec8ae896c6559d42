# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run LeRobot's own model of a published size, where LeRobot is installed.

With random weights of its own and the types that it keeps them in; from the tower's input to the
chunk it is LeRobot's code. Knows no slots. Source of the names: LeRobot 0.6.1.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import nn
from torch import Tensor
import torch.nn.functional as F
from vla_cache_ros.caching.stopwatch import StageClock
from vla_cache_ros.evaluation.bench.hf_loop import HFLoop
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.config import VLAConfig

NAME = 'lerobot'
CLASSES = {
    'smolvla': ('SmolVLAConfig', 'VLAFlowMatching'),
    'pi0': ('PI0Config', 'PI0Pytorch'),
    'pi05': ('PI05Config', 'PI05Pytorch'),
}


class LeRobotLoop(HFLoop):
    """Act on observations with LeRobot's model; arguments as for `HFLoop`."""

    name = NAME

    def __init__(self, vla: LoadedVLA, empty_cameras: int = 0) -> None:
        super().__init__(vla, empty_cameras=empty_cameras)
        self._empty = empty_cameras
        self._theirs = build(vla.config, self._weight.dtype).to(self._weight.device)

    def _compute(
        self, pixel_values: Tensor, ids: Tensor, proprio: Tensor | None, clock: StageClock
    ) -> np.ndarray:
        """Return normalised actions `[C, A]`; all of it is the stage `decode`."""
        flow, head = self._config.flow, self._vla.model.action_head
        images = [*pixel_values.float().unflatten(1, (-1, 3)).unbind(1)]
        seen = [True] * len(images) + [False] * self._empty
        images += [torch.full_like(images[0], -1)] * self._empty
        masks = [torch.tensor([one], device=ids.device) for one in seen]
        padding = (0, flow.prompt_tokens - ids.shape[1])
        real = F.pad(torch.ones_like(ids, dtype=torch.bool), padding)
        given = [images, masks, F.pad(ids, padding), real]
        if not flow.state_in_prompt:
            given.append(F.pad(proprio.float(), (0, flow.state_size - proprio.shape[1])))
        noise = head.noise(0, self._step)[None].to(ids.device)
        chunk = self._theirs.sample_actions(*given, noise=noise)[0, :, : flow.action_dim]
        return chunk.to('cpu', torch.float64).numpy()


def build(config: VLAConfig, dtype: torch.dtype) -> nn.Module:
    """Return LeRobot's model of a family; raises whatever its code raises."""
    flow = config.flow
    names = zip(('configuration', 'modeling'), CLASSES[flow.family], strict=True)
    settings, model = (
        getattr(import_module(f'lerobot.policies.{flow.family}.{file}_{flow.family}'), name)
        for file, name in names
    )
    sizes: dict[str, Any] = {
        'chunk_size': flow.chunk,
        'n_action_steps': flow.chunk,
        'max_state_dim': flow.state_size,
        'max_action_dim': flow.action_size,
        'device': 'cpu',
    }
    if flow.smolvla:
        layers = config.decoder().num_hidden_layers
        sizes |= {'num_steps': flow.steps, 'num_vlm_layers': layers, 'load_vlm_weights': False}
        return model(settings(**sizes)).eval()
    sizes |= {'num_inference_steps': flow.steps, 'dtype': str(dtype).removeprefix('torch.')}
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # else it takes twice the memory until it is made
    try:
        made = model(settings(**sizes)).eval()
    finally:
        torch.set_default_dtype(before)
    for name, part in made.named_children():
        if name != 'paligemma_with_expert':
            part.float()  # as LeRobot keeps them
    return made
