# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Train `tabletop-pi`: pi0.5's prefix and flow-matching expert, on a frozen tower.

The same stage 2 as base.py with another loss: the velocity of a chunk between noise and what the
expert would do. Every prefix is read by several noisy chunks, which cost little beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.environments.tabletop.robot import CAMERAS
from vla_cache_ros.environments.tabletop.robot import EXECUTE_STEPS
from vla_cache_ros.training.frames import Frames
from vla_cache_ros.training.loop import mean_over_processes
from vla_cache_ros.vla.flow.expert import Memory
from vla_cache_ros.vla.lerobot.scaling import Scaling
from vla_cache_ros.vla.model import VLAModel

from recipes.base import BaseTrainer
from recipes.grounding import grounding_targets
from recipes.lerobot_folder import save_lerobot_folder
from recipes.sequence import choose_tokens
from recipes.tabletop_pi.prompts import build_tokenizer
from recipes.tabletop_pi.prompts import prompt_ids
from recipes.tabletop_pi.sizes import IMAGES
from recipes.tabletop_pi.sizes import LAYERS
from recipes.tabletop_pi.sizes import pi_model

DRAWS = 6  # noisy chunks for each prefix
JITTER = 1.5 / 128  # normalised, half width: a state's text must not be learned by heart
SAMPLES = 64  # held-out frames and process
KEEP = 80  # visual tokens that those are judged from, beside all
MEASURE_EVERY = 250  # updates
DIMENSIONS = ('dx', 'dy', 'dz', 'drx', 'dry', 'drz', 'gripper')


