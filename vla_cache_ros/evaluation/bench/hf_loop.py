# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run a model the way its users do: transformers' own loop, nothing kept.

Towers whole for every image, projector, one sequence, then `generate` (OpenVLA), or one call of
the Llama, with full attention (OFT) or causal (a head on the last token); flow models as in
`flow_loop`. Fused attention, inference mode, uncompiled. Begins and ends where `Policy.act` does
and shares what surrounds the model with it: image path, normalisation, the prompt's ids kept while
the instruction stays, un-normalisation. Knows no slots and no cache of episodes.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers import GenerationConfig
from transformers import StoppingCriteria
from transformers import StoppingCriteriaList
from vla_cache_ros.caching.stopwatch import StageClock
from vla_cache_ros.evaluation.bench.flow_loop import PlainFlow
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport
from vla_cache_ros.vla.actions import ActionTokens
from vla_cache_ros.vla.checkpoint import LoadedVLA

NAME = 'hf'


class _FirstToken(StoppingCriteria):
    """End the clock's stage `decoder` when the first token has been chosen; never stop."""

    def __init__(self, clock: StageClock) -> None:
        self.clock: StageClock | None = clock

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: object) -> Tensor:
        if self.clock is not None:
            self.clock.lap('decoder')
            self.clock = None
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


