# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Recompute chosen slots against the episode cache: the one primitive behind every step.

A dense step recomputes all slots, a cached step the active ones, a decoded token one. Each layer
writes the rows' keys and values into their slots and attends to every visible slot: when causal
those at no higher position, in OpenVLA-OFT all. Knows neither why a slot is active nor what an
action means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.caching.attention import Attention
from vla_cache_ros.caching.clock import StageClock
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.episode_cache import Invalidation
from vla_cache_ros.caching.layout import SlotLayout
from vla_cache_ros.caching.layout import TEXT_CAPACITY
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.caching.plans import check_plan
from vla_cache_ros.caching.plans import full_plan
from vla_cache_ros.caching.plans import produced
from vla_cache_ros.caching.plans import reuse_share
from vla_cache_ros.caching.prompt_slots import hide
from vla_cache_ros.caching.prompt_slots import PromptSlots
from vla_cache_ros.types import StepPlan
from vla_cache_ros.vla import decoder
from vla_cache_ros.vla.actions import ActionTokens
from vla_cache_ros.vla.errors import InputError
from vla_cache_ros.vla.errors import NonFiniteOutputError
from vla_cache_ros.vla.model import PrismaticVLA


@dataclass(frozen=True)
class StepResult:
    """
    Hold the outcome of one step.

    normalized: float64 `[C, A]` in [-1, 1]. tokens: the action token ids `[C * A]` of a
    discrete model, else None. reuse: share of visual token-layers taken from the cache. active:
    bool `[V]`, tokens recomputed at the first layer. ages: int `[V]`, 0 = produced now.
    refresh: why everything was recomputed, or ''. latency_ms: `vision`, `decoder`, `decode`.
    """

    normalized: np.ndarray
    tokens: np.ndarray | None
    reuse: float
    active: np.ndarray
    ages: np.ndarray
    refresh: str
    latency_ms: dict[str, float] = field(default_factory=dict)