class FlowTrainer(BaseTrainer):
    """Hold the model, its training-only heads and the loop."""

    names = ('update', 'velocity_l1', 'naming', 'nearby', 'place')

    def __init__(
        self,
        directories: Sequence[Path],
        out: Path,
        towers: Path | None = None,
        seed: int = 0,
        held: Sequence[Path] = (),
    ):
        """
        Start from OUT/base.pt if it exists, else from random weights on towers of stage 1.

        held: frames that the model never learns from, to measure sampled chunks on.
        """
        super().__init__(directories, out, towers, seed)
        self._late: Tensor | None = None
        layers = self.model.language_model.model.layers
        layers[LAYERS - 2].register_forward_hook(self._keep_late)
        self.scaling = {
            name: Scaling('QUANTILES', *(np.array(one[key]) for key in ('q01', 'q99')), 1e-8)
            for name, one in self.norm_stats[self.domain.name].items()
            if name in ('action', 'proprio')
        }
        processes = self.accelerator.num_processes
        self.held = None
        if held:
            rank = self.accelerator.process_index
            self.held = Frames(held, rank, processes, self.encode, self.features)

    def build_model(self, seed: int) -> VLAModel:
        """Return the untrained decoder and expert on the tower of `tabletop`."""
        return pi_model(seed)

    def build_inputs(self) -> None:
        """Make the tokenizer and the constants of pictures; prompts change with the state."""
        self.tokenizer = build_tokenizer(self.domain.instructions)
        self.images = replace(IMAGES, paths=(self.domain.image_path,))

    def losses(self, rows: np.ndarray, keep: int) -> tuple[Tensor, ...]:
        """Return the losses: velocity (L1, normalised units), naming, token place, place."""
        table = self.frames.table
        features = torch.from_numpy(self.frames.images(rows)).float()  # [B, V, F]
        shares = torch.from_numpy(table['shares'][rows]).flatten(1, 2)
        tokens = choose_tokens(shares, keep, self.generator, self.domain)  # [B, K]
        visual = features.gather(1, tokens[..., None].expand(-1, -1, features.shape[-1]))
        jitter = self.rng.uniform(-JITTER, JITTER, (len(rows), 8))
        memory, text = self.prefix(table, rows, visual, tokens, jitter)
        chunks = torch.from_numpy(self.normalized('action', table['actions'][rows]))
        velocity = flow_loss(self.model, memory, chunks, self.generator)
        slots = self._late[:, keep:].masked_fill(~text[..., None], 0)
        slots = slots.sum(1, keepdim=True) / text.sum(1)[:, None, None]
        targets = grounding_targets(table, rows).gather(tokens)
        return velocity, *self.heads.loss(self._middle[:, :keep], slots, targets)

    def prefix(
        self,
        table: dict[str, np.ndarray],
        rows: np.ndarray,
        features: Tensor,
        tokens: Tensor | None = None,
        jitter: np.ndarray | float = 0.0,
    ) -> tuple[Memory, Tensor]:
        """Return what the expert reads of some frames, and which text is no padding [B, T]."""
        states = self.normalized('proprio', table['proprio'][rows]) + jitter
        told = [self.domain.instructions[task] for task in table['task'][rows]]
        ids, mask = prompt_ids(self.tokenizer, told, states)
        visual = self.model.project(features)
        return self.model.prefix(visual, ids, mask, positions=tokens), mask

    def save(self) -> None:
        """Write OUT/base.pt, the folder OUT/model and, now and then, the held-out error."""
        super().save()
        if self.held is not None and self.loop.done % MEASURE_EVERY == 0:
            self.measure()

    def save_folder(self) -> None:
        """Write the averaged weights as a LeRobot folder."""
        statistics = self.norm_stats[self.domain.name]
        folder = self.out / 'model'
        save_lerobot_folder(
            folder, self.averaged, statistics, self.tokenizer, CAMERAS, EXECUTE_STEPS
        )

    @torch.inference_mode()
    def measure(self) -> None:
        """
        Add to OUT/held.csv how far sampled chunks are off, L1 in normalised units.

        Of held-out frames: from KEEP visual tokens, from all of them, and the latter by dimension.
        """
        rows = np.linspace(0, len(self.held) - 1, SAMPLES).astype(int)
        parts = np.array_split(rows, SAMPLES // 8)
        few = torch.stack([self.chunk_errors(some, KEEP) for some in parts]).mean(0)
        full = torch.stack([self.chunk_errors(some) for some in parts]).mean(0)
        figures = [few.mean().item(), full.mean().item(), *full.tolist()]
        figures = mean_over_processes(self.accelerator, figures)
        if self.main:
            curve = self.out / 'held.csv'
            header = '' if curve.exists() else f'update,few,all,{",".join(DIMENSIONS)}\n'
            with curve.open('a') as file:
                file.write(
                    header + f'{self.loop.done},' + ','.join(f'{f:.4f}' for f in figures) + '\n'
                )

    def chunk_errors(self, rows: np.ndarray, keep: int | None = None) -> Tensor:
        """Return the errors [A] of the averaged weights' chunks on some held-out frames."""
        table = self.held.table
        features, tokens = torch.from_numpy(self.held.images(rows)).float(), None
        if keep is not None:
            shares = torch.from_numpy(table['shares'][rows]).flatten(1, 2)
            tokens = choose_tokens(shares, keep, self.generator, self.domain)
            features = features.gather(1, tokens[..., None].expand(-1, -1, features.shape[-1]))
        own, self.model = self.model, self.averaged
        memory, _ = self.prefix(table, rows, features, tokens)
        found = sample_chunks(self.averaged, memory, self.generator)
        self.model = own
        wanted = self.normalized('action', table['actions'][rows])
        return (found - torch.from_numpy(wanted)).abs().mean((0, 1))

    def normalized(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return actions or states [..., N] in the model's own numbers, float32."""
        return self.scaling[name].normalize(values).astype(np.float32)

    def _keep_late(self, module, inputs, output: Tensor) -> None:
        self._late = output


def flow_loss(
    model: VLAModel, memory: Memory, chunks: Tensor, generator: torch.Generator
) -> Tensor:
    """
    Return the mean L1 of the velocity of noisy chunks, DRAWS for each of the chunks [B, C, A].

    Times are drawn as LeRobot draws them: Beta(1.5, 1), nearly all of [0, 1], 1 is noise.
    """
    chunks = chunks.repeat_interleave(DRAWS, 0)
    uniform = torch.rand(len(chunks), generator=generator)
    times = 0.001 + 0.999 * uniform ** (1 / 1.5)
    noise = torch.randn(chunks.shape, generator=generator)
    mixed = times[:, None, None] * noise + (1 - times)[:, None, None] * chunks
    found = model.action_head.velocity(mixed, times, repeat(memory, DRAWS))
    return (found - (noise - chunks)).abs().mean()


def repeat(memory: Memory, times: int) -> Memory:
    """Return a memory in which every prefix stands so many times."""
    parts = {
        name: getattr(memory, name).repeat_interleave(times, 0) for name in ('cos', 'sin', 'mask')
    }
    keys, values = (
        [one.repeat_interleave(times, 0) for one in column]
        for column in (memory.keys, memory.values)
    )
    return Memory(keys, values, **parts)


def sample_chunks(model: VLAModel, memory: Memory, generator: torch.Generator) -> Tensor:
    """Return the normalised chunks [B, C, A] that noise becomes in the model's Euler steps."""
    flow = model.config.flow
    x = torch.randn(len(memory.cos), flow.chunk, flow.action_size, generator=generator)
    for step in range(flow.steps):
        times = torch.full((len(x),), 1 - step / flow.steps)
        x = x - model.action_head.velocity(x, times, memory) / flow.steps
    return x
