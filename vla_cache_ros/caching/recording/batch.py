# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run a step of some lanes as recorded graphs: pixels and plans go up, actions come down.

Three kinds of graph follow each other on the GPU's queue: *look* (pixels to the decoder's
embeddings, both towers side by side), *decoder* in one of a short list of row counts, and *head*.
Each lane's rows are padded to the next count; padding works on a slot that nobody sees, and slots
that hold nothing are hidden by a bias in place of a cut. A step copies three times: pixels, plan,
actions; each pass of parallel decoding twice more.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.caching.decoding import summary
from vla_cache_ros.caching.recording.graphs import Work
from vla_cache_ros.caching.recording.lanes import Lanes
from vla_cache_ros.caching.recording.lanes import SMALL
from vla_cache_ros.caching.recording.staging import Staging
from vla_cache_ros.vla import fused
from vla_cache_ros.vla.flow.expert import Memory
from vla_cache_ros.vla.flow.guidance import Guidance

BUCKET = 32  # rows: a tile of the matrix units
LOOK, HEAD, PASS = 'look', 'head', 'pass'


@dataclass(frozen=True)
class Lane:
    """
    Hold what one session's step brings.

    place: its lane. rows: slots, those that are read last. used: slots that hold something.
    absent: bool `[V]`, those of them that hold nothing. tokens: of the action, said or guessed.
    proprio: normalised `[P]`. noise: of the head.
    """

    place: int
    rows: np.ndarray
    used: int
    absent: np.ndarray
    tokens: Sequence[int] = ()
    proprio: np.ndarray | None = None
    noise: Tensor | None = None
    guidance: Guidance | None = None


