# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Assemble the Prismatic VLA: vision backbone, projector, Llama decoder and OFT modules.

Batched, differentiable and without any cache: what training and the reference checks call. The
parameter names are those of the published checkpoints. Knows nothing of files and of time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch import Tensor
import torch.nn.functional as F
from transformers import Cache
from transformers import DynamicCache
from vla_cache_ros.vla import decoder
from vla_cache_ros.vla.config import STOP_ID
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.flow.expert import Memory
from vla_cache_ros.vla.heads import L1ActionHead
from vla_cache_ros.vla.heads import Projector
from vla_cache_ros.vla.heads import ProprioProjector
from vla_cache_ros.vla.quantized import light_weights
from vla_cache_ros.vla.vision import VisionBackbone
from vla_cache_ros.vla.vision import VisionTower


class VLAModel(nn.Module):
    """
    Hold the model's modules under the names of the Hugging Face files.

    `action_head` and `proprio_projector` are None where the configuration has none.
    """

    def __init__(self, config: VLAConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.hidden_dim
        self.vision_backbone = VisionBackbone(config.towers, dim if config.film else 0)
        oft, flow = config.oft, config.flow
        self.action_head: nn.Module | None = None
        self.proprio_projector: nn.Module | None = None
        if flow is None:
            self.projector: nn.Module = Projector(config.vision_dim, dim, config.fused)
            self.language_model: nn.Module = decoder.build_language_model(config.decoder())
        else:
            self.projector = nn.Linear(config.vision_dim, dim, bias=not flow.smolvla)
            self.language_model = decoder.Headless(config.decoder())
            if flow.state_slot:
                self.proprio_projector = nn.Linear(flow.state_size, dim)
        if oft is not None and oft.action_head == 'l1':
            self.action_head = L1ActionHead(dim, oft.chunk, oft.action_dim)
        if config.head is not None:
            self.action_head = config.head.build(dim)
        if oft is not None and oft.use_proprio:
            self.proprio_projector = ProprioProjector(oft.proprio_dim, dim)

    def light_weights(self, dtype: torch.dtype) -> dict[str, torch.dtype]:
        """
        Return the weights that are held in one byte if the model's are to be int8 or fp8.

        The robot's state and a head that denoises step by step stay exact.
        """
        kept = ['proprio_projector', *(['action_head'] if self.config.head is not None else [])]
        return light_weights(self, dtype, tuple(kept))

    def weight_bytes(self, dtype: torch.dtype, compute: torch.dtype) -> int:
        """Return the size of the weights held as `dtype`, those that aren't as `compute`."""
        light, total = self.light_weights(dtype), 0
        for name, tensor in self.state_dict().items():
            if name in light:
                total += tensor.numel() * light[name].itemsize + 4 * len(tensor)
            else:
                total += tensor.numel() * self.config.weight_dtype(name, compute).itemsize
        return total

    @property
    def like(self) -> Tensor:
        """Return a vector `[D]` on the model's device, of the type that it computes in."""
        return self.language_model.model.norm.weight

    def modulation(self, ids: Sequence[int]) -> tuple[Tensor, ...]:
        """
        Return what a prompt from BOS to the blank does to each tower's blocks; empty without FiLM.

        That is a function of the mean embedding of its tokens and the stop token.
        """
        if not self.config.film:
            return ()
        words = self.embed_text(torch.tensor([*ids, STOP_ID], device=self.like.device))
        return self.vision_backbone.modulation(words.mean(0, keepdim=True))

    def vision_features(self, pixel_values: Tensor, film: Sequence[Tensor] = ()) -> Tensor:
        """
        Map `[B, cams * channels, H, W]` to visual tokens' features `[B, cams * tokens, V]`.

        film: what `modulation` gives for the one instruction of the batch. Raises ValueError where
        a model with FiLM gets none.
        """
        return self.vision_backbone(pixel_values, film)

    def project(self, features: Tensor) -> Tensor:
        """Map visual tokens' features `[..., V]` to decoder embeddings `[..., D]`."""
        embeds = self.projector(features)
        return embeds * self.scale if self.config.flow and self.config.flow.smolvla else embeds

    def embed_text(self, ids: Tensor) -> Tensor:
        """Map token ids `[...]` to decoder embeddings `[..., D]`."""
        embeds = self.language_model.model.embed_tokens(ids)
        return embeds * self.scale if self.config.flow else embeds

    @property
    def scale(self) -> float:
        """Return the square root of D as the weights' type holds it: flow models embed by it."""
        return float(torch.tensor(self.config.hidden_dim**0.5, dtype=self.like.dtype))

    def embed_state(self, state: Tensor) -> Tensor:
        """Map a normalised robot state `[B, P]` to a decoder embedding `[B, D]`."""
        if self.config.flow is None:
            return self.proprio_projector(state)
        state = F.pad(state.float(), (0, self.config.flow.state_size - state.shape[1]))
        return self.proprio_projector(state).to(self.like.dtype)

    def prefix(
        self,
        visual: Tensor,
        ids: Tensor,
        ids_mask: Tensor,
        state: Tensor | None = None,
        cache: Cache | None = None,
        positions: Tensor | None = None,
    ) -> Memory:
        """
        Run the prefix of a flow model, and return what its expert reads.

        visual: projected tokens `[B, V, D]`. ids: prompts `[B, T]`, right-padded, with ids_mask.
        state: normalised `[B, P]`, where it is a slot. cache: takes the keys and values, a new one
        if None. positions: of the visual tokens `[B, V]` where they are a part of all.
        """
        flow = self.config.flow
        parts = [visual, self.embed_text(ids)]
        real = [ids_mask.new_ones(visual.shape[:2]), ids_mask]
        if flow.state_slot:
            parts.append(self.embed_state(state)[:, None])
            real.append(ids_mask.new_ones(len(visual), 1))
        embeds, real = torch.cat(parts, dim=1), torch.cat(real, dim=1)  # [B, L, D], [B, L]
        if positions is None:
            places = real.cumsum(1) - 1
        else:
            whole = self.config.cameras * self.config.tokens
            after = real[:, visual.shape[1] :].cumsum(1) - 1 + whole
            places = torch.cat([positions, after], dim=1)
        unseen = embeds.new_zeros(real.shape).masked_fill_(~real, -torch.inf)[:, None, None]
        mask = unseen.expand(-1, 1, embeds.shape[1], -1)
        if flow.state_slot:
            mask = mask.clone()
            mask[:, :, :-1, -1] = -torch.inf
        text = self.language_model.model
        rotary = text.rotary_emb(embeds, position_ids=places)
        cache, hidden = DynamicCache() if cache is None else cache, embeds
        *layers, last = text.layers
        for layer in layers:
            hidden = decoder.run_layer(layer, hidden, rotary, mask, cache)
        decoder.write_keys(last, hidden, rotary, len(layers), cache)  # its output no one reads
        keys, values = [one.keys for one in cache.layers], [one.values for one in cache.layers]
        begin = places[:, -1:] + 1 if flow.state_slot else places.amax(1, keepdim=True) + 1
        behind = begin + torch.arange(self.action_head.rows, device=ids.device)  # [B, rows]
        cos, sin = text.rotary_emb(embeds, position_ids=behind)
        return Memory(keys, values, cos, sin, unseen, self.crossed(keys, values))

    def crossed(
        self, keys: Sequence[Tensor], values: Sequence[Tensor]
    ) -> dict[int, tuple[Tensor, Tensor]]:
        """Return the keys and values of the crossed layers of a flow model's expert."""
        layers = self.config.flow.crossed_layers
        return {i: self.action_head.cross(i, keys[i], values[i]) for i in layers}

    def decode(
        self,
        embeds: Tensor,
        position_ids: Tensor,
        key_mask: Tensor | None = None,
        bidirectional: bool = False,
    ) -> Tensor:
        """
        Run the decoder on whole sequences `[B, R, D]`; returns hidden states after the norm.

        `position_ids` `[B, R]`; `key_mask` `[B, R]` bool, False at padding, None when all keys
        are valid (much the fastest).
        """
        mask = decoder.attention_mask(position_ids, key_mask, bidirectional)
        return decoder.run_layers(
            self.language_model, embeds, position_ids, mask, causal=not bidirectional
        )

    def logits(self, hidden: Tensor) -> Tensor:
        """Map hidden states `[..., D]` to logits `[..., vocabulary]` in float32."""
        return decoder.logits(self.language_model, hidden)

    def chunk_embeds(self, visual: Tensor, ids: Tensor, proprio: Tensor | None) -> Tensor:
        """
        Return the embeddings of an OFT sequence, `[B, R, D]`, in the reference's order.

        BOS, patches `[B, cams * 256, D]`, proprio, the prompt `[B, T]` after its BOS, zeros at the
        action slots, the stop token.
        """
        oft = self.config.oft
        if oft is None:
            raise ValueError('an OFT sequence needs a model with an oft configuration')
        text = self.embed_text(ids)  # [B, T, D]
        parts = [text[:, :1], visual]
        if self.proprio_projector is not None:
            parts.append(self.proprio_projector(proprio)[:, None])  # [B, 1, D]
        parts.append(text[:, 1:])
        parts.append(text.new_zeros(len(ids), oft.chunk * oft.action_dim, text.shape[-1]))
        parts.append(self.embed_text(ids.new_full((len(ids), 1), STOP_ID)))
        return torch.cat(parts, dim=1)

    def chunk_hidden(
        self,
        visual: Tensor,
        ids: Tensor,
        ids_mask: Tensor | None = None,
        proprio: Tensor | None = None,
    ) -> Tensor:
        """
        Run an OFT sequence and return the hidden states the action head reads.

        visual: projected patches `[B, cams * 256, D]`. ids: prompts `[B, T]` from BOS to the
        blank token that ends them, right-padded. ids_mask: `[B, T]` bool, False at padding, None
        when there is none. proprio: normalised, `[B, P]`. Returns `[B, chunk * action_dim, D]`,
        which start at the last prompt token, one before the first action slot (next-token
        shift).
        """
        embeds = self.chunk_embeds(visual, ids, proprio)  # [B, R, D]
        positions, key_mask, read = self.chunk_rows(embeds.shape[1], ids, ids_mask)
        hidden = self.decode(embeds, positions, key_mask, bidirectional=True)
        return hidden.gather(1, read[..., None].expand(-1, -1, hidden.shape[-1]))

    def chunk_rows(
        self, rows: int, ids: Tensor, ids_mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """
        Return positions `[B, R]`, key mask `[B, R]` or None, and the rows the head reads.

        The last are `[B, chunk * action_dim]`: the last prompt token, then all action slots but
        the last.
        """
        b, t = ids.shape
        slots = self.config.oft.chunk * self.config.oft.action_dim
        before = rows - slots - t  # the first row of the prompt after BOS
        tail = torch.arange(rows - slots - 1, rows - 2, device=ids.device).expand(b, -1)
        if ids_mask is None:
            last = ids.new_full((b, 1), rows - slots - 2)
            positions = torch.arange(rows, device=ids.device).expand(b, -1)
            return positions, None, torch.cat([last, tail], dim=1)
        key_mask = torch.ones(b, rows, dtype=torch.bool, device=ids.device)
        key_mask[:, before : before + t - 1] = ids_mask[:, 1:]
        positions = (key_mask.cumsum(1) - 1).clamp(min=0)  # padding takes no position
        last = before - 2 + ids_mask.sum(1, keepdim=True)
        return positions, key_mask, torch.cat([last, tail], dim=1)

    def predict_chunk(
        self,
        pixel_values: Tensor,
        ids: Tensor,
        ids_mask: Tensor | None = None,
        proprio: Tensor | None = None,
    ) -> Tensor:
        """Map observations to normalised action chunks `[B, chunk, action_dim]` (L1 head)."""
        if self.action_head is None or self.config.oft is None:
            raise ValueError("predict_chunk needs a model with an 'l1' action head")
        visual = self.project(self.vision_features(pixel_values))
        return self.action_head(self.chunk_hidden(visual, ids, ids_mask, proprio))


def init_model(config: VLAConfig, seed: int = 0) -> VLAModel:
    """
    Return a model with random weights, ready to be trained from scratch, in float32.

    Linear and embedding weights are normal with deviation 0.02 truncated at two; norms and layer
    scales start at one, biases at zero; the head and projectors keep torch's own initialisation.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VLAModel(config)
        for module in model.vision_backbone.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, VisionTower):
                for name in ('cls_token', 'reg_token', 'pos_embed'):
                    if hasattr(module, name):
                        nn.init.trunc_normal_(getattr(module, name), std=0.02)
    return model
