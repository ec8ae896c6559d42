# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Take a whole control step as recorded graphs, alone or together with those of other sessions.

What a session brings to a batch is made here, see `batch` for how that runs. Knows neither why a
token is active nor what an action means.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.caching.decoding import Said
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.episode_cache import Invalidation
from vla_cache_ros.caching.layout import SlotLayout
from vla_cache_ros.caching.prompt_slots import PromptSlots
from vla_cache_ros.caching.recording.batch import Batch
from vla_cache_ros.caching.recording.batch import Lane
from vla_cache_ros.caching.recording.graphs import GraphRecorder
from vla_cache_ros.caching.recording.graphs import Recorder
from vla_cache_ros.caching.recording.lanes import Lanes
from vla_cache_ros.caching.rooms import Rooms
from vla_cache_ros.caching.step import StepInputs
from vla_cache_ros.caching.stopwatch import StageClock
from vla_cache_ros.caching.work import Phase
from vla_cache_ros.caching.work import Steps
from vla_cache_ros.caching.work import Work
from vla_cache_ros.vla.model import VLAModel
from vla_cache_ros.vla.pointwise import compiled
from vla_cache_ros.vla.pointwise import PLAIN


class RecordedEngine(SlotEngine):
    """
    Run steps as recorded graphs; see `SlotEngine` for what they compute and its options.

    recorder: turns work into graphs, `GraphRecorder` if None. rooms: of the model's sessions,
    which share their lanes; place: this one's. Steps whose rows shrink from layer to layer, or
    that probe attention, run their decoder as `SlotEngine` does, and so do towers that recompute
    active patches alone.
    """

    def __init__(
        self,
        model: VLAModel,
        *args: object,
        recorder: Recorder | None = None,
        rooms: Rooms | None = None,
        place: int = 0,
        **options,
    ) -> None:
        self._recorder, self._rooms, self._place = recorder, rooms or Rooms(1), place
        self._flow_steps = options.get('flow_steps')
        super().__init__(model, *args, **options)
        self._loaded: tuple[PromptSlots, Tensor] | None = None  # and where to
        self._before: np.ndarray = np.empty(0, dtype=np.int64)  # fixed slots that are not read
        self._read: np.ndarray = np.empty(0, dtype=np.int64)  # those that are, in order
        self._prepared = False

    def _new_cache(self) -> EpisodeCache:
        if self._rooms.lanes is None:
            gpu = self.device.type == 'cuda' and self._recorder is None
            self._rooms.lanes = Lanes(
                self.model,
                self.layout,
                self.images,
                self._recorder or GraphRecorder(self.device),
                compiled(self.device) if gpu else PLAIN,
                self._flow_steps,
                self.words.guesses,
                self._rooms.count,
            )
        self.lanes: Lanes = self._rooms.lanes
        self.layout = self.lanes.layout
        towers = self.model.vision_backbone.cache(self.layout.cameras)
        return self.lanes.house(self.layout.visual_tokens, self._place, towers)

    @property
    def kin(self) -> object:
        """Return what the engines have in common whose steps can run as one batch."""
        return id(self.lanes)

    @property
    def recorder(self) -> Recorder:
        """Return what turns work into graphs."""
        return self.lanes.recorder

    def _grow(self, layout: SlotLayout) -> None:
        """Make room for longer prompts; steps that were recorded are recorded anew."""
        if layout.text_capacity > self.lanes.layout.text_capacity:
            self.lanes.grow(layout)
            if self._prepared:
                if self.lanes.places == 1:
                    self.cache.invalidate(Invalidation.NEW_INSTRUCTION)
                self.prepare()
        self.layout = self.lanes.layout

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
        pixels = pixels if self.config.flow else pixels[None]
        return self.lanes.normalized(pixels).flatten(0, 1)[None]

    def _look(self, pixel_values: np.ndarray | Tensor, prompt: PromptSlots | None) -> Work:
        """Ask for the decoder's embeddings of all patches, `[V, D]`."""
        if prompt is not None:
            self._load(prompt)
        return Work(Phase.LOOK, self._see, (self._place, pixel_values), self.kin)

    def _see(self, asked: Sequence[tuple[int, np.ndarray | Tensor]]) -> list[Tensor]:
        self._batch(len(asked)).look(asked)
        visual = self.layout.visual
        return [self.lanes.embeds[place, visual.start : visual.stop] for place, _ in asked]

    def _visual(self, step: StepInputs) -> Steps[Tensor]:
        if step.features is None:
            return (yield from super()._visual(step))
        active = torch.from_numpy(np.flatnonzero(step.plan.active))
        return step.features[active.to(self.device)]

    def _compute(self, step: StepInputs) -> Steps[tuple[np.ndarray, np.ndarray | None, int]]:
        """Return what `Heads.decode` does."""
        if step.probe_layers or step.plan.layers:
            return (yield from super()._compute(step))
        visual = np.flatnonzero(step.plan.active) + self.layout.visual.start
        if step.features is None and len(visual):
            embeds = yield from self._visual(step)
            self.lanes.embeds[self._place, torch.from_numpy(visual).to(self.device)] = embeds
            step.clock.lap('vision')
        self._load(step.prompt)
        # BOS sees nothing but itself when causal: computed once, it stays right for the episode
        fixed = self._before[0 if step.first or self.config.bidirectional else 1 :]
        lane = self._lane(
            step,
            np.concatenate([visual, fixed, self._read]),
            self.words.guess,
            proprio=step.proprio,
            noise=self._heads.noise(self.seed, self.cache.step),
            guidance=step.guidance,
        )
        out = yield Work(Phase.DECODER, self._step_together, (lane, step.clock), self.kin)
        if self.model.action_head is not None:
            return out.astype(np.float64), None, 0

        def proceed(tokens: list[int], index: int) -> Steps[Said]:
            slots = np.array(self.layout.action_slots[index : index + len(tokens)])
            lane = self._lane(step, slots, tokens)
            out = yield Work(Phase.DECODER, self._proceed_together, lane, (self.kin, 'pass'))
            return Said.unpack(out[:, -len(tokens) :])

        rows = self.layout.actions if self.config.oft is not None else 1 + self.words.guesses
        return (yield from self.words.read(Said.unpack(out[:, -rows:]), proceed))

    def _lane(
        self, step: StepInputs, rows: np.ndarray, tokens: Sequence[int], **head: object
    ) -> Lane:
        return Lane(self._place, rows, step.prompt.used, step.absent, tokens, **head)

    def _step_together(self, asked: Sequence[tuple[Lane, StageClock]]) -> list[np.ndarray]:
        lanes, clocks = zip(*asked, strict=True)

        def lap(name: str) -> None:
            for clock in clocks:
                clock.lap(name)

        return self._batch(len(lanes)).step(lanes, lap)

    def _proceed_together(self, asked: Sequence[Lane]) -> list[np.ndarray]:
        return self._batch(len(asked)).proceed(asked)

    def _laps(self, clock: StageClock) -> dict[str, float]:
        return clock.laps()

    def _load(self, prompt: PromptSlots) -> None:
        """Copy what depends on the instruction to the lane, if it is new there."""
        before, place = self._loaded or (None, None)
        if prompt is before and place is self.lanes.embeds:
            return
        here = place is self.lanes.embeds
        self.lanes.load(self._place, prompt, before if here else None)
        self._loaded = prompt, self.lanes.embeds
        self._before, self._read = prompt.slots, prompt.slots[:0]
        if not prompt.reads:
            return
        is_read = np.isin(prompt.slots, prompt.slots[list(prompt.reads)])
        self._before, self._read = prompt.slots[~is_read], prompt.slots[list(prompt.reads)]

    @torch.inference_mode()
    def prepare(self) -> None:
        """Record every shape that a step can take, in the thread that will run it."""
        self.cache.valid, self._prepared = False, True
        count = 1
        while True:
            self._batch(count).prepare(look=not self.reuse_towers)
            if count >= self.lanes.sessions:
                return
            count *= 2

    def _batch(self, count: int) -> Batch:
        """Return what runs so many lanes: their number is a power of two, or all."""
        size = min(1 << (count - 1).bit_length(), self.lanes.sessions)
        if size not in self.lanes.batches:
            self.lanes.batches[size] = Batch(self.lanes, size)
        return self.lanes.batches[size]
