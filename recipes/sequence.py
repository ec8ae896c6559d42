# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Lay out training sequences over a subset of the visual tokens.

Every token keeps the position it has in the full sequence, so the model that trains on a part
of the tokens is the model that runs on all of them. Knows nothing of losses.
"""

import torch
from torch import Tensor
from vla_cache_ros.training.batches import pad_prompts
from vla_cache_ros.vla.config import STOP_ID
from vla_cache_ros.vla.model import VLAModel

from recipes.domains import Domain


def choose_tokens(
    shares: Tensor,
    keep: int,
    generator: torch.Generator,
    domain: Domain,
    arm_first: float = 0.2,
) -> Tensor:
    """
    Return the indices [B, keep] of visual tokens to train on, ascending.

    shares: [B, V, classes] pixels per class of the domain. Tokens that show what can be picked up
    come first, then a random mix in which destinations are favoured by 0.7 and the arm by
    arm_first; from 1 on it comes before all background.
    """
    first = 2 + len(domain.targets)
    targets = (shares[..., 2:first].sum(-1) > 0).float()
    destinations = (shares[..., first:].sum(-1) > 0).float()
    arm = (shares[..., 1] > 0).float()
    noise = torch.rand(targets.shape, generator=generator)
    order = (
        (noise + 2.0 * targets + 0.7 * destinations + arm_first * arm).topk(keep, dim=1).indices
    )
    return order.sort(1).values


def decode_subset(
    model: VLAModel,
    visual: Tensor,
    tokens: Tensor,
    total: int,
    ids: Tensor,
    ids_mask: Tensor,
    proprio: Tensor,
) -> Tensor:
    """
    Return hidden states [B, R, D] of `[BOS | tokens | proprio | text | actions | stop]`.

    visual: projected tokens [B, K, D]; tokens: their indices [B, K] among total visual tokens.
    Rows: BOS first, then the K tokens; `action_rows` finds the rows the action head reads.
    """
    batch, oft = len(visual), model.config.oft
    slots = oft.chunk * oft.action_dim
    text = model.embed_text(ids)
    embeds = torch.cat(
        [
            text[:, :1],
            visual,
            model.proprio_projector(proprio)[:, None],
            text[:, 1:],
            text.new_zeros(batch, slots, text.shape[-1]),
            model.embed_text(ids.new_full((batch, 1), STOP_ID)),
        ],
        1,
    )
    after = torch.cat(
        [ids_mask.new_ones(batch, 1), ids_mask[:, 1:], ids_mask.new_ones(batch, slots + 1)], 1
    )
    positions = torch.cat(
        [tokens.new_zeros(batch, 1), tokens + 1, total + after.cumsum(1)], 1
    )  # [B, R]; padding repeats a position and is masked out
    mask = torch.cat([ids_mask.new_ones(batch, 1 + tokens.shape[1]), after], 1)
    return model.decode(embeds, positions, None if mask.all() else mask, bidirectional=True)


def decode_causal(
    model: VLAModel,
    visual: Tensor,
    tokens: Tensor,
    total: int,
    prompts: list[list[int]],
    actions: Tensor,
) -> Tensor:
    """
    Return the hidden states [B, A, D] that predict the A action tokens of a causal model.

    visual: projected tokens [B, K, D]; tokens: their indices [B, K] among total visual tokens.
    prompts: B lists from BOS to the blank. actions: what is fed back, ids [B, A], the last
    unused. Padding stands last, where no row looks: no mask is needed.
    """
    ids, _ = pad_prompts(
        [prompt + row for prompt, row in zip(prompts, actions[:, :-1].tolist(), strict=True)]
    )
    text = model.embed_text(ids)
    after = torch.arange(total + 1, total + ids.shape[1]).expand(len(ids), -1)
    positions = torch.cat([tokens.new_zeros(len(ids), 1), tokens + 1, after], 1)  # [B, R]
    hidden = model.decode(torch.cat([text[:, :1], visual, text[:, 1:]], 1), positions)
    last = torch.tensor([len(prompt) for prompt in prompts])[:, None] - 1 + tokens.shape[1]
    index = last + torch.arange(actions.shape[1])  # [B, A], from the last prompt token on
    return hidden.gather(1, index[..., None].expand(-1, -1, hidden.shape[-1]))


def action_rows(hidden: Tensor, ids_mask: Tensor, slots: int) -> Tensor:
    """
    Return the hidden states [B, slots, D] that the action head reads.

    They start at the last prompt token, one before the first action slot (next-token shift).
    """
    batch, rows, width = hidden.shape
    last = rows - slots - 2 - ids_mask.shape[1] + ids_mask.sum(1, keepdim=True)  # [B, 1]
    tail = torch.arange(rows - slots - 1, rows - 2).expand(batch, -1)
    index = torch.cat([last, tail], 1)
    return hidden.gather(1, index[..., None].expand(-1, -1, width))
