# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Compute every array that a golden sample may hold, from the sample's inputs alone.

Whole-sequence arrays (embeddings, hidden states, logits) come from the model without a cache;
actions, tokens, keys and values come from the slot engine, as a robot would get them. Attention is
what the former pay to the latter. Knows nothing of tolerances.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.layout import TEXT_CAPACITY
from vla_cache_ros.caching.plans import full_plan
from vla_cache_ros.caching.step import StepResult
from vla_cache_ros.vla import decoder
from vla_cache_ros.vla.actions import OFT_EPSILON
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.model import VLAModel
from vla_cache_ros.vla.prompt import end_with_blank

# Llama's id of the blank; golden folders hold prompts as ids and need no tokenizer
LLAMA_BLANK = 29871


@torch.inference_mode()
def openvla_arrays(loaded: LoadedVLA, sample: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of an OpenVLA sample from its `image` and `prompt_input_ids`."""
    model, action_dim = loaded.model, len(sample['generated_ids'])
    values, ids, engine, result = _first_step(loaded, [sample['image']], sample, None, action_dim)
    features = model.vision_features(values)  # [1, 256, V]
    visual = model.project(features)
    text = model.embed_text(torch.tensor([ids + [int(i) for i in result.tokens[:-1]]]))
    embeds = torch.cat([text[:, :1], visual, text[:, 1:]], dim=1)  # to the last token but one
    states = _hidden_states(model, embeds)
    rows = embeds.shape[1] - action_dim + 1  # that stand before the first action token
    prompt = states[:, :, :rows]
    logits, step_logits = model.logits(prompt[-1]), model.logits(states[-1, 0, rows - 1 :])
    keys, cached_values = _keys_and_values(engine, len(ids) - 1, rows)
    columns, top = _action_columns(loaded), step_logits.topk(2).values
    towers = loaded.config.towers
    names = ['patches_siglip' if tower.attention_pool else 'patches_dino' for tower in towers]
    patches = features.split([tower.embed_dim for tower in towers], dim=-1)
    arrays = {
        'input_ids': np.array([ids]),
        'pixel_values': values,
        **dict(zip(names, patches, strict=True)),
        'projected_patch_embeddings': visual,
        'all_hidden_states': prompt,
        'final_hidden_states': prompt[-1],
        'logits_last': logits[:, -1],
        'logits_action_cols': logits[..., columns],
        'kv_keys': keys,
        'kv_values': cached_values,
        'attn_text_rows': _text_attention(model, prompt, keys, len(ids) - 1),
        'generated_ids': result.tokens,
        'generated_len': len(result.tokens),
        'step_argmax': step_logits.argmax(-1),
        'step_logits_action_cols': step_logits[:, columns],
        'step_top2_margin': top[:, 0] - top[:, 1],
        'normalized_actions': result.normalized[0],
    }
    for key in loaded.norm_stats:
        bounds = loaded.statistics(key).action
        if len(bounds) == action_dim:
            arrays[f'actions_{key}'] = bounds.denormalize(result.normalized[0])
    return {name: np.asarray(value) for name, value in arrays.items()}


@torch.inference_mode()
def oft_arrays(
    loaded: LoadedVLA, sample: Mapping[str, np.ndarray], unnorm_key: str | None
) -> dict[str, np.ndarray]:
    """Return the arrays of an OFT sample from `images`, `prompt_input_ids` and `state`."""
    model, statistics = loaded.model, loaded.statistics(unnorm_key)
    arrays: dict[str, Any] = {}
    proprio = state = None
    if model.proprio_projector is not None:
        proprio = statistics.normalize_proprio(sample['state'])
        arrays['proprio'] = statistics.proprio.normalize(sample['state'])
        state = torch.from_numpy(proprio)[None]
    values, ids, engine, result = _first_step(loaded, sample['images'], sample, proprio)
    visual = model.project(model.vision_features(values, model.modulation(ids)))
    embeds = model.chunk_embeds(visual, torch.tensor([ids]), state)
    rows = embeds.shape[1]
    hidden = model.decode(embeds, torch.arange(rows)[None], bidirectional=True)
    actions = hidden[:, -engine.layout.actions - 2 : -2]
    keys, cached_values = _keys_and_values(engine, len(ids) - 1, rows)
    arrays |= {
        'projected_patch_embeddings': visual,
        'inputs_embeds': embeds,
        'final_hidden_states': hidden,
        'actions_hidden_states': actions,
        'kv_keys': keys,
        'kv_values': cached_values,
        'normalized_actions': result.normalized,
        'actions': statistics.action.denormalize(result.normalized, OFT_EPSILON),
    }
    if result.tokens is not None:
        logits = model.logits(actions[0])
        top = logits.topk(2).values
        arrays |= {
            'action_token_ids': result.tokens,
            'action_logits_cols': logits[:, _action_columns(loaded)],
            'top2_margin': top[:, 0] - top[:, 1],
        }
    return {name: np.asarray(value) for name, value in arrays.items()}


def _first_step(
    loaded: LoadedVLA,
    images: Iterable[np.ndarray],
    sample: Mapping[str, np.ndarray],
    proprio: np.ndarray | None,
    action_dim: int = 7,
) -> tuple[Tensor, list[int], SlotEngine, StepResult]:
    """Return pixel values, prompt ids, and the engine after a dense step with what it returned."""
    pixels = loaded.images.see(list(images))
    values = loaded.images.normalize(pixels)
    ids = end_with_blank([int(i) for i in sample['prompt_input_ids'][0]], LLAMA_BLANK)
    engine = SlotEngine(loaded.model, action_dim, text_capacity=max(TEXT_CAPACITY, len(ids)))
    plan = full_plan(engine.layout.visual_tokens, 'first_step')
    return values, ids, engine, engine.step(pixels, values, ids, proprio, plan)


def _hidden_states(model: VLAModel, embeds: Tensor) -> Tensor:
    """Return what each layer reads, then what the norm gives, `[layers + 1, 1, R, D]`."""
    states: list[Tensor] = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, inputs: states.append(inputs[0]))
        for layer in model.language_model.model.layers
    ]
    try:
        states.append(model.decode(embeds, torch.arange(embeds.shape[1])[None]))
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(states)


def _text_attention(model: VLAModel, states: Tensor, keys: Tensor, text: int) -> Tensor:
    """Return what the last `text` of R rows attend to, `[layers, 1, heads, text, R]`."""
    llama, rows = model.language_model.model, states.shape[2]
    rotary = llama.rotary_emb(states[0], position_ids=torch.arange(rows - text, rows)[None])
    mask = torch.full((text, rows), -torch.inf).triu(rows - text + 1)
    return torch.stack(
        [
            decoder.attention_weights(layer, entered[:, -text:], rotary, mask, cached)
            for layer, entered, cached in zip(llama.layers, states[:-1], keys, strict=True)
        ]
    )


def _keys_and_values(engine: SlotEngine, text: int, rows: int) -> tuple[Tensor, Tensor]:
    """Return the cache, each `[layers, 1, heads, rows, head_dim]`, by rotary position."""
    order = torch.from_numpy(np.argsort(engine.layout.positions(text)))[:rows]
    layers = engine.cache.layers
    keys = torch.stack([layer.keys[:, :, order] for layer in layers])
    return keys, torch.stack([layer.values[:, :, order] for layer in layers])


def _action_columns(loaded: LoadedVLA) -> slice:
    """Return the logits' columns from the first action token to the end."""
    return slice(loaded.config.action_vocab_end - loaded.config.n_action_bins, None)
