# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Hold what recorded steps work on: a lane for each session of a model, at addresses that stay.

A batch works on some of the lanes at a time; which ones is a number on the device, so that one
graph serves all. Where there are several lanes, one more takes what pads a batch. Knows neither
when a step is due nor what it decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
import weakref

import torch
from torch import Tensor
from vla_cache_ros.caching.denoising import Denoiser
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.episode_cache import SlotPool
from vla_cache_ros.caching.layout import SlotLayout
from vla_cache_ros.caching.prompt_slots import PromptSlots
from vla_cache_ros.caching.recording.graphs import Recorder
from vla_cache_ros.vla import fused
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.model import VLAModel
from vla_cache_ros.vla.pointwise import Pointwise

SMALL = 8  # rows: a pass over action tokens


class Lanes:
    """
    Hold the lanes of a model's sessions.

    pool: keys and values. embeds: of every slot `[lanes, slots, D]`. cos, sin: `[lanes, slots,
    head_dim]`. mask: `[lanes, slots, slots]`, None where all slots see each other. behind: an
    expert's tables `[lanes, rows, head_dim]`. film: of each tower `[lanes, blocks, 2, 1, D]`.
    reads: rows, those that stand last, that the head reads. spare: the lane of padding.
    """

    def __init__(
        self,
        model: VLAModel,
        layout: SlotLayout,
        images: ImagePreprocessor,
        recorder: Recorder,
        pointwise: Pointwise,
        flow_steps: int | None,
        guesses: int,
        sessions: int,
    ) -> None:
        """
        Make room.

        layout: of all sessions. images: what normalises pixels. recorder: turns work into graphs.
        pointwise: passes between products. flow_steps: see `SlotEngine`. guesses: tokens of an
        action that are guessed. sessions: how many lanes, besides the spare one.
        """
        config = model.config
        self.model, self.config, self.guesses = model, config, guesses
        self.recorder, self.pointwise = recorder, pointwise
        self.device, self.dtype = model.like.device, model.like.dtype
        self.sessions = sessions
        self.places = sessions + (sessions > 1)
        self.spare = self.places - 1
        self.layers = fused.fuse(model.language_model, pointwise)
        self.reads = layout.actions if config.bidirectional else 1
        if config.decodes_tokens:
            self.reads = SMALL  # in the prefill too, so that one head graph serves both
        self.denoiser = Denoiser(model, flow_steps, pointwise) if config.flow else None
        self.levels: Tensor | None = None
        if not config.flow:
            self.levels = torch.from_numpy(images.levels).to(self.device, self.dtype)
        crossed = config.flow.crossed_layers if config.flow else ()
        like = model.like.detach()
        self.pool = SlotPool(model.language_model.config, layout.size, like, crossed, self.places)
        zeros = like.new_zeros(1, config.hidden_dim)
        self.film = [
            torch.zeros_like(one).expand(self.places, *one.shape).clone()
            for one in model.vision_backbone.modulation(zeros)
        ]
        self.batches: dict[int, Any] = {}  # size -> what runs so many lanes at a time
        # of the sessions, whose caches move when a prompt needs more room
        self.caches: weakref.WeakSet[EpisodeCache] = weakref.WeakSet()
        self._allocate(layout)

    def _allocate(self, layout: SlotLayout) -> None:
        self.layout = layout
        like = self.pool.layers[0][0]  # [lanes, heads, slots, head_dim]
        places, slots = self.places, layout.size
        self.embeds = like.new_zeros(places, slots, self.config.hidden_dim)
        self.cos = like.new_zeros(places, slots, like.shape[3])
        self.sin = torch.zeros_like(self.cos)
        self.mask = None
        if not self.config.bidirectional or layout.state_last:
            self.mask = like.new_zeros(places, slots, slots)
        self.behind: list[Tensor] = []
        if self.denoiser is not None:
            rows = self.model.action_head.rows
            self.behind = [like.new_zeros(places, rows, like.shape[3]) for _ in range(2)]

    def grow(self, layout: SlotLayout) -> None:
        """Make room for longer prompts; what is cached of the images stays."""
        before, kept = self.embeds, layout.text.start
        if self.device.type == 'cuda' and torch.cuda.is_available():
            torch.cuda.synchronize(self.device)  # a look may still run
        self.pool.grow(layout.size, kept)
        self._allocate(layout)
        self.embeds[:, :kept] = before[:, :kept]  # of a look that may have begun
        for cache in self.caches:
            cache.attach()
        for batch in self.batches.values():
            batch.fit()

    def house(self, tokens: int, place: int, towers: Sequence[Tensor]) -> EpisodeCache:
        """Return the cache of a new session in a lane, where nothing is left of the last one."""
        cache = EpisodeCache(tokens, self.pool, towers, place)
        for layer in (*cache.layers, *cache.crossed.values()):
            layer.keys.zero_()
            layer.values.zero_()
        self.caches.add(cache)
        return cache

    def load(self, place: int, prompt: PromptSlots, before: PromptSlots | None) -> None:
        """Copy to a lane what depends on the instruction; before: what was copied last."""
        used = prompt.used
        if before is None or before.cos is not prompt.cos:
            self.cos[place, :used], self.sin[place, :used] = prompt.cos, prompt.sin
            if self.mask is not None:
                self.mask[place, :used, :used] = prompt.mask
            if prompt.behind is not None:
                for buffer, table in zip(self.behind, prompt.behind, strict=True):
                    buffer[place] = table[0]
        for buffer, film in zip(self.film, prompt.film, strict=True):
            buffer[place] = film
        self.embeds[place, prompt.rows] = prompt.embeds

    def normalized(self, pixels: Tensor) -> Tensor:
        """Map pictures as B sessions' engines encode them to `[B * cams, channels, H, W]`."""
        if self.levels is None:
            return pixels.unflatten(1, (self.layout.cameras, -1)).flatten(0, 1).to(self.dtype)
        planes = pixels.flatten(0, 1).permute(0, 3, 1, 2).long()  # [B * cams, 3, 224, 224]
        return torch.cat(
            [
                torch.stack([row[planes[:, i]] for i, row in enumerate(rows)], dim=1)
                for rows in self.levels.split(3)
            ],
            dim=1,
        )
