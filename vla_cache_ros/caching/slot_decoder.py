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

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from vla_cache_ros.caching.attention import Attention
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.layers import FusedLayers
from vla_cache_ros.caching.layers import ReferenceLayers
from vla_cache_ros.caching.layers import Rows
from vla_cache_ros.caching.layers import Tables
from vla_cache_ros.caching.layers import write_crossed
from vla_cache_ros.caching.prompt_slots import PromptSlots
from vla_cache_ros.types import StepPlan
from vla_cache_ros.vla import decoder
from vla_cache_ros.vla.model import VLAModel


@dataclass(frozen=True)
class Recompute:
    """
    Ask for slots of one cache to be recomputed.

    rows: `[R]`, the slots. embeds: `[R, D]`. visual: the slots of images. plan: visual rows, which
    come first, shrink at its layers. probe_layers: whose attention from text to visual tokens goes
    to `cache.attention`. read: rows `[r]`, counted from the end, whose output is wanted, None: of
    all that are left. unseen: `[slots]` added to every row's scores, see `prompt_slots.hide`.
    """

    cache: EpisodeCache
    visual: range
    prompt: PromptSlots
    rows: Tensor
    embeds: Tensor
    plan: StepPlan | None = None
    probe_layers: tuple[int, ...] = ()
    read: Tensor | None = None
    unseen: Tensor | None = None

    def begin(self) -> None:
        """Open the cache's window on the rows."""
        self.cache.window.visible = self.prompt.used
        self.cache.window.rows = self.rows

    def shrink(self, index: int, hidden: Tensor) -> Tensor:
        """Return what of the rows' hidden states `[R, D]` goes on from a layer on."""
        window = self.cache.window
        active = None if self.plan is None else dict(self.plan.layers).get(index)
        if active is None:
            return hidden
        table = torch.ones(self.cache.layers[0].get_max_length(), dtype=torch.bool)
        table[self.visual.start : self.visual.stop] = torch.from_numpy(active)
        keep = table.to(window.rows.device)[window.rows].nonzero()[:, 0]
        window.rows = window.rows[keep]
        return hidden[keep]

    def at(self, last: bool) -> tuple[Tables, Rows]:
        """Return tables and rows as they are now; last: whether this is the last layer."""
        tables, mask = self.prompt.at(self.cache.window.rows, self.unseen)
        count = len(self.cache.window.rows)
        read = None if self.read is None or not last else self.read + count
        return tables, Rows(self.cache, count, mask, read)


class SlotDecoder:
    """Run a model's decoder on slots of caches; capture: with fused layers."""

    def __init__(self, model: VLAModel, capture: bool) -> None:
        self._model, self._text = model, model.language_model.model
        self._layers = (FusedLayers if capture else ReferenceLayers)(model)

    def recompute(self, asked: Sequence[Recompute]) -> list[Tensor]:
        """Return for each cache the hidden states `[r, D]` after the final norm."""
        last = len(self._text.layers) - 1
        cuts = {index for one in asked if one.plan for index, _ in one.plan.layers}
        hidden = torch.cat([one.embeds for one in asked])
        probes: list[dict[int, Tensor]] = [{} for _ in asked]
        for one in asked:
            one.begin()
        for index in range(last + 1):
            if index in cuts:
                counts = [len(one.cache.window.rows) for one in asked]
                split = zip(asked, hidden.split(counts), strict=True)
                hidden = torch.cat([one.shrink(index, rows) for one, rows in split])
            if index in cuts or index in (0, last):
                tables, parts = zip(*(one.at(index == last) for one in asked), strict=True)
                joined = [torch.cat(one, dim=1) for one in zip(*tables, strict=True)]
                rotary = self._layers.rotary(tuple(joined))
            before = hidden.split([part.count for part in parts])
            hidden = self._layers(index, hidden, rotary, parts)
            for place, one in enumerate(asked):
                write_crossed(self._model, one.cache, index)
                if index in one.probe_layers:
                    probes[place][index] = self._text_attention(
                        index, one, before[place], tables[place], parts[place].mask
                    )
        for one, found in zip(asked, probes, strict=True):
            if found:
                one.cache.attention = Attention.gather(found)
        counts = [part.count if part.read is None else len(part.read) for part in parts]
        return list(self._text.norm(hidden).split(counts))

    def _text_attention(
        self, index: int, one: Recompute, hidden: Tensor, rotary: Tables, mask: Tensor | None
    ) -> Tensor:
        """Return the attention `[heads, text, V]` of the text rows, which stand last."""
        text, visual = one.prompt.text, one.visual
        weights = decoder.attention_weights(
            self._text.layers[index],
            hidden[None, -text:],
            (rotary[0][:, -text:], rotary[1][:, -text:]),
            None if mask is None else mask[:, :, -text:],
            one.cache.layers[index].keys[:, :, : one.prompt.used],
        )[0]  # [heads, text, L]
        return weights[..., visual.start : visual.stop]