class Batch:
    """Hold what `size` lanes at a time exchange with the device, and their graphs."""

    def __init__(self, lanes: Lanes, size: int) -> None:
        self._lanes, self._size = lanes, size
        layout, config = lanes.layout, lanes.config
        side = config.image_size
        kind, picture = np.uint8, (layout.cameras, 224, 224, 3)
        if config.flow:
            kind, picture = np.float32, (layout.cameras * config.channels, side, side)
        which = {'lanes': (np.int64, (size,))}
        self.pixels = Staging({'pixels': (kind, (size, *picture)), **which}, lanes.device)
        out = (
            (2, lanes.reads)
            if lanes.model.action_head is None
            else (config.chunk, config.action_dim)
        )
        self.out = Staging({'out': (np.float32, (size, *out))}, lanes.device)
        self.fit()

    def fit(self) -> None:
        """Make what depends on the layout, which has changed; nothing of it is recorded yet."""
        lanes, size = self._lanes, self._size
        layout, config, head = lanes.layout, lanes.config, lanes.model.action_head
        self._graphs: dict[str | int, Work] = {}
        self._hidden = lanes.embeds.new_zeros(size, lanes.reads, config.hidden_dim)
        plan = {
            'lanes': (np.int64, (size,)),
            'rows': (np.int64, (size, bucket(layout.size))),
            'unseen': (np.float32, (size, layout.size)),
            'tokens': (np.int64, (size, SMALL)),
            'proprio': (np.float32, (size, max(1, config.proprio_dim))),
        }
        noise = None if head is None else head.noise(0, 0)
        if noise is not None:
            plan['noise'] = (np.float32, (size, *noise.shape))
        if lanes.denoiser is not None:
            fields = lanes.denoiser.fields
            plan |= {name: (kind, (size, *shape)) for name, (kind, shape) in fields.items()}
        self.plan = Staging(plan, lanes.device)
        self._idle()

    def _idle(self) -> None:
        """Put every lane of the batch where nothing can be harmed."""
        for staging in (self.pixels, self.plan):
            staging.ready()['lanes'].fill(self._lanes.spare)
        self.plan.host['rows'].fill(self._lanes.layout.spare)

    def look(self, asked: Sequence[tuple[int, np.ndarray | Tensor]]) -> None:
        """Start the towers on pictures of lanes."""
        host = self.pixels.ready()
        host['lanes'].fill(self._lanes.spare)
        for index, (place, pixels) in enumerate(asked):
            host['lanes'][index] = place
            host['pixels'][index] = pixels if self._lanes.levels is not None else pixels[0]
        self.pixels.send()
        self._graph(LOOK, self._look)()

    def step(self, asked: Sequence[Lane], lap: Callable[[str], None]) -> list[np.ndarray]:
        """Recompute rows of lanes, run the head; return what it gives of each, float32."""
        size = bucket(max(len(lane.rows) for lane in asked))
        self._stage(asked, size)
        self._graph(size, lambda: self._decoder_rows(size))()
        lap('decoder')
        return self._head_of(asked)

    def proceed(self, asked: Sequence[Lane]) -> list[np.ndarray]:
        """Recompute slots of action tokens, and return what is said after them."""
        self._stage(asked, SMALL)
        self._graph(PASS, self._pass)()
        return self._head_of(asked)

    def prepare(self, look: bool) -> None:
        """Record every shape that a step can take; look: whether towers run whole."""
        lanes = self._lanes
        self._idle()
        self.pixels.send()
        self.plan.send()
        if look:
            self._graph(LOOK, self._look)
        for size in range(bucket(max(1, lanes.reads)), bucket(lanes.layout.size) + 1, BUCKET):
            self._graph(size, lambda size=size: self._decoder_rows(size))
        if lanes.config.decodes_tokens:
            self._graph(PASS, self._pass)
        self._graph(HEAD, self._head)

    def _stage(self, asked: Sequence[Lane], size: int) -> None:
        lanes, host = self._lanes, self.plan.ready()
        visual, anew = lanes.layout.visual, False
        host['lanes'].fill(lanes.spare)
        host['rows'][:, :size] = lanes.layout.spare
        host['tokens'].fill(0)
        for index, lane in enumerate(asked):
            host['lanes'][index] = lane.place
            host['rows'][index, size - len(lane.rows) : size] = lane.rows
            unseen = host['unseen'][index]
            unseen[: lane.used] = 0
            unseen[lane.used :] = -np.inf
            unseen[visual.start : visual.stop][lane.absent] = -np.inf
            if size == SMALL:
                host['tokens'][index, SMALL - len(lane.tokens) :] = lane.tokens
            else:
                host['tokens'][index, : len(lane.tokens)] = lane.tokens
            if lane.proprio is not None:
                host['proprio'][index] = lane.proprio
            if lane.noise is not None:
                host['noise'][index] = lane.noise.numpy()
            if lanes.denoiser is not None:
                fields = {name: host[name][index] for name in lanes.denoiser.fields}
                anew |= lanes.denoiser.stage(fields, lane.guidance)
        if anew:
            self._graphs.pop(HEAD, None)  # it holds a number that has changed
        self.plan.send()

    def _head_of(self, asked: Sequence[Lane]) -> list[np.ndarray]:
        self._graph(HEAD, self._head)()
        return list(self.out.fetch()['out'][: len(asked)].copy())

    def _look(self) -> None:
        lanes, given = self._lanes, self.pixels.device
        images = lanes.normalized(given['pixels'])  # [B * cams, channels, H, W]
        backbone, cameras = lanes.model.vision_backbone, lanes.layout.cameras
        films = [
            one[given['lanes']].permute(1, 2, 0, 3, 4).repeat_interleave(cameras, 2)
            for one in lanes.film
        ]  # [blocks, 2, B * cams, 1, D]
        towers, films = backbone.towers(), backbone.by_tower(films)

        def run(index: int) -> Tensor:
            one = images[:, 3 * index : 3 * index + 3]
            return towers[index](one, film=films[index])  # [B * cams, tokens, width]

        parts = lanes.recorder.together(
            [lambda index=index: run(index) for index in range(len(towers))]
        )
        visual = lanes.model.project(torch.cat(parts, dim=-1).flatten(0, 1))
        span = lanes.layout.visual
        by_lane = visual.unflatten(0, (self._size, -1))  # [B, V, D]
        lanes.embeds[given['lanes'], span.start : span.stop] = by_lane

    def _decoder_rows(self, size: int) -> None:
        """Embed what is new besides images, then recompute rows."""
        lanes, given = self._lanes, self.plan.device
        which, layout, embeds = given['lanes'], lanes.layout, lanes.embeds
        if layout.proprio:
            state = given['proprio'].to(embeds.dtype)
            embeds[which, layout.proprio_slots.start] = lanes.model.embed_state(state)
        if lanes.guesses:
            start = layout.action_slots.start
            said = lanes.model.embed_text(given['tokens'][:, : lanes.guesses])
            slots = torch.arange(start, start + lanes.guesses, device=lanes.device)
            embeds[which[:, None], slots] = said
        self._recompute(given['rows'][:, :size])

    def _pass(self) -> None:
        """Recompute slots of action tokens."""
        lanes, given = self._lanes, self.plan.device
        rows = given['rows'][:, :SMALL]
        lanes.embeds[given['lanes'][:, None], rows] = lanes.model.embed_text(given['tokens'])
        self._recompute(rows)

    def _recompute(self, rows: Tensor) -> None:
        """Recompute slots `[B, R]`; what is read of them goes to `_hidden`."""
        lanes, which = self._lanes, self.plan.device['lanes']
        unseen = self.plan.device['unseen'].to(lanes.dtype)
        mask = unseen[:, None, None]  # [B, 1, 1, slots]
        if lanes.mask is not None:
            mask = mask + lanes.mask[which[:, None], rows][:, None]  # [B, 1, R, slots]
        tables = (one[which[:, None], rows].flatten(0, 1) for one in (lanes.cos, lanes.sin))
        rotary = fused.signed_rotary(*tables)
        hidden = lanes.embeds[which[:, None], rows].flatten(0, 1)  # [B * R, D]
        b, r = rows.shape
        last = r - lanes.reads + torch.arange(lanes.reads, device=lanes.device)
        read = (r * torch.arange(b, device=lanes.device)[:, None] + last).flatten()
        for index, layer in enumerate(lanes.layers):
            final = index == len(lanes.layers) - 1
            wanted, seen_mask = (read, mask) if final else (None, mask)
            if final and mask.shape[2] > 1:
                seen_mask = mask[:, :, last]

            def exchange(
                keys: Tensor,
                values: Tensor,
                index: int = index,
                mask: Tensor = seen_mask,
                count: int = b * (lanes.reads if final else r),
            ) -> list[fused.Seen]:
                self._write(lanes.pool.layers[index], rows, keys, values)
                return [fused.Seen(count, *self._of_lanes(lanes.pool.layers[index]), mask)]

            hidden = layer(hidden, rotary, exchange, wanted)
            if index in lanes.pool.crossed:
                pair = (self._rows_of(one, rows) for one in lanes.pool.layers[index])
                crossed = lanes.model.action_head.cross(index, *pair)  # [B, kv, R, head_dim]
                merged = (one.transpose(0, 1).flatten(1, 2)[None] for one in crossed)
                self._write(lanes.pool.crossed[index], rows, *merged)
        if lanes.denoiser is not None:
            return
        norm = lanes.model.language_model.model.norm
        hidden = lanes.pointwise.rms_norm(hidden, norm.weight, norm.variance_epsilon)
        self._hidden.copy_(hidden.unflatten(0, (b, -1)))

    def _write(
        self, pair: tuple[Tensor, Tensor], rows: Tensor, keys: Tensor, values: Tensor
    ) -> None:
        """Write keys and values `[1, heads, B * R, head_dim]` to the lanes' rows `[B, R]`."""
        for buffer, new in zip(pair, (keys, values), strict=True):
            if self._lanes.places == 1:
                buffer.index_copy_(2, rows[0], new)
                continue
            places = self.plan.device['lanes'][:, None]
            by_row = new[0].unflatten(1, tuple(rows.shape)).permute(1, 2, 0, 3)
            buffer[places, :, rows] = by_row  # [B, R, heads, head_dim]

    def _of_lanes(self, pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Return keys and values `[B, heads, slots, head_dim]` of the lanes."""
        if self._lanes.places == 1:
            return pair
        which = self.plan.device['lanes']
        return tuple(one.index_select(0, which) for one in pair)

    def _rows_of(self, buffer: Tensor, rows: Tensor) -> Tensor:
        """Return what stands in rows `[B, R]` of a buffer, `[B, heads, R, head_dim]`."""
        return buffer[self.plan.device['lanes'][:, None], :, rows].transpose(1, 2)

    def _head(self) -> None:
        lanes, given, out = self._lanes, self.plan.device, self.out.device['out']
        if lanes.denoiser is not None:
            out.copy_(self._denoised())
        elif lanes.model.action_head is None:
            said = summary(lanes.model.logits(self._hidden.flatten(0, 1)))  # [2, B * reads]
            out.copy_(said.unflatten(1, (self._size, -1)).transpose(0, 1))
        else:
            noise = given.get('noise')
            noise = None if noise is None else noise.flatten(0, 1)
            out.copy_(lanes.model.action_head(self._hidden, noise))

    def _denoised(self) -> Tensor:
        lanes, given = self._lanes, self.plan.device
        which, pool = given['lanes'], lanes.pool
        keys, values = zip(*(self._of_lanes(pair) for pair in pool.layers), strict=True)
        crossed = {index: self._of_lanes(pair) for index, pair in pool.crossed.items()}
        cos, sin = (table[which] for table in lanes.behind)
        mask = given['unseen'].to(lanes.dtype)[:, None, None]
        return lanes.denoiser.staged(
            Memory(list(keys), list(values), cos, sin, mask, crossed), given
        )

    def _graph(self, key: str | int, work: Callable[[], None]) -> Work:
        if key not in self._graphs:
            name = key if isinstance(key, str) else f'decoder of {key} rows'
            if self._size > 1:
                name += f', {self._size} sessions'
            self._graphs[key] = self._lanes.recorder.record(name, work)
        return self._graphs[key]


def bucket(rows: int) -> int:
    """Return the rows of the smallest bucket that holds `rows`."""
    return -(-rows // BUCKET) * BUCKET
