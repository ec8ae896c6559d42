# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Compute every array that a golden sample of SmolVLA, pi0 or pi0.5 may hold, from its inputs alone.

Prompts, keys, values and actions come from the folder's processors and the slot engine, as a robot
would get them; velocities from the expert beside a prefix without slots. The reference computes
rows for padding and absent cameras too, which mean nothing: `flow_arrays` leaves them out of both
sides. Knows nothing of tolerances.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F
from vla_cache_ros.caching.denoising import Denoiser
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.plans import full_plan
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.flow.guidance import Guidance
from vla_cache_ros.vla.flow.guidance import RealTimeChunking
from vla_cache_ros.vla.flow.sampler import FlowSampler

Arrays = dict[str, np.ndarray]
FAMILIES = ('smolvla', 'pi0', 'pi05')
_INPUTS = ('state', 'noise', 'prefix_layers')
_NEEDED = (*_INPUTS, 'lang_mask', 'prefix_pad_masks')


@torch.inference_mode()
def flow_arrays(
    loaded: LoadedVLA, sample: Mapping[str, np.ndarray], entry: Mapping[str, Any]
) -> tuple[Arrays, Arrays]:
    """
    Return a sample's arrays and what is found here, both without the rows that mean nothing.

    entry: of the manifest: the instruction, and settings of real-time chunking where it has `rtc`.
    Raises CheckpointError for a sample that lacks an input.
    """
    names = loaded.camera_names
    pictures = tuple(f'image_{name}' for name in names)
    needed = (*pictures, *_NEEDED, *(['prev_chunk_left_over'] if entry.get('rtc') else []))
    missing = [name for name in needed if name not in sample]
    missing += [name for name in ('instruction',) if name not in entry]
    if missing:
        raise CheckpointError(f'{entry.get("file")}: expected {missing}, found {[*sample]}')
    step = _Step(loaded, sample, entry)
    found = {name: np.asarray(value) for name, value in step.arrays().items()}
    wanted = {name: _real(name, value, sample, len(names)) for name, value in sample.items()}
    given = (*pictures, *_INPUTS, 'prev_chunk_left_over')
    return {name: value for name, value in wanted.items() if name not in given}, found