class HFLoop:
    """
    Act on observations with transformers alone; cache_bytes: keys and values of a step.

    empty_cameras: see `PlainFlow`.
    """

    name = NAME

    def __init__(
        self, vla: LoadedVLA, unnorm_key: str | None = None, empty_cameras: int = 0
    ) -> None:
        self.statistics = vla.statistics(unnorm_key)
        self.cache_bytes = 0
        self._vla = vla
        self._config = vla.config
        self._tokens = ActionTokens(vla.config.action_vocab_end, vla.config.n_action_bins)
        self._weight = vla.model.like
        self._instruction: tuple[str, list[int]] = ('', [])
        self._step = 0
        self._flow = PlainFlow(vla.model, empty_cameras) if vla.config.flow else None

    def reset(self, cause: str = 'episode_reset') -> None:
        """Start an episode: only the number of the step is forgotten."""
        self._step = 0

    @torch.inference_mode()
    def act(self, observation: Observation) -> tuple[ActionChunk, StepReport]:
        """Return the actions and a report with the same stages as a policy's."""
        begin = time.perf_counter()
        device = self._weight.device
        proprio = state = None
        if self._config.proprio_dim:
            state = self.statistics.normalize_proprio(np.asarray(observation.proprio))
            # what takes the state of a flow model is exact
            kind = torch.float32 if self._flow else self._weight.dtype
            proprio = torch.from_numpy(state)[None].to(device, kind)  # [1, P]
        ids = torch.tensor([self._prompt(observation.instruction, state)], device=device)
        pixels = self._vla.images.see(observation.images)
        pixel_values = self._vla.images.normalize(pixels, observation.images)
        pixel_values = pixel_values.to(device, self._weight.dtype)
        preprocessed = time.perf_counter()

        clock = StageClock(device)
        normalized = self._compute(pixel_values, ids, proprio, clock)
        clock.lap('decode')
        actions = self.statistics.to_actions(normalized, observation.proprio)
        tokens = self._config.cameras * self._config.tokens
        report = StepReport(
            step=self._step,
            gate=self.name,
            reuse=0.0,
            active=np.ones(tokens, dtype=bool),
            ages=np.zeros(tokens, dtype=np.int64),
            latency_ms={
                'preprocess': 1e3 * (preprocessed - begin),
                'gate': 0.0,
                **clock.laps(),
                'total': 1e3 * (time.perf_counter() - begin),
            },
            passes=normalized.shape[1] - 1 if self._config.decodes_tokens else 0,
        )
        self._step += 1
        return ActionChunk(actions, normalized), report

    def _compute(
        self, pixel_values: Tensor, ids: Tensor, proprio: Tensor | None, clock: StageClock
    ) -> np.ndarray:
        """Return the normalised actions `[C, A]` of a tower's input, a prompt and a state."""
        features = self._see(pixel_values)  # [1, V, F]
        clock.lap('vision')
        visual = self._vla.model.project(features)  # [1, V, D]
        if self._flow is not None:
            return self._denoise(visual, ids, proprio, clock)
        if self._config.head is not None:
            return self._read(visual, ids, clock)
        if self._config.oft is None:
            return self._generate(visual, ids, clock)
        return self._regress(visual, ids, proprio, clock)

    def _prompt(self, instruction: str, state: np.ndarray | None) -> list[int]:
        """Return the prompt's ids, made anew where it holds the state."""
        if self._flow is not None and self._config.flow.state_in_prompt:
            return self._vla.prompt_ids(instruction, state)
        if instruction != self._instruction[0] or not self._instruction[1]:
            self._instruction = (instruction, self._vla.prompt_ids(instruction))
        return self._instruction[1]

    def _see(self, pixel_values: Tensor) -> Tensor:
        see = self._vla.model.vision_features if self._flow is None else self._flow.see
        return see(pixel_values)

    def _denoise(
        self, visual: Tensor, ids: Tensor, proprio: Tensor | None, clock: StageClock
    ) -> np.ndarray:
        """Run a prefix once and its expert step by step; returns normalised actions `[C, A]`."""
        memory = self._flow.prefix(visual, ids, proprio)
        clock.lap('decoder')
        self.cache_bytes = sum(one.nbytes for one in (*memory.keys, *memory.values))
        noise = self._vla.model.action_head.noise(0, self._step)
        return self._flow.denoise(memory, noise, proprio).to('cpu', torch.float64).numpy()

    def _run(self, embeds: Tensor, causal: bool) -> Tensor:
        """Run the Llama on a whole sequence `[1, R, D]`."""
        llama = self._vla.model.language_model
        cache = DynamicCache(config=llama.config)
        found = llama.model(
            inputs_embeds=embeds, past_key_values=cache, use_cache=True, is_causal=causal
        )
        self.cache_bytes = _bytes(cache)
        return found.last_hidden_state

    def _generate(self, visual: Tensor, ids: Tensor, clock: StageClock) -> np.ndarray:
        """Decode the action's tokens greedily; returns normalised actions `[1, A]`."""
        language = self._vla.model.language_model
        text = self._vla.model.embed_text(ids)  # [1, T, D]
        embeds = torch.cat([text[:, :1], visual, text[:, 1:]], dim=1)
        count = len(self.statistics.action)
        cache = DynamicCache(config=language.config)
        settings = GenerationConfig(
            max_new_tokens=count,
            do_sample=False,
            # an early end would be no action: an id that no token has
            eos_token_id=language.config.vocab_size,
            pad_token_id=0,
            use_cache=True,
        )
        tokens = language.generate(
            inputs_embeds=embeds,
            attention_mask=ids.new_ones(embeds.shape[:2]),
            past_key_values=cache,
            generation_config=settings,
            stopping_criteria=StoppingCriteriaList([_FirstToken(clock)]),
        )[0]
        self.cache_bytes = _bytes(cache)
        return self._tokens.decode(tokens.cpu().numpy()[-count:])[None]

    def _read(self, visual: Tensor, ids: Tensor, clock: StageClock) -> np.ndarray:
        """Run a causal sequence once; returns what a head makes of its end, `[C, A]`."""
        model = self._vla.model
        text = model.embed_text(ids)  # [1, T, D]
        embeds = torch.cat([text[:, :1], visual, text[:, 1:]], dim=1)
        hidden = self._run(embeds, causal=True)
        clock.lap('decoder')
        actions = model.action_head(hidden[:, -1:], model.action_head.noise(0, self._step))[0]
        return actions.to('cpu', torch.float64).numpy()

    def _regress(
        self, visual: Tensor, ids: Tensor, proprio: Tensor | None, clock: StageClock
    ) -> np.ndarray:
        """Run an OFT sequence once; returns normalised actions `[C, A]`."""
        oft, model = self._config.oft, self._vla.model
        embeds = model.chunk_embeds(visual, ids, proprio)  # [1, R, D]
        hidden = self._run(embeds, causal=False)
        clock.lap('decoder')
        # from the last token of the prompt to the last action slot but one
        read = hidden[:, -2 - oft.chunk * oft.action_dim : -2]
        if model.action_head is not None:
            return model.action_head(read)[0].to('cpu', torch.float64).numpy()
        tokens = model.logits(read[0]).argmax(-1).cpu().numpy()
        return self._tokens.decode(tokens).reshape(oft.chunk, oft.action_dim)


def _bytes(cache: DynamicCache) -> int:
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
