# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run a decoder layer on rows against the episode cache: fused, or as transformers does.

Both give the same numbers to float precision; the second is what the first is checked against.
Knows rows and layers, not why a row is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.vla import decoder
from vla_cache_ros.vla import fused
from vla_cache_ros.vla.model import VLAModel

Tables = tuple[Tensor, Tensor]


@dataclass
class Rows:
    """
    Hold rows of one cache at one layer.

    count: how many. mask: `[1, 1, count or 1, L]`, None where each sees all. read: `[r]`, those
    whose output is wanted, None: all.
    """

    cache: EpisodeCache
    count: int
    mask: Tensor | None
    read: Tensor | None = None

    def seen(self, index: int, keys: Tensor, values: Tensor) -> fused.Seen:
        """Write keys and values `[1, heads, count, head_dim]`; return what the rows see."""
        keys, values = self.cache.layers[index].update(keys, values)
        mask = self.mask
        if self.read is None:
            return fused.Seen(self.count, keys, values, mask)
        if mask is not None and mask.shape[2] > 1:
            mask = mask[:, :, self.read]
        return fused.Seen(len(self.read), keys, values, mask)


class Layers(Protocol):
    """Run the layers of one decoder on rows of one cache or of several."""

    def rotary(self, tables: Tables) -> Tables:
        """Return cosines and sines `[1, R, head_dim]` in the form that the layers take."""

    def __call__(
        self, index: int, hidden: Tensor, rotary: Tables, parts: Sequence[Rows]
    ) -> Tensor:
        """
        Return one layer's output `[R, D]`, or of the rows that are read only.

        Writes the keys and values of all rows `[R, D]`, those of the first part first, to the
        slots of each cache's window.
        """


def write_crossed(model: VLAModel, cache: EpisodeCache, index: int) -> None:
    """Bring what an expert's crossed layer reads up to date, for the rows just written."""
    if index in cache.crossed:
        layer, rows = cache.layers[index], cache.window.rows
        new = layer.keys[:, :, rows], layer.values[:, :, rows]
        cache.crossed[index].update(*model.action_head.cross(index, *new))


class FusedLayers:
    """Run `vla.fused`'s layers: the products of all parts at once."""

    def __init__(self, model: VLAModel) -> None:
        self._layers = fused.fuse(model.language_model)

    def rotary(self, tables: Tables) -> Tables:
        """Return `[R, 1, head_dim]`, the sines signed."""
        return fused.signed_rotary(tables[0][0], tables[1][0])

    def __call__(
        self, index: int, hidden: Tensor, rotary: Tables, parts: Sequence[Rows]
    ) -> Tensor:
        """Return one layer's output; rows that are not read are left out where possible."""

        def exchange(keys: Tensor, values: Tensor) -> list[fused.Seen]:
            counts = [part.count for part in parts]
            split = zip(parts, keys.split(counts, 2), values.split(counts, 2), strict=True)
            return [part.seen(index, *one) for part, *one in split]

        return self._layers[index](hidden, rotary, exchange, _read(parts))


class ReferenceLayers:
    """Run transformers' own layers, every row to the end, one part after the other."""

    def __init__(self, model: VLAModel) -> None:
        self._layers = model.language_model.model.layers

    def rotary(self, tables: Tables) -> Tables:
        """Return the tables as they are."""
        return tables

    def __call__(
        self, index: int, hidden: Tensor, rotary: Tables, parts: Sequence[Rows]
    ) -> Tensor:
        """Return one layer's output."""
        done, begin = [], 0
        for part in parts:
            span = slice(begin, begin + part.count)
            tables = rotary[0][:, span], rotary[1][:, span]
            out = decoder.run_layer(
                self._layers[index], hidden[None, span], tables, part.mask, part.cache.kv
            )[0]
            done.append(out if part.read is None else out[part.read])
            begin = span.stop
        return torch.cat(done)


def _read(parts: Sequence[Rows]) -> Tensor | None:
    """Return the rows `[r]` of all parts that are read, None where all are."""
    if all(part.read is None for part in parts):
        return None
    found, begin = [], 0
    for part in parts:
        device = part.cache.window.rows.device
        read = torch.arange(part.count, device=device) if part.read is None else part.read
        found.append(read + begin)
        begin += part.count
    return found[0] if len(found) == 1 else torch.cat(found)