class _Step:
    """Hold one dense step: what went in, and what engine and model made of it."""

    def __init__(
        self, loaded: LoadedVLA, sample: Mapping[str, np.ndarray], entry: Mapping[str, Any]
    ) -> None:
        self.loaded, self.model, self.sample = loaded, loaded.model, sample
        self.flow = loaded.config.flow
        statistics = loaded.statistics()
        images = [sample[f'image_{name}'] for name in loaded.camera_names]
        self.state = statistics.normalize_proprio(sample['state'])
        self.ids = loaded.prompt_ids(entry['instruction'], self.state)
        self.guidance = self._guidance(entry)
        self.engine = SlotEngine(self.model, images=loaded.images, text_capacity=len(self.ids))
        pixels = loaded.images.see(images)
        self.values = self.engine.encode(pixels, images)
        plan = full_plan(self.engine.layout.visual_tokens, 'first_step')
        self.engine.step(pixels, self.values, self.ids, self.state, plan)
        self.prompt = self.engine.prompt(self.ids)
        positions = self.engine.layout.positions(self.prompt.text)
        self.order = torch.from_numpy(np.argsort(positions))  # slots, as the reference has them

    def _guidance(self, entry: Mapping[str, Any]) -> Guidance | None:
        settings = entry.get('rtc')
        if not settings:
            return None
        chunking = RealTimeChunking(
            settings['execution_horizon'], settings['schedule'], settings['max_guidance_weight']
        )
        left = torch.from_numpy(self.sample['prev_chunk_left_over'][0])
        delay = settings['inference_delay']
        return chunking.guide(left, delay, self.flow.chunk, self.flow.action_size)

    def arrays(self) -> dict[str, Any]:
        """Return all that is found, by the names of the samples."""
        return {**self._inputs(), **self._prefix(), **self._expert(), **self._chunk()}

    def _inputs(self) -> dict[str, Any]:
        config, sample = self.loaded.config, self.sample
        cameras = config.cameras
        pictures = self.values.unflatten(1, (cameras, 3))[0]
        features = self.model.vision_features(self.values).unflatten(1, (cameras, -1))[0]
        tower = _ungrouped(features, config.towers[0].group)
        found = {
            'lang_tokens': np.array([self.ids]),
            'lang_mask': np.arange(sample['lang_mask'].shape[1])[None] < len(self.ids),
            'state_normalized': self.state[None],
            'image_embeds': self.model.projector(features)[:, None],
            'image_masks': np.ones((cameras, 1), bool),
        }
        for every in (4, 8, 16):
            found[f'pixel_values_every_{every}th'] = pictures[:, None, :, ::every, ::every]
            found[f'tower_every_{every}th'] = tower[:, None, ::every]
        return found

    def _prefix(self) -> dict[str, Any]:
        layers = [self.engine.cache.layers[i] for i in self.sample['prefix_layers']]
        rows, seen = len(self.order), self.prompt.mask
        if seen is None:
            seen = torch.zeros(rows, rows)
        words = self.model.embed_text(torch.tensor([self.ids]))
        state = torch.from_numpy(self.state)[None]
        texts = np.arange(self.sample['lang_mask'].shape[1]) < len(self.ids)
        cameras = np.arange(len(self.sample.get('image_masks', self.loaded.camera_names)))
        there = np.repeat(cameras < self.loaded.config.cameras, self.loaded.config.tokens)
        there = np.concatenate([there, texts, [True] * self.flow.state_slot])
        parts = [self.model.project(self.model.vision_features(self.values)), words]
        if self.flow.state_slot:
            parts.append(self.model.embed_state(state)[:, None])
        last = np.arange(rows) == rows - 1
        return {
            'prefix_embs': torch.cat(parts, dim=1),
            'lang_embeds': words,
            'prefix_pad_masks': there[None],
            'prefix_att_masks': (last & self.flow.state_slot)[None],
            'prefix_position_ids': np.arange(rows)[None],
            'prefix_mask': (seen[self.order][:, self.order] == 0)[None],
            'prefix_keys': torch.stack([one.keys[:, :, self.order] for one in layers]),
            'prefix_values': torch.stack([one.values[:, :, self.order] for one in layers]),
        }

    def _expert(self) -> dict[str, Any]:
        """Return what the expert does at the first time, 1."""
        expert, rows = self.model.action_head, len(self.order)
        noise = torch.from_numpy(self.sample['noise'])
        time, state = torch.ones(1), self._padded_state()[None]
        first = expert.embed(noise, time)
        if self.flow.state_row:
            first = torch.cat([expert.state_proj(state)[:, None], first], dim=1)
        mask = expert.mask(None, rows, first)
        allowed = torch.ones(1, 1, expert.rows, rows + expert.rows) if mask is None else mask == 0
        self.memory = self.model.prefix(
            self.model.project(self.model.vision_features(self.values)),
            torch.tensor([self.ids]),
            torch.ones(1, len(self.ids), dtype=torch.bool),
            torch.from_numpy(self.state)[None],
        )
        found = {
            'suffix_embs_first': first,
            'suffix_position_ids': rows + np.arange(expert.rows)[None],
            'suffix_mask': allowed[:, 0],
            'suffix_allowed': allowed,
            'velocity_first': expert.velocity(noise, time, self.memory, state),
        }
        if self.flow.adaptive:
            found['adarms_cond_first'] = expert.condition(time)
        return found

    def _chunk(self) -> dict[str, Any]:
        """Return the denoised chunk: each step beside the prefix, the end from the cache."""
        noise, state = torch.from_numpy(self.sample['noise'][0]), torch.from_numpy(self.state)
        trace: list[tuple[Tensor, Tensor]] = []
        sampler = FlowSampler(self.model.action_head)
        given = noise[None], self._padded_state()[None], [self.guidance]
        sampler([self.memory], *given, trace)
        denoiser, prompt = Denoiser(self.model, None), self.prompt
        memory = denoiser.memory(self.engine.cache, prompt.used, prompt.behind, None)
        given = [memory], state[None], noise[None], [self.guidance]
        normalized = denoiser.actions(*given)[0]
        actions = self.loaded.statistics().to_actions(normalized, self.sample['state'])
        return {
            'x_t': torch.cat([x for x, _ in trace]),
            'velocities': torch.cat([velocity for _, velocity in trace]),
            'actions_normalized': normalized[None],
            'actions': actions[None],
        }

    def _padded_state(self) -> Tensor:
        return F.pad(torch.from_numpy(self.state), (0, self.flow.state_size - len(self.state)))


def _ungrouped(features: Tensor, group: int) -> Tensor:
    """Map features `[cams, tokens, group**2 * D]` to those of patches `[cams, N, D]`, raster."""
    side = round(features.shape[1] ** 0.5)
    cells = features.unflatten(1, (side, side)).unflatten(3, (group, group, -1))
    return cells.transpose(2, 3).flatten(1, 4)


def _real(
    name: str, value: np.ndarray, sample: Mapping[str, np.ndarray], cameras: int
) -> np.ndarray:
    """Return an array of a sample without rows of padding and of cameras that are not there."""
    rows = sample['prefix_pad_masks'][0]
    own = np.ones(sample['noise'].shape[1] + 1, bool)  # of the expert
    cut: Callable[[np.ndarray], np.ndarray] | None = {
        'lang_tokens': lambda a: a[:, sample['lang_mask'][0]],
        'lang_embeds': lambda a: a[:, sample['lang_mask'][0]],
        'image_embeds': lambda a: a[:cameras],
        'image_masks': lambda a: a[:cameras],
        'prefix_mask': lambda a: a[:, rows][:, :, rows],
        'prefix_keys': lambda a: a[:, :, :, rows],
        'prefix_values': lambda a: a[:, :, :, rows],
        **dict.fromkeys(
            ('suffix_mask', 'suffix_allowed'),
            lambda a: a[..., np.concatenate([rows, own[: a.shape[-1] - len(rows)]])],
        ),
        **dict.fromkeys(
            ('prefix_embs', 'prefix_att_masks', 'prefix_position_ids'),
            lambda a: a[:, rows],
        ),
    }.get(name)
    if cut is not None:
        return cut(value)
    return value[:cameras] if name.startswith(('pixel_values_', 'tower_')) else value
