# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Ask the dense model what a gate is taught with: actions and attention, or action tokens.

Actions and attention are kept beside the run, so that only the first run waits for them. Knows no
gate.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch import Tensor
from tqdm import tqdm
from transformers import DynamicCache
from vla_cache_ros.caching.gates import DenseGate
from vla_cache_ros.policy import Policy
from vla_cache_ros.training.batches import batch_inputs
from vla_cache_ros.training.batches import flow_start
from vla_cache_ros.training.frames import save_whole
from vla_cache_ros.training.masked import denoise
from vla_cache_ros.training.masked import FlowStart
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.types import Observation
from vla_cache_ros.vla import decoder
from vla_cache_ros.vla.actions import ActionTokens
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.model import VLAModel

BATCH = 4


class Teacher:
    """
    Hold the dense model's answers to every frame.

    actions: float32 `[N, C, A]`, normalised. attention: float32 `[N, V]` that text and action rows
    pay to each visual token, mean over rows and heads, sum over layers.
    """

    def __init__(
        self, vla: LoadedVLA, recordings: Recordings, folder: Path, flow_steps: int = 1
    ) -> None:
        """
        Read the answers from a file of this model and these recordings, or make it.

        flow_steps: in which a flow model's actions are denoised.
        """
        kind = f'teacher-flow{flow_steps}' if vla.config.flow else 'teacher'
        file = folder / f'{kind}-{vla.fingerprint[:12]}-{recordings.digest}.npz'
        if file.exists():
            answers = np.load(file, allow_pickle=False)
            self.actions, self.attention = answers['actions'], answers['attention']
            return
        count = len(recordings.frames)
        actions, attentions = [], []
        for start in tqdm(range(0, count, BATCH), unit='batch', desc='dense model', mininterval=5):
            rows = np.arange(start, min(start + BATCH, count))
            inputs = batch_inputs(vla, recordings, rows)
            start = flow_start(vla, rows, flow_steps)
            with torch.inference_mode():
                answer, attention = dense_step(vla.model, *inputs, start)
            actions.append(answer.cpu().numpy())
            attentions.append(attention.cpu().numpy())
        self.actions, self.attention = np.concatenate(actions), np.concatenate(attentions)
        save_whole(file, actions=self.actions, attention=self.attention)


class DenseTokens:
    """Ask the dense model for the action tokens of frames, once for each."""

    def __init__(self, vla: LoadedVLA, recordings: Recordings) -> None:
        """Ask nothing yet."""
        self._policy, self._recordings = Policy(vla, DenseGate()), recordings
        self._device = vla.model.like.device
        self._tokens = ActionTokens(vla.config.action_vocab_end, vla.config.n_action_bins)
        self._known: dict[int, np.ndarray] = {}

    def __call__(self, rows: np.ndarray) -> Tensor:
        """Return the tokens that greedy decoding gives, ids `[B, A]`."""
        tokens = torch.from_numpy(np.stack([self._of(int(row)) for row in rows]))
        return tokens.to(self._device)

    def _of(self, row: int) -> np.ndarray:
        if row not in self._known:
            images = tuple(self._recordings.frames.images(np.array([row]))[0])
            seen = Observation(images, self._recordings.instruction(row))
            chunk, _ = self._policy.act(seen)
            self._known[row] = self._tokens.encode(chunk.normalized[0])
        return self._known[row]


def dense_step(
    model: VLAModel,
    pixel_values: Tensor,
    ids: Tensor,
    ids_mask: Tensor,
    proprio: Tensor | None,
    start: FlowStart | None = None,
) -> tuple[Tensor, Tensor]:
    """
    Return action chunks `[B, C, A]` and the attention `[B, V]` of text and action rows.

    start: of a flow model's chunks, whose text rows alone ask.
    """
    visual = model.project(model.vision_features(pixel_values))
    if start is not None:
        return _dense_flow(model, visual, ids, ids_mask, proprio, start)
    hidden = model.chunk_embeds(visual, ids, proprio)
    positions, key_mask, read = model.chunk_rows(hidden.shape[1], ids, ids_mask)
    llama, tokens = model.language_model.model, visual.shape[1]
    rotary = llama.rotary_emb(hidden, position_ids=positions)
    seen = decoder.attention_mask(positions, key_mask, bidirectional=True)  # [B, 1, 1, R]
    added = torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, -torch.inf)
    asking = slice(1 + tokens, None)
    weight = key_mask[:, asking].float()  # [B, rows]; padding asks nothing
    weight = weight / weight.sum(1, keepdim=True)
    cache, total = DynamicCache(), 0
    for index, layer in enumerate(llama.layers):
        before = hidden
        hidden = decoder.run_layer(layer, hidden, rotary, seen, cache)
        attention = decoder.attention_weights(
            layer,
            before[:, asking],
            tuple(table[:, asking] for table in rotary),
            added,
            cache.layers[index].keys,
        )  # [B, heads, rows, R]
        total = total + torch.einsum('bhrv,br->bv', attention[..., 1 : 1 + tokens], weight)
    hidden = llama.norm(hidden).gather(1, read[..., None].expand(-1, -1, hidden.shape[-1]))
    return model.action_head(hidden), total


def _dense_flow(
    model: VLAModel,
    visual: Tensor,
    ids: Tensor,
    ids_mask: Tensor,
    proprio: Tensor | None,
    start: FlowStart,
) -> tuple[Tensor, Tensor]:
    """Return what `dense_step` does, of projected tokens `[B, V, D]`."""
    tokens, layers = visual.shape[1], model.language_model.model.layers
    text = slice(tokens, tokens + ids.shape[1])
    asking: list[tuple[Tensor, tuple[Tensor, ...]]] = []

    def note(_: nn.Module, rows: tuple[Tensor], given: dict[str, Any]) -> None:
        asking.append((rows[0][:, text], tuple(t[:, text] for t in given['position_embeddings'])))

    hooks = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in layers]
    try:
        memory = model.prefix(visual, ids, ids_mask, proprio)
    finally:
        for hook in hooks:
            hook.remove()
    seen = memory.mask.clone()
    if model.config.flow.state_slot:
        seen[..., -1] = -torch.inf
    weight = ids_mask / ids_mask.sum(1, keepdim=True)
    total = 0
    # what the last layer's rows attend to, nobody reads
    for layer, (rows, rotary), keys in zip(layers[:-1], asking, memory.keys, strict=False):
        attention = decoder.attention_weights(layer, rows, rotary, seen, keys)
        total = total + torch.einsum('bhrv,br->bv', attention[..., :tokens], weight)
    return denoise(model, memory, proprio, start), total
