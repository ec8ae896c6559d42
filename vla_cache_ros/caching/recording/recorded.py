# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Take a whole control step as recorded graphs: pixels and a plan go up, actions come down.

Three kinds of graph follow each other on the GPU's queue: *look* (pixels to the decoder's
embeddings, both towers side by side), *decoder* in one of a short list of row counts, and *head*.
Rows are padded to the next count; padding works on a slot that nobody sees, and slots that hold
nothing are hidden by a bias in place of a cut. What changes from step to step lies in buffers that
stay. A step copies three times: pixels, plan, actions; each pass of parallel decoding twice more.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.caching.decoding import Said
from vla_cache_ros.caching.decoding import summary
from vla_cache_ros.caching.denoising import Denoiser
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.episode_cache import Invalidation
from vla_cache_ros.caching.layers import Rows
from vla_cache_ros.caching.layers import write_crossed
from vla_cache_ros.caching.layout import SlotLayout
from vla_cache_ros.caching.prompt_slots import PromptSlots
from vla_cache_ros.caching.recording.graphs import GraphRecorder
from vla_cache_ros.caching.recording.graphs import Recorder
from vla_cache_ros.caching.recording.graphs import Work
from vla_cache_ros.caching.recording.staging import Staging
from vla_cache_ros.caching.step import StepInputs
from vla_cache_ros.caching.stopwatch import StageClock
from vla_cache_ros.caching.work import Steps
from vla_cache_ros.vla import fused
from vla_cache_ros.vla.model import VLAModel
from vla_cache_ros.vla.pointwise import compiled
from vla_cache_ros.vla.pointwise import PLAIN

SMALL = 8  # rows: a pass over action tokens
BUCKET = 32  # rows: a tile of the matrix units
LOOK, HEAD, PASS = 'look', 'head', 'pass'


