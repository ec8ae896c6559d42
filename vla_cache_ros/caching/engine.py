# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Take one control step: towers, decoder, action, as a transaction on the episode's cache.

Knows neither why a token is active nor what an action means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.caching.checks import check_encoded
from vla_cache_ros.caching.checks import check_inputs
from vla_cache_ros.caching.decoding import ActionWords
from vla_cache_ros.caching.denoising import Denoiser
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.episode_cache import Invalidation
from vla_cache_ros.caching.episode_cache import SlotPool
from vla_cache_ros.caching.heads import Heads
from vla_cache_ros.caching.layout import SlotLayout
from vla_cache_ros.caching.layout import TEXT_CAPACITY
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.caching.plans import check_plan
from vla_cache_ros.caching.plans import full_plan
from vla_cache_ros.caching.plans import produced
from vla_cache_ros.caching.plans import reuse_share
from vla_cache_ros.caching.prompt_slots import hide
from vla_cache_ros.caching.prompt_slots import PromptSlots
from vla_cache_ros.caching.slot_decoder import Recompute
from vla_cache_ros.caching.slot_decoder import SlotDecoder
from vla_cache_ros.caching.step import StepInputs
from vla_cache_ros.caching.step import StepResult
from vla_cache_ros.caching.stopwatch import StageClock
from vla_cache_ros.caching.work import alone
from vla_cache_ros.caching.work import Phase
from vla_cache_ros.caching.work import Steps
from vla_cache_ros.caching.work import Work
from vla_cache_ros.types import StepPlan
from vla_cache_ros.vla.files.errors import NonFiniteOutputError
from vla_cache_ros.vla.flow.guidance import Guidance
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.model import VLAModel
from vla_cache_ros.vla.vision import Looked


