# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Recompute chosen slots against the episode cache: the one primitive behind every step.

A dense step recomputes all slots, a cached step the active ones, a decoded token one. Each layer
writes the rows' keys and values into their slots and attends to every visible slot: when causal
those at no higher position, in OpenVLA-OFT and flow models all. Knows neither why a slot is
active nor what an action means.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.caching.attention import Attention
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.layers import FusedLayers
from vla_cache_ros.caching.layers import ReferenceLayers
from vla_cache_ros.caching.layers import write_crossed
from vla_cache_ros.caching.layout import SlotLayout
from vla_cache_ros.caching.prompt_slots import PromptSlots
from vla_cache_ros.types import StepPlan
from vla_cache_ros.vla import decoder
from vla_cache_ros.vla.model import VLAModel


class SlotDecoder:
    """Run a model's decoder on slots of one cache; capture: with fused layers."""

    def __init__(
        self, model: VLAModel, layout: SlotLayout, cache: EpisodeCache, capture: bool
    ) -> None:
        self._model, self._text = model, model.language_model.model
        self._layout = layout
        self._cache = cache
        self._layers = (FusedLayers if capture else ReferenceLayers)(model, cache)

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
        """
        Recompute the slots `rows` `[R]` against the cache, from their embeddings `[R, D]`.

        With a plan the visual rows, which come first, shrink at the plan's layers. probe_layers:
        whose attention from text to visual tokens goes to `cache.attention`. unseen: `[slots]`
        added to every row's scores, see `prompt_slots.hide`. Returns the hidden states after the
        final norm: of the rows `read` `[r]`, counted from the end, or of all that are left.
        """
        cache, last = self._cache, len(self._cache.layers) - 1
        cuts = dict(plan.layers) if plan is not None else {}
        cache.window.visible = prompt.used
        cache.window.rows = rows
        hidden = embeds
        probes: dict[int, Tensor] = {}
        tables, mask = prompt.at(rows, unseen)
        rotary = self._layers.rotary(tables)
        for index in range(last + 1):
            if index in cuts:
                keep = self._kept(rows, cuts[index])
                cache.window.rows = rows = rows[keep]
                hidden = hidden[keep]
                tables, mask = prompt.at(rows, unseen)
                rotary = self._layers.rotary(tables)
            before = hidden
            wanted = read + len(rows) if index == last and read is not None else None
            hidden = self._layers(index, hidden, rotary, mask, wanted)
            write_crossed(self._model, cache, index)
            if index in probe_layers:
                probes[index] = self._text_attention(index, prompt, before, tables, mask)
        if probes:
            cache.attention = Attention.gather(probes)
        return self._text.norm(hidden)

    def _kept(self, rows: Tensor, active: np.ndarray) -> Tensor:
        """Return the indices of the rows that are active or not visual."""
        visual = self._layout.visual
        table = torch.ones(self._cache.layers[0].get_max_length(), dtype=torch.bool)
        table[visual.start : visual.stop] = torch.from_numpy(active)
        return table.to(rows.device)[rows].nonzero()[:, 0]

    def _text_attention(
        self,
        index: int,
        prompt: PromptSlots,
        hidden: Tensor,
        rotary: tuple[Tensor, Tensor],
        mask: Tensor | None,
    ) -> Tensor:
        """Return the attention `[heads, text, V]` of the text rows, which stand last."""
        text, visual = prompt.text, self._layout.visual
        weights = decoder.attention_weights(
            self._text.layers[index],
            hidden[None, -text:],
            (rotary[0][:, -text:], rotary[1][:, -text:]),
            None if mask is None else mask[:, :, -text:],
            self._cache.layers[index].keys[:, :, : prompt.used],
        )[0]  # [heads, text, L]
        return weights[..., visual.start : visual.stop]