class SlotEngine:
    """
    Run one model step by step against one episode's cache.

    action_dim: action tokens of a causal model. text_capacity: longest prompt, without BOS.
    reuse_towers: whether the vision towers too compute active patches alone, against their own
    cached keys and values; otherwise they run whole for every camera with an active patch.
    """

    def __init__(
        self,
        model: PrismaticVLA,
        action_dim: int = 7,
        text_capacity: int = TEXT_CAPACITY,
        reuse_towers: bool = True,
    ) -> None:
        self.model = model
        self.reuse_towers = reuse_towers
        self.config = model.config
        self.layout = SlotLayout.for_model(model.config, action_dim, text_capacity)
        self.tokens = ActionTokens(model.config.action_vocab_end, model.config.n_action_bins)
        weight = model.language_model.lm_head.weight
        self.device = weight.device
        self.cache = EpisodeCache(
            self.layout,
            model.language_model.config,
            weight.detach(),
            model.vision_backbone.cache(self.layout.cameras),
        )
        self._prompt: PromptSlots | None = None
        self._unseen: Tensor | None = None  # what hides absent tokens at this step

    @torch.inference_mode()
    def step(
        self,
        pixels: np.ndarray,
        pixel_values: Tensor,
        ids: Sequence[int],
        proprio: np.ndarray | None,
        plan: StepPlan,
        probe_layers: Sequence[int] = (),
    ) -> StepResult:
        """
        Run one control step.

        pixels: uint8 `[cams, 224, 224, 3]`, kept as provenance. pixel_values: the same images
        preprocessed, `[1, cams * channels, 224, 224]`. ids: the prompt from BOS to the blank.
        proprio: normalised `[P]`, None if the model takes none. plan: which visual tokens to
        recompute; all are if the cache is not valid or, where attention is bidirectional, the
        instruction is new. probe_layers: layers whose attention from text to visual tokens is
        recorded in `cache.attention`.

        Raises InputError, without touching the cache, for inputs that do not fit the model, and
        NonFiniteOutputError. After any other error too the cache is invalid, with its cause.
        """
        self._check(pixels, pixel_values, proprio, plan)
        prompt = self.prompt(ids)
        cache = self.cache
        if self._prompt is not prompt:
            if self.config.bidirectional and cache.valid:
                cache.invalidate(Invalidation.NEW_INSTRUCTION)
            self._prompt = prompt
        first = not cache.valid
        if first and not plan.refresh:
            plan = full_plan(self.layout.visual_tokens, cache.cause or 'first_step')
        cache.valid = False  # until the step has succeeded
        try:
            result = self._run(
                pixels, pixel_values, prompt, proprio, plan, first, tuple(probe_layers)
            )
        except NonFiniteOutputError:
            cache.invalidate(Invalidation.NON_FINITE_OUTPUT)
            raise
        except BaseException:
            cache.invalidate(Invalidation.STEP_FAILED)
            raise
        return result

    def _check(
        self, pixels: np.ndarray, pixel_values: Tensor, proprio: np.ndarray | None, plan: StepPlan
    ) -> None:
        layout, config = self.layout, self.config
        wanted = [layout.cameras, 224, 224, 3]
        if pixels.dtype != np.uint8 or list(pixels.shape) != wanted:
            raise InputError(
                f'images: expected uint8 {wanted}, found {pixels.dtype} {list(pixels.shape)}'
            )
        wanted = [1, layout.cameras * config.channels, 224, 224]
        if list(pixel_values.shape) != wanted:
            raise InputError(f'pixel_values: expected {wanted}, found {list(pixel_values.shape)}')
        if layout.proprio:
            wanted, found = [config.oft.proprio_dim], None if proprio is None else proprio.shape
            if found is None or list(found) != wanted:
                raise InputError(f'proprio: expected {wanted} numbers, found {found}')
        check_plan(plan, layout.visual_tokens, len(self.cache.layers))

    def prompt(self, ids: Sequence[int]) -> PromptSlots:
        """Return the slots of a prompt, those of the last one if it is the same."""
        wanted = tuple(int(i) for i in ids)
        if self._prompt is not None and self._prompt.ids == wanted:
            return self._prompt
        return PromptSlots.build(self.model, self.layout, wanted)

    def _run(
        self,
        pixels: np.ndarray,
        pixel_values: Tensor,
        prompt: PromptSlots,
        proprio: np.ndarray | None,
        plan: StepPlan,
        first: bool,
        probe_layers: tuple[int, ...],
    ) -> StepResult:
        clock = StageClock(self.device)
        patches = patchify(pixels)
        features = self._features(pixel_values, plan.active, whole=first)
        clock.lap('vision')
        absent = ~(plan.active | self.cache.present)  # [V]
        self._unseen = hide(absent, self.layout, self.cache.layers[0].keys)

        # BOS sees nothing but itself when causal: computed once, it stays right for the episode
        skip = 0 if first or self.config.bidirectional else 1
        fixed = prompt.embeds[:, skip:]
        if self.layout.proprio:
            state = torch.from_numpy(np.asarray(proprio, dtype=np.float32))[None]
            state = state.to(self.device, fixed.dtype)
            fixed[:, 1] = self.model.proprio_projector(state)
        embeds = torch.cat([self.model.project(features)[None], fixed], dim=1)  # [1, R, D]
        visual = torch.from_numpy(np.flatnonzero(plan.active)) + self.layout.visual.start
        rows = torch.cat([visual.to(self.device), prompt.rows[skip:]])  # [R]
        hidden = self.recompute(prompt, embeds, rows, plan, probe_layers)
        clock.lap('decoder')

        normalized, tokens = self._decode(prompt, hidden)
        clock.lap('decode')
        if not np.isfinite(normalized).all():
            raise NonFiniteOutputError(
                'model output: expected finite actions, found NaN or infinity'
            )
        self.cache.commit(produced(plan), patches)
        return StepResult(
            normalized=normalized,
            tokens=tokens,
            reuse=reuse_share(plan, len(self.cache.layers), int(absent.sum())),
            active=plan.active.copy(),
            ages=self.cache.ages() - 1,
            refresh=plan.refresh,
            latency_ms=clock.laps,
        )

    def _features(self, pixel_values: Tensor, active: np.ndarray, whole: bool) -> Tensor:
        """Return the patch features `[R, V]` of active tokens; idle cameras' towers rest."""
        images = pixel_values.view(self.layout.cameras, -1, *pixel_values.shape[2:])
        images = images.to(self.device, self.cache.dtype)
        chosen = torch.from_numpy(active.reshape(len(images), -1)).to(self.device)
        if not active.any():
            return images.new_zeros(0, self.config.vision_dim)
        computed = chosen
        if whole:
            computed = torch.ones_like(chosen)
        elif not self.reuse_towers:
            computed = chosen.any(dim=1, keepdim=True).expand_as(chosen)
        features = self.model.vision_backbone.recompute(images, computed, self.cache.towers)
        return features if computed is chosen else features[chosen[computed]]  # [R, V]

    def recompute(
        self,
        prompt: PromptSlots,
        embeds: Tensor,
        rows: Tensor,
        plan: StepPlan | None = None,
        probe_layers: tuple[int, ...] = (),
    ) -> Tensor:
        """
        Recompute the slots `rows` `[R]` against the cache, from their embeddings `[1, R, D]`.

        With a plan the visual rows, which come first, shrink at the plan's layers. Returns the
        hidden states of the rows that are left, after the final norm.
        """
        cache, llama = self.cache, self.model.language_model.model
        cuts = dict(plan.layers) if plan is not None else {}
        cache.window.visible = prompt.used
        cache.window.rows = rows
        hidden = embeds
        probes: dict[int, Tensor] = {}
        rotary, mask = prompt.at(rows, self._unseen)
        for index, layer in enumerate(llama.layers):
            if index in cuts:
                keep = self._kept(rows, cuts[index])
                cache.window.rows = rows = rows[keep]
                hidden = hidden[:, keep]
                rotary, mask = prompt.at(rows, self._unseen)
            before = hidden
            hidden = decoder.run_layer(layer, hidden, rotary, mask, cache.kv)
            if index in probe_layers:
                probes[index] = self._text_attention(index, prompt, before, rotary, mask)
        if probes:
            cache.attention = Attention.gather(probes)
        return llama.norm(hidden)

    def _kept(self, rows: Tensor, active: np.ndarray) -> Tensor:
        """Return the indices of the rows that are active or not visual."""
        visual = self.layout.visual
        table = torch.ones(self.layout.size, dtype=torch.bool)
        table[visual.start : visual.stop] = torch.from_numpy(active)
        return table.to(self.device)[rows].nonzero()[:, 0]

    def _text_attention(
        self,
        index: int,
        prompt: PromptSlots,
        hidden: Tensor,
        rotary: tuple[Tensor, Tensor],
        mask: Tensor | None,
    ) -> Tensor:
        """Return the attention `[heads, text, V]` of the text rows, which stand last."""
        text, visual = prompt.text, self.layout.visual
        weights = decoder.attention_weights(
            self.model.language_model.model.layers[index],
            hidden[:, -text:],
            (rotary[0][:, -text:], rotary[1][:, -text:]),
            None if mask is None else mask[:, :, -text:],
            self.cache.layers[index].keys[:, :, : prompt.used],
        )[0]  # [heads, text, L]
        return weights[..., visual.start : visual.stop]

    def _decode(self, prompt: PromptSlots, hidden: Tensor) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the normalised actions `[C, A]` and, if discrete, the token ids."""
        oft, model = self.config.oft, self.model
        if oft is None:
            tokens = self._generate(prompt, hidden)
            return self.tokens.decode(tokens)[None], tokens
        # the last text row, then all action rows but the last: each predicts the next token
        start = hidden.shape[1] - prompt.text - 1 - self.layout.actions
        actions = hidden[:, start : start + self.layout.actions - 1]
        read = torch.cat([hidden[:, -1:], actions], dim=1)  # [1, C * A, D]
        if model.action_head is not None:
            return model.action_head(read)[0].to('cpu', torch.float64).numpy(), None
        logits = model.logits(read[0])  # [C * A, vocabulary]
        _check_finite(logits)
        tokens = logits.argmax(-1).cpu().numpy()
        return self.tokens.decode(tokens).reshape(oft.chunk, oft.action_dim), tokens

    def _generate(self, prompt: PromptSlots, hidden: Tensor) -> np.ndarray:
        """Decode greedily, one token and one slot after the other; an early end is no end."""
        tokens = []
        for slot in self.layout.action_slots:
            logits = self.model.logits(hidden[:, -1])  # [1, vocabulary]
            _check_finite(logits)
            tokens.append(logits.argmax(-1))
            if len(tokens) < self.layout.actions:
                embeds = self.model.embed_text(tokens[-1])[None]  # [1, 1, D]
                hidden = self.recompute(prompt, embeds, torch.tensor([slot], device=self.device))
        return torch.cat(tokens).cpu().numpy()


def _check_finite(logits: Tensor) -> None:
    if not torch.isfinite(logits).all():
        raise NonFiniteOutputError('model output: expected finite logits, found NaN or infinity')
