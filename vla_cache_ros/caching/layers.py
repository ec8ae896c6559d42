# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run a decoder layer on rows against the episode cache: fused, or as transformers does.

Both give the same numbers to float precision; the second is what the first is checked against.
Knows rows and layers, not why a row is there.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.vla import decoder
from vla_cache_ros.vla import fused
from vla_cache_ros.vla.model import VLAModel
from vla_cache_ros.vla.pointwise import PLAIN
from vla_cache_ros.vla.pointwise import Pointwise

Tables = tuple[Tensor, Tensor]


class Layers(Protocol):
    """Run the layers of one decoder against one cache."""

    def rotary(self, tables: Tables) -> Tables:
        """Return cosines and sines `[1, R, head_dim]` in the form that the layers take."""

    def __call__(
        self, index: int, hidden: Tensor, rotary: Tables, mask: Tensor | None, read: Tensor | None
    ) -> Tensor:
        """
        Return one layer's output `[R, D]`, or of the rows `read` `[r]` only.

        Writes the keys and values of all rows `[R, D]` to the slots of the cache's window.
        """


def write_crossed(model: VLAModel, cache: EpisodeCache, index: int) -> None:
    """Bring what an expert's crossed layer reads up to date, for the rows just written."""
    if index in cache.crossed:
        layer, rows = cache.layers[index], cache.window.rows
        new = layer.keys[:, :, rows], layer.values[:, :, rows]
        cache.crossed[index].update(*model.action_head.cross(index, *new))


class FusedLayers:
    """Run `vla.fused`'s layers; pointwise: their passes between the products."""

    def __init__(self, model: VLAModel, cache: EpisodeCache, pointwise: Pointwise = PLAIN) -> None:
        self._layers = fused.fuse(model.language_model, pointwise)
        self._cache = cache

    def rotary(self, tables: Tables) -> Tables:
        """Return `[R, 1, head_dim]`, the sines signed."""
        return fused.signed_rotary(tables[0][0], tables[1][0])

    def __call__(
        self,
        index: int,
        hidden: Tensor,
        rotary: Tables,
        mask: Tensor | None,
        read: Tensor | slice | None,
    ) -> Tensor:
        """Return one layer's output; rows that are not read are left out where possible."""
        exchange = self._cache.layers[index].update
        return self._layers[index](hidden, rotary, mask, exchange, read)


class ReferenceLayers:
    """Run transformers' own layers, every row to the end."""

    def __init__(self, model: VLAModel, cache: EpisodeCache) -> None:
        self._layers = model.language_model.model.layers
        self._cache = cache

    def rotary(self, tables: Tables) -> Tables:
        """Return the tables as they are."""
        return tables

    def __call__(
        self, index: int, hidden: Tensor, rotary: Tables, mask: Tensor | None, read: Tensor | None
    ) -> Tensor:
        """Return one layer's output."""
        layer = self._layers[index]
        hidden = decoder.run_layer(layer, hidden[None], rotary, mask, self._cache.kv)[0]
        return hidden if read is None else hidden[read]
