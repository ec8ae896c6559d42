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
import time

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.caching.episode_cache import Attention
from vla_cache_ros.caching.episode_cache import EpisodeCache
from vla_cache_ros.caching.episode_cache import Invalidation
from vla_cache_ros.caching.layout import BOS
from vla_cache_ros.caching.layout import SlotLayout
from vla_cache_ros.caching.layout import TEXT_CAPACITY
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.types import StepPlan
from vla_cache_ros.vla import decoder
from vla_cache_ros.vla.actions import ActionTokens
from vla_cache_ros.vla.config import PATCHES_PER_IMAGE
from vla_cache_ros.vla.config import STOP_ID
from vla_cache_ros.vla.errors import InputError
from vla_cache_ros.vla.model import PrismaticVLA


class NonFiniteOutputError(RuntimeError):
    """Say that the model's output held a NaN or an infinity; the cache has been invalidated."""


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


@dataclass(frozen=True)
class _Prompt:
    """Hold what depends on the instruction alone; L is the number of slots in use."""

    ids: tuple[int, ...]
    used: int
    rows: Tensor  # [F] slots besides the visual ones that a step recomputes, text last
    embeds: Tensor  # [1, F, D] their embeddings, zeros for proprio and actions
    cos: Tensor  # [L, head_dim]
    sin: Tensor  # [L, head_dim]
    mask: Tensor | None  # [L, L] added to the scores, None when all slots see each other