class SlotEngine:
    """
    Run one model step by step against one episode's cache.

    action_dim: action tokens of a causal model. text_capacity: tokens of a prompt, without BOS,
    that there is room for; a longer one gets more.
    reuse_towers: whether the vision towers too compute active patches alone, against their own
    cached keys and values; otherwise they run whole. None: alone on a CPU, whole on a GPU, which
    is busy with them while the CPU runs the gate. capture: run fused layers; False runs those of
    transformers. decoding: of a causal model's action tokens, `jacobi` or `greedy`: the same
    tokens. seed: with the index of the step it fixes a head's noise. images: what normalises
    pixels, the published constants if None. flow_steps: of an expert, the checkpoint's own number
    if None.
    """

    def __init__(
        self,
        model: VLAModel,
        action_dim: int = 7,
        text_capacity: int = TEXT_CAPACITY,
        reuse_towers: bool | None = None,
        capture: bool = True,
        decoding: str = 'jacobi',
        seed: int = 0,
        images: ImagePreprocessor | None = None,
        flow_steps: int | None = None,
    ) -> None:
        self.model = model
        self.config = model.config
        self.images = images or ImagePreprocessor.for_towers(model.config.towers)
        self.layout = SlotLayout.for_model(model.config, action_dim, text_capacity)
        self.words = ActionWords(model.config, self.layout.actions, decoding)
        self.device = model.like.device
        self.cache = self._new_cache()
        self._sized = self.device.type != 'cuda'  # see Work.size
        self.reuse_towers = self._sized if reuse_towers is None else reuse_towers
        self._decoder, self._heads = SlotDecoder(model, capture), Heads(model)
        self._denoiser = Denoiser(model, flow_steps) if model.config.flow else None
        self._clock: StageClock | None = None  # of a step that `look` began
        self.seed = seed
        self._instruction: object = None  # of the last step
        self._prompt: PromptSlots | None = None  # the last one, also where no step followed
        self._unseen: Tensor | None = None  # what hides absent tokens at this step

    def _new_cache(self) -> EpisodeCache:
        config, flow = self.model.language_model.config, self.config.flow
        crossed = flow.crossed_layers if flow else ()
        pool = SlotPool(config, self.layout.size, self.model.like.detach(), crossed)
        towers = self.model.vision_backbone.cache(self.layout.cameras)
        return EpisodeCache(self.layout.visual_tokens, pool, towers)

    def encode(self, pixels: np.ndarray, images: Sequence[np.ndarray] = ()) -> Tensor:
        """
        Return what `look` and `step` take for pictures uint8 `[cams, S, S, 3]`.

        images: the cameras' own, of which those were made. Here the result is `pixel_values`
        float32 `[1, cams * channels, H, W]`.
        """
        return self.images.normalize(pixels, images)

    def step(self, *arguments: Any, **options: Any) -> StepResult:
        """Run one control step; arguments, result and errors are those of `steps`."""
        return alone(self.steps(*arguments, **options))

    def steps(
        self,
        pixels: np.ndarray,
        pixel_values: Tensor,
        ids: Sequence[int],
        proprio: np.ndarray | None,
        plan: StepPlan,
        probe_layers: Sequence[int] = (),
        features: Tensor | None = None,
        instruction: object = None,
        guidance: Guidance | None = None,
    ) -> Steps[StepResult]:
        """
        Run one control step, possibly together with those of other caches; see `work`.

        pixels: uint8 `[cams, S, S, 3]`, kept as provenance. pixel_values: the same images as
        `encode` returns them. ids: the prompt from BOS to the blank.
        proprio: normalised `[P]`, None if the model takes none. plan: which visual tokens to
        recompute; all are if the cache is not valid (unless the plan was made for an empty one) or
        the instruction is new to bidirectional attention. probe_layers: whose attention from text
        to visual tokens goes to `cache.attention`. features: what `look` returned for the images.
        instruction: what the prompt says, where a state in it makes each another; the ids if None.
        guidance: of an expert's chunk, by what is left of the last one.

        Raises InputError, without touching the cache, for inputs that do not fit the model, and
        NonFiniteOutputError. After any other error too the cache is invalid, with its cause.
        """
        cache = self.cache
        check_inputs(self.layout, self.config, pixels, proprio)
        check_encoded(pixel_values, self._encoded_shape())
        present = cache.present if cache.valid else None
        check_plan(plan, self.layout.visual_tokens, len(cache.layers), present)
        prompt = self.prompt(ids)
        instruction = prompt.ids if instruction is None else instruction
        if self._instruction != instruction:
            if self.config.bidirectional and cache.valid:
                cache.invalidate(Invalidation.NEW_INSTRUCTION)
            self._instruction = instruction
        first = not cache.valid
        if first and (plan.layers or not plan.refresh):  # it counts on what is cached
            plan = full_plan(self.layout.visual_tokens, cache.cause or 'first_step')
        cache.valid = False  # until the step has succeeded
        try:
            return (yield from self._run(StepInputs(
                pixel_values, prompt, proprio, plan, first, tuple(probe_layers), features,
                absent=~(plan.active | cache.present), guidance=guidance,
            ), patchify(pixels)))  # fmt: skip
        except NonFiniteOutputError:
            cache.invalidate(Invalidation.NON_FINITE_OUTPUT)
            raise
        except BaseException:
            cache.invalidate(Invalidation.STEP_FAILED)
            raise

    def _encoded_shape(self) -> list[int]:
        size = self.config.image_size
        return [1, self.layout.cameras * self.config.channels, size, size]

    def check_prompt(self, count: int) -> None:
        """Raise InputError for a prompt of more ids than the model takes, BOS included."""
        positions = self.model.language_model.config.max_position_embeddings
        most = max(TEXT_CAPACITY, positions - self.layout.text.start)
        if self.config.flow:
            most = self.config.flow.prompt_tokens
        self.layout.check_text(count - self.layout.lead, most)

    def prompt(self, ids: Sequence[int]) -> PromptSlots:
        """Return the slots of a prompt, those of the last one if it is the same; see `_grow`."""
        wanted = tuple(int(i) for i in ids)
        if self._prompt is None or self._prompt.ids != wanted:
            self.check_prompt(len(wanted))
            text, before = len(wanted) - self.layout.lead, self._prompt
            if text > self.layout.text_capacity:
                self._grow(self.layout.with_text(text))
            elif before and self.config.flow and before.text == text:
                self._prompt = before.reworded(self.model, wanted)
                return self._prompt
            self._prompt = PromptSlots.build(self.model, self.layout, wanted, self.words.guesses)
        return self._prompt

    def _grow(self, layout: SlotLayout) -> None:
        """Make room for longer prompts; what is cached of the images stays."""
        self.cache.grow(layout.size, kept=layout.text.start)
        self.layout = layout

    @torch.inference_mode()
    def _run(self, step: StepInputs, patches: np.ndarray) -> Steps[StepResult]:
        plan, features = step.plan, step.features
        if features is None and plan.active.any():
            features = yield from self.looks(step.pixel_values, step.prompt.ids)
        # a look that no step followed left a clock behind
        began, self._clock = self._clock, None
        clock = began if began and features is not None else StageClock(self.device)
        clock.lap('wait')  # of the towers, for the gate
        if step.first:
            self.words.guess = self.words.still()
        step = replace(step, features=features, clock=clock)
        normalized, tokens, passes = yield from self._compute(step)
        clock.lap('decode')
        if not np.isfinite(normalized).all():
            raise NonFiniteOutputError(
                'model output: expected finite actions, found NaN or infinity'
            )
        self.cache.commit(produced(plan), patches)
        return StepResult(
            normalized=normalized,
            tokens=tokens,
            reuse=reuse_share(plan, len(self.cache.layers), int(step.absent.sum())),
            active=plan.active.copy(),
            ages=self.cache.ages() - 1,
            refresh=plan.refresh,
            passes=passes,
            latency_ms=self._laps(clock),
        )

    def _compute(self, step: StepInputs) -> Steps[tuple[np.ndarray, np.ndarray | None, int]]:
        """Return what `Heads.decode` does."""
        prompt, plan = step.prompt, step.plan
        visual = yield from self._visual(step)  # [R, D]
        step.clock.lap('vision')
        self._unseen = hide(step.absent, self.layout, self.cache.layers[0].keys)
        fixed, fixed_rows = self._fixed(prompt, step.proprio, step.first)
        embeds = torch.cat([visual, fixed])  # [R, D]
        slots = torch.from_numpy(np.flatnonzero(plan.active)) + self.layout.visual.start
        rows = torch.cat([slots.to(self.device), fixed_rows])  # [R]
        hidden = yield self._rows(
            prompt, rows, embeds, plan=plan, probe_layers=step.probe_layers, read=prompt.read
        )
        step.clock.lap('decoder')
        if self._denoiser is not None:
            unseen = None if self._unseen is None else self._unseen[: prompt.used]
            asked = self._denoiser.ask(
                self.cache, prompt, unseen, step.proprio, self.seed, step.guidance
            )
            actions = yield Work(Phase.HEAD, self._denoiser.act, asked, self.kin)
            return actions, None, 0

        def proceed(tokens: list[int], index: int) -> Work:
            slots = self.layout.action_slots[index : index + len(tokens)]
            embeds = self.model.embed_text(torch.tensor(tokens, device=self.device))
            return self._rows(prompt, torch.tensor(slots, device=self.device), embeds)

        noise = self._heads.noise(self.seed, self.cache.step)
        return (yield from self._heads.decode(hidden, noise, self.words, proceed, self.kin))

    @property
    def kin(self) -> object:
        """Return what engines have in common whose steps can be computed at once."""
        return id(self.model), type(self), self.cache.dtype

    def _rows(self, prompt: PromptSlots, rows: Tensor, embeds: Tensor, **how: object) -> Work:
        given = self.cache, self.layout.visual, prompt, rows, embeds
        asked = Recompute(*given, unseen=self._unseen, **how)
        return Work(
            Phase.DECODER, self._decoder.recompute, asked, self.kin, self._sized * len(rows)
        )

    def _laps(self, clock: StageClock) -> dict[str, float]:
        laps = clock.laps()
        del laps['wait']  # on a CPU the gate itself
        return laps

    def _visual(self, step: StepInputs) -> Steps[Tensor]:
        """Return the decoder's embeddings `[R, D]` of active tokens."""
        return self.model.project((yield from self._active_features(step)))

    def _fixed(
        self, prompt: PromptSlots, proprio: np.ndarray | None, first: bool
    ) -> tuple[Tensor, Tensor]:
        """Return embeddings `[F, D]` and slots `[F]` of what a step computes besides images."""
        embeds = prompt.embeds
        if self.layout.proprio:
            state = torch.from_numpy(np.asarray(proprio, dtype=np.float32))[None]
            state = self.model.embed_state(state.to(self.device, embeds.dtype))
            embeds[self.layout.lead] = state[0]
        if guesses := self.words.guesses:
            guess = torch.tensor(self.words.guess, device=self.device)
            embeds[1 : 1 + guesses] = self.model.embed_text(guess)
        # BOS sees nothing but itself when causal: computed once, it stays right for the episode
        skip = 0 if first or self.config.bidirectional else 1
        return embeds[skip:], prompt.rows[skip:]

    def look(self, pixel_values: Tensor, ids: Sequence[int] = ()) -> Tensor | None:
        """Do what `looks` does, alone."""
        return alone(self.looks(pixel_values, ids))

    @torch.inference_mode()
    def looks(self, pixel_values: Tensor, ids: Sequence[int] = ()) -> Steps[Tensor | None]:
        """
        Start the towers where they run whole, and return their features `[V, features]`.

        A GPU computes while the caller goes on. None where they wait for the plan. ids: the
        prompt, which a model with FiLM needs here.
        """
        if self.reuse_towers:
            return None
        clock = StageClock(self.device)
        prompt = self.prompt(ids) if self.config.film else None
        features = yield self._look(pixel_values, prompt)
        clock.lap('vision')
        self._clock = clock
        return features

    def _look(self, pixel_values: Tensor, prompt: PromptSlots | None) -> Work:
        film = () if prompt is None else prompt.film
        asked = self._images(pixel_values), film
        return Work(Phase.LOOK, self._see, asked, None if film else self.kin)

    def _see(self, asked: Sequence[tuple[Tensor, Sequence[Tensor]]]) -> Sequence[Tensor]:
        images, films = zip(*asked, strict=True)
        return list(self.model.vision_features(torch.cat(images), films[0]))

    @torch.inference_mode()
    def prepare(self) -> None:
        """Make ready for every shape that a step can take; here nothing has to be."""

    def _images(self, pixel_values: Tensor) -> Tensor:
        return pixel_values.to(self.device, self.cache.dtype)

    def _active_features(self, step: StepInputs) -> Steps[Tensor]:
        """Return the patch features `[R, V]` of active tokens; idle cameras' towers rest."""
        active = step.plan.active
        if step.features is not None:
            return step.features[torch.from_numpy(np.flatnonzero(active)).to(self.device)]
        if not active.any():
            return self.cache.layers[0].keys.new_zeros(0, self.config.vision_dim)
        images = self._images(step.pixel_values).unflatten(1, (self.layout.cameras, -1))[0]
        chosen = torch.from_numpy(active.reshape(len(images), -1)).to(self.device)
        computed = torch.ones_like(chosen) if step.first else chosen
        asked = Looked(images, computed, self.cache.towers, step.prompt.film)
        kin = None if step.prompt.film else self.kin  # each prompt has its own
        see, size = self.model.vision_backbone.recompute, self._sized * int(computed.sum())
        features = yield Work(Phase.TOWERS, see, asked, kin, size)
        return features if computed is chosen else features[chosen.flatten()]  # [R, V]
