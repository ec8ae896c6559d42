# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Compute every array that a golden sample may hold, from the sample's inputs alone.

Whole-sequence arrays (embeddings, hidden states, logits) come from the model without a cache;
actions, tokens, keys, values and attention come from the slot engine, as a robot would get them.
Knows nothing of tolerances.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.types import StepPlan
from vla_cache_ros.vla import decoder
from vla_cache_ros.vla.actions import OFT_EPSILON
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.images import resize
from vla_cache_ros.vla.prompt import end_with_blank

# Llama's id of the blank; golden folders hold prompts as ids and need no tokenizer
LLAMA_BLANK = 29871


@torch.inference_mode()
def openvla_arrays(loaded: LoadedVLA, sample: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of an OpenVLA sample from its `image` and `prompt_input_ids`."""
    model = loaded.model
    pixels = resize(sample['image'])[None]
    values = loaded.images.normalize(pixels)
    ids = end_with_blank([int(i) for i in sample['prompt_input_ids'][0]], LLAMA_BLANK)
    action_dim = len(sample['generated_ids'])
    engine = SlotEngine(model, action_dim=action_dim, text_capacity=max(64, len(ids)))
    every = StepPlan(np.ones(engine.layout.visual_tokens, dtype=bool))
    layers = range(len(engine.cache.layers))
    result = engine.step(pixels, values, ids, None, every, probe_layers=layers)

    visual = model.project(model.vision_features(values))  # [1, 256, D]
    text = model.embed_text(torch.tensor([ids + [int(i) for i in result.tokens[:-1]]]))
    embeds = torch.cat([text[:, :1], visual, text[:, 1:]], dim=1)
    length = embeds.shape[1] - action_dim + 1  # up to the first action token
    prefill = _hidden_states(loaded, embeds[:, :length])
    steps = model.decode(embeds, torch.arange(embeds.shape[1])[None])[0, length - 1 :]
    logits, step_logits = model.logits(prefill[-1]), model.logits(steps)
    columns = _action_columns(loaded)
    top = step_logits.topk(2).values
    arrays = {
        'input_ids': np.array([ids]),
        'pixel_values': values,
        'final_hidden_states': prefill[-1],
        'all_hidden_states': torch.stack(prefill),
        'logits_last': logits[:, -1],
        'logits_action_cols': logits[..., columns],
        'attn_text_rows': _text_attention(loaded, engine, prefill, len(ids) - 1),
        'generated_ids': result.tokens,
        'generated_len': np.array(len(result.tokens)),
        'step_argmax': step_logits.argmax(-1),
        'step_logits_action_cols': step_logits[:, columns],
        'step_top2_margin': top[:, 0] - top[:, 1],
        'normalized_actions': result.normalized[0],
        **_visual_arrays(loaded, values, visual),
        **_keys_and_values(engine, len(ids) - 1, length),
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
    pixels = np.stack([resize(image) for image in sample['images']])
    values = loaded.images.normalize(pixels)
    ids = end_with_blank([int(i) for i in sample['prompt_input_ids'][0]], LLAMA_BLANK)
    arrays: dict[str, Any] = {}
    proprio = state = None
    if model.proprio_projector is not None:
        proprio = statistics.normalize_proprio(sample['state'])
        arrays['proprio'] = statistics.proprio.normalize(sample['state'])
        state = torch.from_numpy(proprio)[None]
    engine = SlotEngine(model, text_capacity=max(64, len(ids)))
    every = StepPlan(np.ones(engine.layout.visual_tokens, dtype=bool))
    result = engine.step(pixels, values, ids, proprio, every)

    visual = model.project(model.vision_features(values))
    embeds = model.chunk_embeds(visual, torch.tensor([ids]), state)
    rows = embeds.shape[1]
    hidden = model.decode(embeds, torch.arange(rows)[None], bidirectional=True)
    slots = engine.layout.actions
    actions = hidden[:, -slots - 2 : -2]
    arrays |= {
        'inputs_embeds': embeds,
        'final_hidden_states': hidden,
        'actions_hidden_states': actions,
        'normalized_actions': result.normalized,
        'actions': statistics.action.denormalize(result.normalized, OFT_EPSILON),
        **_visual_arrays(loaded, values, visual),
        **_keys_and_values(engine, len(ids) - 1, rows),
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


def _hidden_states(loaded: LoadedVLA, embeds: Tensor) -> list[Tensor]:
    """Return the embeddings and each layer's output `[1, R, D]`, the last one after the norm."""
    llama = loaded.model.language_model.model
    positions = torch.arange(embeds.shape[1])[None]
    rotary = llama.rotary_emb(embeds, position_ids=positions)
    states = [embeds]
    for layer in llama.layers:
        states.append(
            layer(states[-1], attention_mask=None, position_embeddings=rotary, is_causal=True)
        )
    states[-1] = llama.norm(states[-1])
    return states


def _text_attention(
    loaded: LoadedVLA, engine: SlotEngine, states: list[Tensor], text: int
) -> Tensor:
    """Return what the text rows attend to, `[layers, 1, heads, T, R]`, in reference order."""
    llama, rows = loaded.model.language_model.model, states[0].shape[1]
    order = _reference_order(engine, text)[:rows]
    positions = torch.arange(rows - text, rows)[None]
    rotary = llama.rotary_emb(states[0], position_ids=positions)
    mask = torch.zeros(text, rows).masked_fill(
        torch.arange(rows)[None] > positions[0][:, None], torch.finfo(torch.float32).min
    )
    weights = [
        decoder.attention_weights(
            layer, states[i][:, -text:], rotary, mask, engine.cache.layers[i].keys[:, :, order]
        )
        for i, layer in enumerate(llama.layers)
    ]
    return torch.stack(weights)[:, None]


def _visual_arrays(loaded: LoadedVLA, values: Tensor, visual: Tensor) -> dict[str, Tensor]:
    features = loaded.model.vision_features(values)
    arrays, start = {'projected_patch_embeddings': visual}, 0
    for tower in loaded.config.towers:
        name = 'patches_siglip' if tower.attention_pool else 'patches_dino'
        arrays[name] = features[..., start : start + tower.embed_dim]
        start += tower.embed_dim
    return arrays


def _reference_order(engine: SlotEngine, text: int) -> Tensor:
    """Return the slots in the order of their rotary positions."""
    return torch.from_numpy(np.argsort(engine.layout.positions(text)))


def _keys_and_values(engine: SlotEngine, text: int, rows: int) -> dict[str, Tensor]:
    """Return the cache `[layers, 1, heads, rows, head_dim]` in the reference's order."""
    order = _reference_order(engine, text)[:rows]
    layers = engine.cache.layers
    return {
        'kv_keys': torch.stack([layer.keys[:, :, order] for layer in layers]),
        'kv_values': torch.stack([layer.values[:, :, order] for layer in layers]),
    }


def _action_columns(loaded: LoadedVLA) -> slice:
    """Return the logits' columns from the first action token to the end."""
    return slice(loaded.config.action_vocab_end - loaded.config.n_action_bins, None)