class SlotEngine:
    """
    Run one model step by step against one episode's cache.

    action_dim: action tokens of a causal model. text_capacity: longest prompt, without BOS.
    """

    def __init__(
        self, model: PrismaticVLA, action_dim: int = 7, text_capacity: int = TEXT_CAPACITY
    ) -> None:
        self.model = model
        self.config = model.config
        self.layout = SlotLayout.for_model(model.config, action_dim, text_capacity)
        self.tokens = ActionTokens(model.config.action_vocab_end, model.config.n_action_bins)
        weight = model.language_model.lm_head.weight
        self.device = weight.device
        self.cache = EpisodeCache(self.layout, model.language_model.config, weight.detach())
        self._prompt: _Prompt | None = None

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
        prompt = self._prepare(ids)
        cache = self.cache
        if self._prompt is not prompt:
            if self.config.bidirectional and cache.valid:
                cache.invalidate(Invalidation.NEW_INSTRUCTION)
            self._prompt = prompt
        refresh = plan.refresh
        if not cache.valid:
            refresh = refresh or cache.cause or 'first_step'
            plan = StepPlan(np.ones(self.layout.visual_tokens, dtype=bool), refresh=refresh)
            first = True
        else:
            first = False
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
        before = plan.active
        for _, active in (*plan.layers, (0, plan.active)):
            if active.dtype != bool or active.shape != (layout.visual_tokens,):
                raise ValueError(
                    f'plan: expected bool [{layout.visual_tokens}] for each layer, '
                    f'found {active.dtype} {list(active.shape)}'
                )
        for layer, active in plan.layers:
            if (active & ~before).any():
                raise ValueError(f'plan: expected layer {layer} to keep a subset of tokens')
            before = active

    def _prepare(self, ids: Sequence[int]) -> _Prompt:
        """Return what depends on the prompt, computed once for each instruction."""
        ids = tuple(int(i) for i in ids)
        if self._prompt is not None and self._prompt.ids == ids:
            return self._prompt
        layout, model, text = self.layout, self.model, len(ids) - 1
        layout.check_text(text)
        used = layout.used(text)
        positions = torch.from_numpy(layout.positions(text)).to(self.device)
        text_rows = layout.text[:text]
        if self.config.bidirectional:
            slots = [BOS, *layout.proprio_slots, *layout.action_slots, *layout.stop_slots]
        else:
            slots = [BOS]
        embeds = torch.zeros(
            1, len(slots) + text, self.config.hidden_dim, dtype=self.cache.layers[0].keys.dtype
        ).to(self.device)
        embedded = model.embed_text(torch.tensor(ids, device=self.device))  # [T, D]
        embeds[0, 0] = embedded[0]
        embeds[0, len(slots) :] = embedded[1:]
        if layout.stop:
            embeds[0, len(slots) - 1] = model.embed_text(torch.tensor(STOP_ID).to(self.device))
        cos, sin = model.language_model.model.rotary_emb(embeds, position_ids=positions[None])
        mask = None
        if not self.config.bidirectional:
            hidden = positions[None, :] > positions[:, None]  # [L, L]
            lowest = torch.finfo(embeds.dtype).min
            mask = torch.zeros(used, used, dtype=embeds.dtype).to(self.device)
            mask.masked_fill_(hidden, lowest)
        rows = torch.tensor([*slots, *text_rows], device=self.device)
        return _Prompt(ids, used, rows, embeds, cos[0], sin[0], mask)

    def _run(
        self,
        pixels: np.ndarray,
        pixel_values: Tensor,
        prompt: _Prompt,
        proprio: np.ndarray | None,
        plan: StepPlan,
        first: bool,
        probe_layers: tuple[int, ...],
    ) -> StepResult:
        clock = _Clock(self.device)
        patches = patchify(pixels)
        chosen = torch.from_numpy(np.flatnonzero(plan.active)).to(self.device)  # [N]
        features = self._features(pixel_values, plan.active, chosen)
        clock.lap('vision')

        # BOS sees nothing but itself when causal: computed once, it stays right for the episode
        skip = 0 if first or self.config.bidirectional else 1
        fixed = prompt.embeds[:, skip:]
        if self.layout.proprio:
            state = torch.from_numpy(np.asarray(proprio, dtype=np.float32))[None]
            state = state.to(self.device, fixed.dtype)
            fixed[:, 1] = self.model.proprio_projector(state)
        embeds = torch.cat([self.model.project(features)[None], fixed], dim=1)  # [1, R, D]
        rows = torch.cat([chosen + self.layout.visual.start, prompt.rows[skip:]])  # [R]
        hidden = self.recompute(prompt, embeds, rows, plan, probe_layers)
        clock.lap('decoder')

        normalized, tokens = self._decode(prompt, hidden)
        clock.lap('decode')
        if not np.isfinite(normalized).all():
            raise NonFiniteOutputError(
                'model output: expected finite actions, found NaN or infinity'
            )
        produced = plan.layers[-1][1] if plan.layers else plan.active
        self.cache.commit(produced, patches)
        return StepResult(
            normalized=normalized,
            tokens=tokens,
            reuse=self._reuse(plan),
            active=plan.active.copy(),
            ages=self.cache.ages() - 1,
            refresh=plan.refresh,
            latency_ms=clock.laps,
        )

    def _features(self, pixel_values: Tensor, active: np.ndarray, chosen: Tensor) -> Tensor:
        """Return the patch features `[N, V]` of active tokens; still cameras' towers rest."""
        layout = self.layout
        cameras = np.flatnonzero(active.reshape(layout.cameras, PATCHES_PER_IMAGE).any(axis=1))
        if len(cameras) == 0:
            return pixel_values.new_zeros(0, self.config.vision_dim).to(
                self.device, self.cache.layers[0].keys.dtype
            )
        images = pixel_values.view(layout.cameras, -1, *pixel_values.shape[2:])
        if len(cameras) < layout.cameras:
            images = images[torch.from_numpy(cameras)]
            offset = torch.zeros(layout.cameras, dtype=torch.long)
            offset[cameras] = torch.arange(len(cameras)) - torch.from_numpy(cameras)
            shift = offset.to(self.device)[chosen // PATCHES_PER_IMAGE] * PATCHES_PER_IMAGE
            chosen = chosen + shift
        images = images.to(self.device, self.cache.layers[0].keys.dtype)
        features = self.model.vision_features(images)  # [cams, 256, V]
        features = features.reshape(-1, features.shape[-1])
        return features if len(chosen) == len(features) else features[chosen]

    def recompute(
        self,
        prompt: _Prompt,
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
        visual = self.layout.visual
        cache.window.visible = prompt.used
        hidden = embeds
        probes: dict[int, tuple[Tensor, Tensor]] = {}
        cos, sin, mask = self._at(prompt, rows)
        for index, layer in enumerate(llama.layers):
            if index in cuts:
                active = torch.from_numpy(cuts[index]).to(self.device)
                tokens = rows - visual.start
                is_visual = (tokens >= 0) & (tokens < len(visual))
                kept = ~is_visual | active[tokens.clamp(0, len(visual) - 1)]
                keep = kept.nonzero()[:, 0]
                if len(keep) < len(rows):
                    rows, hidden = rows[keep], hidden[:, keep]
                    cos, sin, mask = self._at(prompt, rows)
            cache.window.rows = rows
            before = hidden
            hidden = decoder.run_layer(layer, hidden, (cos, sin), mask, cache.kv)
            if index in probe_layers:
                text = len(prompt.ids) - 1
                weights = decoder.attention_weights(
                    layer,
                    before[:, -text:],
                    (cos[:, -text:], sin[:, -text:]),
                    None if mask is None else mask[:, :, -text:],
                    cache.layers[index].keys[:, :, : prompt.used],
                )  # [heads, text, L]
                probes[index] = _summary(weights[..., visual.start : visual.stop])
        if probes:
            cache.attention = Attention(
                tuple(sorted(probes)),
                torch.stack([probes[i][0] for i in sorted(probes)]).cpu().numpy(),
                torch.stack([probes[i][1] for i in sorted(probes)]).cpu().numpy(),
            )
        return llama.norm(hidden)

    def _at(self, prompt: _Prompt, rows: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        mask = None if prompt.mask is None else prompt.mask[rows][None, None]  # [1, 1, R, L]
        return prompt.cos[rows][None], prompt.sin[rows][None], mask

    def _decode(self, prompt: _Prompt, hidden: Tensor) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the normalised actions `[C, A]` and, if discrete, the token ids."""
        oft, model = self.config.oft, self.model
        if oft is None:
            tokens = self._generate(prompt, hidden)
            return self.tokens.decode(tokens)[None], tokens
        text = len(prompt.ids) - 1
        # the last text row, then all action rows but the last: each predicts the next token
        start = hidden.shape[1] - text - 1 - self.layout.actions
        actions = hidden[:, start : start + self.layout.actions - 1]
        read = torch.cat([hidden[:, -1:], actions], dim=1)  # [1, C * A, D]
        if model.action_head is not None:
            return model.action_head(read)[0].to('cpu', torch.float64).numpy(), None
        logits = model.logits(read[0])  # [C * A, vocabulary]
        _check_finite(logits)
        tokens = logits.argmax(-1).cpu().numpy()
        return self.tokens.decode(tokens).reshape(oft.chunk, oft.action_dim), tokens

    def _generate(self, prompt: _Prompt, hidden: Tensor) -> np.ndarray:
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

    def _reuse(self, plan: StepPlan) -> float:
        layers = len(self.cache.layers)
        counts = np.full(layers, plan.active.sum())
        for layer, active in plan.layers:
            counts[layer:] = active.sum()
        return 1.0 - float(counts.sum()) / (layers * self.layout.visual_tokens)


def _check_finite(logits: Tensor) -> None:
    if not torch.isfinite(logits).all():
        raise NonFiniteOutputError('model output: expected finite logits, found NaN or infinity')


def _summary(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Reduce attention `[heads, text, V]` to a mean `[V]` and a mean entropy in nats."""
    rows = weights.mean(0)  # [text, V]
    shares = rows / rows.sum(-1, keepdim=True).clamp(min=1e-12)
    entropy = -(shares * shares.clamp(min=1e-12).log()).sum(-1).mean()
    return rows.mean(0), entropy


class _Clock:
    """Time consecutive stages, waiting for the device at each boundary."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.laps: dict[str, float] = {}
        self.last = self._now()

    def _now(self) -> float:
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def lap(self, name: str) -> None:
        now = self._now()
        self.laps[name] = 1000 * (now - self.last)
        self.last = now
