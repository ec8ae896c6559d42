# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Keep the keys and values of every slot for one episode, and where the visual ones came from.

Owns its buffers: they are allocated once and overwritten in place, so memory does not grow. Says
whether they may be trusted and, if not, why. Knows nothing of gates or of what a slot holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor
from transformers import Cache
from transformers import PreTrainedConfig
from transformers.cache_utils import CacheLayerMixin
from vla_cache_ros.caching.attention import Attention
from vla_cache_ros.caching.provenance import Provenance


class Invalidation(StrEnum):
    """Name the reasons for which nothing in the cache may be used again."""

    EPISODE_RESET = 'episode_reset'
    DEACTIVATED = 'deactivated'
    CAMERA_COUNT_CHANGED = 'camera_count_changed'
    RESOLUTION_CHANGED = 'resolution_changed'
    CLOCK_JUMPED_BACK = 'clock_jumped_back'
    GAP_TOO_LONG = 'gap_too_long'
    NON_FINITE_OUTPUT = 'non_finite_output'
    STEP_FAILED = 'step_failed'
    NEW_INSTRUCTION = 'new_instruction'
    DRIFT = 'drift'
    HANDED_BACK = 'handed_back'
    RECONNECTED = 'reconnected'


@dataclass
class Window:
    """Say what the layers touch now: the `rows` [R] they write, the first `visible` slots."""

    rows: Tensor
    visible: int


class SlotPool:
    """
    Hold the keys and values of some places, for one episode each.

    layers: of each decoder layer a pair `[places, heads, slots, head_dim]`; crossed: likewise what
    an expert's crossed layers read in place of a decoder layer's, by its index.
    """

    def __init__(
        self,
        config: PreTrainedConfig,
        slots: int,
        like: Tensor,
        crossed: Sequence[int] = (),
        places: int = 1,
    ) -> None:
        head_dim = getattr(config, 'head_dim', None)
        head_dim = head_dim or config.hidden_size // config.num_attention_heads
        shape = places, config.num_key_value_heads, slots, head_dim

        def pair() -> tuple[Tensor, Tensor]:
            return like.new_zeros(shape), like.new_zeros(shape)

        self.layers = [pair() for _ in range(config.num_hidden_layers)]
        self.crossed = {index: pair() for index in crossed}

    def grow(self, slots: int, kept: int) -> None:
        """Hold so many slots; the first `kept` stay. Caches have to be attached anew."""

        def grown(one: Tensor) -> Tensor:
            new = one.new_zeros(*one.shape[:2], slots, one.shape[3])
            new[:, :, :kept] = one[:, :, :kept]
            return new

        self.layers = [(grown(keys), grown(values)) for keys, values in self.layers]
        self.crossed = {
            i: (grown(keys), grown(values)) for i, (keys, values) in self.crossed.items()
        }


class SlotLayer(CacheLayerMixin):
    """Hold one layer's keys and values `[1, heads, slots, head_dim]`; writes go to any slot."""

    def __init__(self, window: Window, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.window = window
        self.keys, self.values = keys, values
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Do nothing: the buffers exist from the start."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write `[1, heads, R, head_dim]` at the window's rows; return all visible slots."""
        window = self.window
        self.keys.index_copy_(2, window.rows, key_states)
        self.values.index_copy_(2, window.rows, value_states)
        return self.keys[:, :, : window.visible], self.values[:, :, : window.visible]

    def get_seq_length(self) -> int:
        """Return the number of visible slots."""
        return self.window.visible

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the visible slots and their offset."""
        return self.window.visible, 0

    def get_max_length(self) -> int:
        """Return the number of slots."""
        return self.keys.shape[2]

    # the older name of the same method, abstract in some releases of transformers
    get_max_cache_shape = get_max_length


class EpisodeCache(Provenance):
    """
    Hold keys, values and provenance of one episode.

    layers: per decoder layer. crossed: what an expert's crossed layers read in place of a decoder
    layer's keys and values, by its index. towers: keys and values inside the vision towers.
    attention: the last probe, or None. invalidations: how often each cause came.
    """

    def __init__(
        self, tokens: int, pool: SlotPool, towers: Sequence[Tensor], place: int = 0
    ) -> None:
        """Take the number of visual tokens, and a place of the pool."""
        super().__init__(tokens)
        self._pool, self._place = pool, place
        keys = pool.layers[0][0]
        self.window = Window(torch.empty(0, dtype=torch.long, device=keys.device), 0)
        self.attach()
        self.towers = list(towers)
        self.dtype = keys.dtype
        self.attention: Attention | None = None
        self.invalidations: Counter[str] = Counter()

    def attach(self) -> None:
        """Find what the pool holds now."""
        span = slice(self._place, self._place + 1)

        def layer(keys: Tensor, values: Tensor) -> SlotLayer:
            return SlotLayer(self.window, keys[span], values[span])

        self.layers = [layer(*pair) for pair in self._pool.layers]
        self.crossed = {index: layer(*pair) for index, pair in self._pool.crossed.items()}
        self.kv = Cache(layers=self.layers)

    def invalidate(self, cause: str) -> None:
        """
        Forbid all reuse, and count the cause (one of `Invalidation`).

        An episode reset also starts the steps at 0. The buffers are cleared: a non-finite value
        left in a masked slot would still poison a product with a weight of zero.
        """
        cause = Invalidation(cause)
        self.invalidations[cause.value] += 1
        self.cause = cause.value
        self.valid = False
        self.attention = None
        self.produced_step.fill(-1)
        if cause is Invalidation.EPISODE_RESET:
            self.step = 0
            # Tokens that the first step leaves out would else be compared with the last episode.
            self.pixels.fill(0)
        for buffer in self._buffers():
            buffer.zero_()

    def grow(self, slots: int, kept: int) -> None:
        """Give every layer so many slots; the first `kept` hold what they held."""
        self._pool.grow(slots, kept)
        self.attach()

    def memory_bytes(self) -> int:
        """Return the size of the keys and values."""
        return sum(buffer.nbytes for buffer in self._buffers())

    def _buffers(self) -> Iterator[Tensor]:
        yield from self.towers
        for layer in (*self.layers, *self.crossed.values()):
            yield from (layer.keys, layer.values)
