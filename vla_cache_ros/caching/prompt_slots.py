# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Prepare, once for each instruction, what the engine needs of it at every step.

Embeddings of the slots that hold no image, rotary tables and the causal mask, all by slot. Knows
neither which visual slots are active nor what is cached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.caching.layout import SlotLayout
from vla_cache_ros.vla.config import STOP_ID
from vla_cache_ros.vla.model import VLAModel


@dataclass(frozen=True)
class PromptSlots:
    """
    Hold what depends on the instruction alone; L is the number of slots in use.

    ids: the prompt from BOS on. text: how many of them stand behind the images. rows: the slots
    `[F]` besides the visual ones that a
    step recomputes, BOS first and text last. embeds: their embeddings `[F, D]`, zeros for proprio
    and actions. slots: `rows` on the host. read, and reads on the
    host: the rows that actions are read from, counted from the end: the last of the text, then the
    action slots that predict another one; none where an expert reads the slots. cos, sin: `[L,
    head_dim]`. mask: `[L, L]`, added to the scores, None when all slots see each other. behind:
    the tables `[1, rows, head_dim]` of an expert's rows. film: of each tower, see
    `VLAModel.modulation`.
    """

    ids: tuple[int, ...]
    text: int
    used: int
    slots: np.ndarray
    rows: Tensor
    embeds: Tensor
    reads: tuple[int, ...]
    read: Tensor
    cos: Tensor
    sin: Tensor
    mask: Tensor | None
    behind: tuple[Tensor, Tensor] | None
    film: tuple[Tensor, ...]

    def reworded(self, model: VLAModel, ids: Sequence[int]) -> PromptSlots:
        """Return the slots of another prompt, behind the images and of the same length."""
        words = model.embed_text(torch.tensor(ids, device=self.embeds.device))  # [T, D]
        return replace(self, ids=tuple(ids), embeds=torch.cat([self.embeds[: -self.text], words]))

    @classmethod
    def build(
        cls, model: VLAModel, layout: SlotLayout, ids: Sequence[int], guesses: int = 0
    ) -> PromptSlots:
        """
        Return the slots of a prompt; raises InputError if it does not fit the layout.

        guesses: action tokens that a step of a causal model computes along with the prompt.
        """
        text, flow = len(ids) - layout.lead, model.config.flow
        positions = torch.from_numpy(layout.positions(text))  # [L]
        weight = model.like
        device = weight.device
        slots, after = [*range(layout.lead)], 0  # rows between those that are read and the text
        if model.config.bidirectional:
            slots += [*layout.proprio_slots, *layout.action_slots, *layout.stop_slots]
            guesses, after = layout.actions - 1, 2  # the last action slot and the stop
        else:
            slots += layout.action_slots[:guesses]
        embedded = model.embed_text(torch.tensor([*ids, STOP_ID], device=device))  # [T + 1, D]
        embeds = weight.new_zeros(len(slots) + text, len(weight))
        embeds[: layout.lead] = embedded[: layout.lead]
        embeds[len(slots) :] = embedded[layout.lead : -1]
        if layout.stop:
            embeds[len(slots) - 1] = embedded[-1]
        reads = (-1, *(row - guesses - after - text for row in range(guesses)))
        positions = positions.to(device)
        rotary = model.language_model.model.rotary_emb
        cos, sin = rotary(embeds, position_ids=positions[None])
        mask = behind = None
        if flow is not None:
            last = len(positions) + torch.arange(model.action_head.rows, device=device)
            reads, behind = (), rotary(embeds, position_ids=last[None])
        if layout.state_last:
            state = layout.proprio_slots.start
            mask = weight.new_zeros(len(positions), len(positions))
            mask[:, state] = torch.finfo(weight.dtype).min
            mask[state, state] = 0
        if not model.config.bidirectional:
            later = positions[None, :] > positions[:, None]  # [L, L]
            mask = weight.new_zeros(later.shape)
            mask.masked_fill_(later, torch.finfo(weight.dtype).min)
        slots = np.array([*slots, *layout.text[:text]])
        rows = torch.from_numpy(slots).to(device)
        read = torch.tensor(reads, dtype=torch.long, device=device)
        return cls(
            ids=tuple(ids),
            text=text,
            used=len(positions),
            slots=slots,
            rows=rows,
            embeds=embeds,
            reads=reads,
            read=read,
            cos=cos[0],
            sin=sin[0],
            mask=mask,
            behind=behind,
            film=tuple(one.detach() for one in model.modulation(ids)),
        )

    def at(
        self, rows: Tensor, unseen: Tensor | None = None
    ) -> tuple[tuple[Tensor, Tensor], Tensor | None]:
        """
        Return the rotary tables `[1, R, head_dim]` and the mask `[1, 1, R or 1, L]` of rows.

        unseen: added for all rows alike, `[slots]`, None where every slot holds something.
        """
        mask = None if self.mask is None else self.mask[rows][None, None]
        if unseen is not None:
            hidden = unseen[None, None, None, : self.used]
            mask = hidden if mask is None else mask + hidden
        return (self.cos[rows][None], self.sin[rows][None]), mask


def hide(absent: np.ndarray, layout: SlotLayout, like: Tensor) -> Tensor | None:
    """
    Return what keeps absent tokens from being seen, `[slots]` to add to scores, None without any.

    absent: bool `[V]`, visual tokens whose slots hold nothing. like: gives type and device.
    """
    if not absent.any():
        return None
    bias = np.zeros(layout.size, dtype=np.float32)
    bias[layout.visual.start : layout.visual.stop][absent] = -np.inf
    return torch.from_numpy(bias).to(like)