class RecordedEngine(SlotEngine):
    """
    Run steps as recorded graphs; see `SlotEngine` for what they compute and its options.

    recorder: turns work into graphs, `GraphRecorder` if None. Steps whose rows shrink from layer
    to layer, or that probe attention, run their decoder as `SlotEngine` does, and so do towers
    that recompute active patches alone.
    """

    def __init__(
        self, model: VLAModel, *args: object, recorder: Recorder | None = None, **options
    ) -> None:
        super().__init__(model, *args, **options)
        like = self.cache.layers[0].keys
        gpu = self.device.type == 'cuda'
        self.recorder = recorder or GraphRecorder(self.device)
        self._graphs: dict[str | int, Work] = {}
        self._loaded: PromptSlots | None
        self._pointwise = compiled(self.device) if gpu and recorder is None else PLAIN
        self._layers = fused.fuse(model.language_model, self._pointwise)
        # what the head reads: rows that stand last
        self._reads = self.layout.actions if model.config.bidirectional else 1
        if self._denoiser is not None:
            self._denoiser = Denoiser(model, options.get('flow_steps'), self._pointwise)
        if model.config.decodes_tokens:
            self._reads = SMALL  # in the prefill too, so that one head graph serves both
        self._levels: Tensor | None = None
        if not model.config.flow:
            self._levels = torch.from_numpy(self.images.levels).to(self.device, like.dtype)
        self._hidden = like.new_zeros(self._reads, model.config.hidden_dim)
        zeros = model.like.new_zeros(1, model.config.hidden_dim)
        self._film = [torch.zeros_like(one) for one in model.vision_backbone.modulation(zeros)]
        self._before: np.ndarray = np.empty(0, dtype=np.int64)  # fixed slots that are not read
        self._read: np.ndarray = np.empty(0, dtype=np.int64)  # those that are, in order
        self._prepared = False
        kind = np.float32 if model.config.flow else np.uint8
        pixels = {'pixels': (kind, tuple(self._encoded_shape()))}
        self._pixels = Staging(pixels, self.device)
        self._make_buffers()

    def _grow(self, layout: SlotLayout) -> None:
        """Make room for longer prompts; steps that were recorded are recorded anew."""
        before = self._embeds
        super()._grow(layout)
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)  # a look may still run
        self._graphs.clear()  # they work on what lay elsewhere
        self._make_buffers()
        kept = layout.text.start
        self._embeds[:kept] = before[:kept]  # of a look that may have begun
        if self._prepared:
            self.cache.invalidate(Invalidation.NEW_INSTRUCTION)
            self.prepare()

    def _make_buffers(self) -> None:
        layout, config, like = self.layout, self.config, self.cache.layers[0].keys
        self._loaded = None
        self._embeds = like.new_zeros(layout.size, config.hidden_dim)  # by slot
        self._cos = like.new_zeros(layout.size, like.shape[3])
        self._sin = torch.zeros_like(self._cos)
        self._mask = None
        if not config.bidirectional or layout.state_last:
            self._mask = like.new_zeros(layout.size, layout.size)
        plan = {
            'rows': (np.int64, (bucket(layout.size),)),
            'unseen': (np.float32, (layout.size,)),
            'tokens': (np.int64, (SMALL,)),
            'proprio': (np.float32, (1, max(1, config.proprio_dim))),
        }
        head = self.model.action_head
        noise = None if head is None else head.noise(0, 0)
        if noise is not None:
            plan['noise'] = (np.float32, tuple(noise.shape))
        if self._denoiser is not None:
            plan |= self._denoiser.fields
            tables = like.new_zeros(2, 1, self.model.action_head.rows, like.shape[3])
            self._behind = tables[0], tables[1]
        self._plan = Staging(plan, self.device)
        self._plan.host['rows'].fill(layout.spare)
        out = (2, self._reads) if head is None else (config.chunk, config.action_dim)
        self._out = Staging({'out': (np.float32, out)}, self.device)

    def encode(self, pixels: np.ndarray, images: Sequence[np.ndarray] = ()) -> np.ndarray | Tensor:
        """
        Return the pictures as they are, uint8 `[cams, 224, 224, 3]`: the GPU normalises them.

        A flow model's are resized in float32, and go up as the CPU makes them.
        """
        return super().encode(pixels, images) if self.config.flow else pixels

    def _encoded_shape(self) -> list[int]:
        if self.config.flow:
            return super()._encoded_shape()
        return [self.layout.cameras, 224, 224, 3]

    def _images(self, pixel_values: np.ndarray | Tensor) -> Tensor:
        pixels = torch.as_tensor(pixel_values).to(self.device)
        return self._normalized(pixels).flatten(0, 1)[None]

    def _normalized(self, pixels: Tensor) -> Tensor:
        """Map what `encode` returns to `[cams, channels, H, W]`, as the CPU does."""
        if self._levels is None:
            return pixels[0].unflatten(0, (self.layout.cameras, -1)).to(self.cache.dtype)
        planes = pixels.permute(0, 3, 1, 2).long()  # [cams, 3, 224, 224]
        return torch.cat(
            [
                torch.stack([row[planes[:, i]] for i, row in enumerate(rows)], dim=1)
                for rows in self._levels.split(3)
            ],
            dim=1,
        )

    @torch.inference_mode()
    def look(self, pixel_values: np.ndarray, ids: Sequence[int] = ()) -> Tensor | None:
        """
        Start the towers, and return the decoder's embeddings of all patches, `[V, D]`.

        The GPU computes while the caller goes on. None where they wait for the plan. ids: the
        prompt, which a model with FiLM needs here.
        """
        if self.reuse_towers:
            return None
        self._clock = StageClock(self.device)
        if self.config.film:
            self._load(self.prompt(ids))
        self._pixels.ready()['pixels'][:] = pixel_values
        self._pixels.send()
        self._graph(LOOK, self._look)()
        self._clock.lap('vision')
        return self._embeds[self.layout.visual.start : self.layout.visual.stop]

    def _look(self) -> None:
        images = self._normalized(self._pixels.device['pixels'])
        backbone = self.model.vision_backbone
        towers, films = backbone.towers(), backbone.by_tower(self._film)

        def run(index: int) -> Tensor:
            one = images[:, 3 * index : 3 * index + 3]
            return towers[index](one, film=films[index])  # [cams, 256, width]

        parts = self.recorder.together(
            [lambda index=index: run(index) for index in range(len(towers))]
        )
        visual = self.model.project(torch.cat(parts, dim=-1).flatten(0, 1))  # [V, D]
        self._embeds[self.layout.visual.start : self.layout.visual.stop] = visual

    def _visual(self, step: StepInputs) -> Steps[Tensor]:
        if step.features is None:
            return (yield from super()._visual(step))
        active = torch.from_numpy(np.flatnonzero(step.plan.active))
        return step.features[active.to(self.device)]

    def _compute(self, step: StepInputs) -> Steps[tuple[np.ndarray, np.ndarray | None, int]]:
        """Return what `_decode` does."""
        if step.probe_layers or step.plan.layers:
            return (yield from super()._compute(step))
        visual = np.flatnonzero(step.plan.active) + self.layout.visual.start
        if step.features is None and len(visual):
            embeds = yield from self._visual(step)
            self._embeds[torch.from_numpy(visual).to(self.device)] = embeds
            step.clock.lap('vision')
        self._load(step.prompt)
        # BOS sees nothing but itself when causal: computed once, it stays right for the episode
        fixed = self._before[0 if step.first or self.config.bidirectional else 1 :]
        rows = np.concatenate([visual, fixed, self._read])
        size = bucket(len(rows))
        host = self._plan.ready()
        host['rows'][: size - len(rows)] = self.layout.spare
        host['rows'][size - len(rows) : size] = rows
        unseen = host['unseen']
        unseen[: step.prompt.used] = 0
        unseen[step.prompt.used :] = -np.inf
        unseen[self.layout.visual.start : self.layout.visual.stop][step.absent] = -np.inf
        if step.proprio is not None:
            host['proprio'][0] = step.proprio
        if 'noise' in host:
            host['noise'][:] = self.model.action_head.noise(self.seed, self.cache.step).numpy()
        if self._denoiser is not None and self._denoiser.stage(host, step.guidance):
            self._graphs.pop(HEAD, None)  # it holds a number that has changed
        host['tokens'][: self.words.guesses] = self.words.guess
        self._plan.send()
        self._graph(size, lambda: self._decoder_rows(size))()
        step.clock.lap('decoder')
        self._graph(HEAD, self._head)()
        return (yield from self._finish())

    def _decoder_rows(self, size: int) -> None:
        """Embed what is new besides images, then recompute rows; `_hidden` is what was read."""
        layout, device = self.layout, self._plan.device
        if layout.proprio:
            state = device['proprio'].to(self._embeds.dtype)
            self._embeds[layout.proprio_slots.start] = self.model.embed_state(state)[0]
        if self.words.guesses:
            start = layout.action_slots.start
            said = self.model.embed_text(device['tokens'][: self.words.guesses])
            self._embeds[start : start + self.words.guesses] = said
        self._recompute(device['rows'][:size], self._last(size))

    def _pass(self) -> None:
        """Recompute slots of action tokens."""
        rows = self._plan.device['rows'][:SMALL]
        self._embeds[rows] = self.model.embed_text(self._plan.device['tokens'])
        self._recompute(rows, self._last(SMALL))

    def _last(self, size: int) -> Tensor:
        return torch.arange(size - self._reads, size, device=self.device)

    def _recompute(self, rows: Tensor, read: Tensor) -> None:
        window, last = self.cache.window, len(self.cache.layers) - 1
        window.rows, window.visible = rows, self.layout.size
        unseen = self._plan.device['unseen'].to(self._embeds.dtype)
        mask = unseen[None, None, None]  # [1, 1, 1, slots]
        if self._mask is not None:
            mask = mask + self._mask[rows]  # [1, 1, R, slots]
        rotary = fused.signed_rotary(self._cos[rows], self._sin[rows])
        hidden = self._embeds[rows]
        for index, layer in enumerate(self._layers):
            part = Rows(self.cache, len(rows), mask, read if index == last else None)
            hidden = layer(
                hidden, rotary, lambda k, v, i=index, p=part: [p.seen(i, k, v)], part.read
            )
            write_crossed(self.model, self.cache, index)
        if self._denoiser is not None:
            return
        norm = self.model.language_model.model.norm
        self._hidden.copy_(self._pointwise.rms_norm(hidden, norm.weight, norm.variance_epsilon))

    def _head(self) -> None:
        out = self._out.device['out']
        if self._denoiser is not None:
            given = self._plan.device
            out.copy_(self._denoiser.staged(self.cache, self.layout.size, self._behind, given))
        elif self.model.action_head is None:
            out.copy_(summary(self.model.logits(self._hidden)))
        else:
            noise = self._plan.device.get('noise')
            out.copy_(self.model.action_head(self._hidden[None], noise)[0])

    def _laps(self, clock: StageClock) -> dict[str, float]:
        return clock.laps()

    def _finish(self) -> Steps[tuple[np.ndarray, np.ndarray | None, int]]:
        out = self._out.fetch()['out']
        if self.model.action_head is not None:
            return out.astype(np.float64), None, 0
        rows = self.layout.actions if self.config.oft is not None else 1 + self.words.guesses
        return (yield from self.words.read(Said.unpack(out[:, -rows:]), self._proceed))

    def _proceed(self, tokens: list[int], index: int) -> Steps[Said]:
        yield from ()
        host = self._plan.ready()
        slots = self.layout.action_slots[index : index + len(tokens)]
        host['rows'][:SMALL] = self.layout.spare
        host['rows'][SMALL - len(tokens) : SMALL] = slots
        host['tokens'][:] = 0
        host['tokens'][SMALL - len(tokens) :] = tokens
        self._plan.send()
        self._graph(PASS, self._pass)()
        self._graph(HEAD, self._head)()
        return Said.unpack(self._out.fetch()['out'][:, -len(tokens) :])

    def _load(self, prompt: PromptSlots) -> None:
        """Copy what depends on the instruction, if it is new."""
        if prompt is self._loaded:
            return
        before, self._loaded, used = self._loaded, prompt, prompt.used
        if before is None or before.cos is not prompt.cos:
            self._cos[:used], self._sin[:used] = prompt.cos, prompt.sin
            if self._mask is not None:
                self._mask[:used, :used] = prompt.mask
            if prompt.behind is not None:
                for buffer, table in zip(self._behind, prompt.behind, strict=True):
                    buffer.copy_(table)
        for buffer, film in zip(self._film, prompt.film, strict=True):
            buffer.copy_(film)
        self._embeds[prompt.rows] = prompt.embeds
        self._before, self._read = prompt.slots, prompt.slots[:0]
        if not prompt.reads:
            return
        is_read = np.isin(prompt.slots, prompt.slots[list(prompt.reads)])
        self._before, self._read = prompt.slots[~is_read], prompt.slots[list(prompt.reads)]

    @torch.inference_mode()
    def prepare(self) -> None:
        """Record every shape that a step can take, in the thread that will run it."""
        self.cache.valid, self._prepared = False, True
        self._plan.ready()['rows'].fill(self.layout.spare)
        self._plan.send()
        if not self.reuse_towers:
            self._graph(LOOK, self._look)
        for size in range(bucket(max(1, self._reads)), bucket(self.layout.size) + 1, BUCKET):
            self._graph(size, lambda size=size: self._decoder_rows(size))
        if self.config.decodes_tokens:
            self._graph(PASS, self._pass)
        self._graph(HEAD, self._head)

    def _graph(self, key: str | int, work: Callable[[], None]) -> Work:
        if key not in self._graphs:
            name = key if isinstance(key, str) else f'decoder of {key} rows'
            self._graphs[key] = self.recorder.record(name, work)
        return self._graphs[key]


def bucket(rows: int) -> int:
    """Return the rows of the smallest bucket that holds `rows`."""
    return -(-rows // BUCKET) * BUCKET
