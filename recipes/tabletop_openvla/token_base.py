# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Train `tabletop-openvla`: a causal decoder of action tokens, on a frozen tower.

The same stage 2 as base.py with another loss. It knows one thing of how the model will be run:
part of the action tokens it is fed are not the right ones, so that a token hardly depends on the
exact value of those before it and several can be guessed at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import json
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch import Tensor
from torch.nn import functional
from vla_cache_ros.vla.actions import ActionTokens
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import STATISTICS
from vla_cache_ros.vla.model import init_model
from vla_cache_ros.vla.model import VLAModel

from recipes.base import BaseTrainer
from recipes.domains import TABLETOP
from recipes.grounding import grounding_targets
from recipes.sequence import choose_tokens
from recipes.sequence import decode_causal
from recipes.sizes import openvla_config
from recipes.tabletop_openvla.deepen import deepen

SIGHT = 'tabletop'  # the checkpoint whose tower and action statistics are taken
SPREAD = 3.0  # bins, deviation of the smoothed labels
JITTER = 12  # bins
AUXILIARY = 2.0  # weight of the training-only losses, beside a cross-entropy of some nats
NAMING = 1.0  # of that for where two heads attend


@dataclass(frozen=True)
class Feeding:
    """Say how often the tokens fed in training are the next action's, or are jittered."""

    next_action: float = 0.6
    jittered: float = 0.3


class TokenHeads(nn.Module):
    """Read where the named things and the robot are off the last prompt token."""

    def __init__(self, width: int):
        """Read hidden states of the given width."""
        super().__init__()
        self.output = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 128), nn.GELU(), nn.Linear(128, 6 + 8)
        )

    def loss(self, hidden: Tensor, places: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """
        Return the L1 of the robot's state and of the places.

        hidden [B, D]. places [B, 6]: see GroundingTargets. state [B, 8]: normalised.
        """
        known = places.isfinite()
        predicted = self.output(hidden)
        error = (predicted[:, :6] - places.nan_to_num()).abs() * known
        return (predicted[:, 6:] - state).abs().mean(), error.sum() / known.sum()


def visual_attention(layer: nn.Module, inputs: Tensor, rotary: tuple, rows: Tensor) -> Tensor:
    """
    Return the attention [B, heads, R] that one row of each sample pays, before any is masked out.

    layer: a decoder layer; inputs [B, R, D] enter it. rotary: its cosines and sines. rows [B].
    """
    attention, batch = layer.self_attn, torch.arange(len(inputs))
    normed = layer.input_layernorm(inputs)
    cos, sin = rotary

    def heads(projected: Tensor) -> Tensor:
        split = projected.unflatten(-1, (-1, attention.head_dim))  # [B, R, heads, head_dim]
        low, high = split.chunk(2, dim=-1)
        return split * cos[:, :, None] + torch.cat([-high, low], -1) * sin[:, :, None]

    query = heads(attention.q_proj(normed))[batch, rows]
    scores = torch.einsum('bhd,brhd->bhr', query, heads(attention.k_proj(normed)))
    later = torch.arange(inputs.shape[1]) > rows[:, None]
    return (scores * attention.scaling).masked_fill(later[:, None], -torch.inf).softmax(-1)


def naming_loss(attention: Tensor, named: Tensor) -> Tensor:
    """
    Return how far two heads are from attending to the cube and to the plate that are named.

    attention [B, 2, K] paid to visual tokens, named [B, K, 2]: see GroundingTargets. The mean
    of -log of the attention paid to them, over the samples in which they are seen.
    """
    wanted = (named > 0).transpose(1, 2)
    paid = (attention * wanted).sum(-1)
    seen = wanted.any(-1)
    return -(paid.clamp(min=1e-6).log() * seen).sum() / seen.sum().clamp(min=1)


class TokenTrainer(BaseTrainer):
    """Hold the model, its training-only head and the loop."""

    names = ('update', 'action', 'naming', 'state', 'place')

    def __init__(
        self,
        directories: Sequence[Path],
        out: Path,
        layers: int,
        towers: Path | None = None,
        seed: int = 0,
        start: str | None = None,
    ):
        """
        Start from OUT/base.pt if it exists, else from a checkpoint, else from random weights.

        layers: of the decoder; a run with fewer goes on deeper, see deepen.py. towers: those of
        front_tower.py, else those of `tabletop`. Otherwise as BaseTrainer.
        """
        self.layers, self.feeding = layers, Feeding()
        self.sight = load_checkpoint(SIGHT, need_tokenizer=False)
        stats = Path(out) / STATISTICS
        if not stats.exists():
            stats.parent.mkdir(parents=True, exist_ok=True)
            kept = ('action', 'num_transitions')
            content = {k: self.sight.norm_stats[TABLETOP.name][k] for k in kept}
            stats.write_text(json.dumps({TABLETOP.name: content}, indent=1) + '\n')
        super().__init__(directories, out, towers, seed, start)
        if start is None:
            self.auxiliary = AUXILIARY
        layer = self.model.language_model.model.layers[self.layers // 4]
        layer.register_forward_pre_hook(self._keep_naming, with_kwargs=True)
        config = self.model.config
        self.tokens = ActionTokens(config.action_vocab_end, config.n_action_bins)
        self.state_bounds = self.sight.statistics().proprio

    def build_model(self, seed: int) -> VLAModel:
        """Return the untrained decoder on the tower of `tabletop`."""
        model = init_model(openvla_config(self.layers), seed)
        model.vision_backbone.load_state_dict(self.sight.model.vision_backbone.state_dict())
        with torch.no_grad():
            for layer in model.language_model.model.layers:
                for output in (layer.self_attn.o_proj, layer.mlp.down_proj):
                    output.weight /= (2 * self.layers) ** 0.5
        return model

    def build_heads(self) -> nn.Module:
        """Return the heads that exist in training only."""
        return TokenHeads(self.model.config.hidden_dim)

    def grounding_layer(self) -> int:
        """Return the middle layer: deepening keeps what it computes."""
        return self.layers // 2 - 1

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Return the frozen tower's features float16 [N, 256, F] of the first camera."""
        return super().encode(images[:, :1])

    def losses(self, rows: np.ndarray, keep: int) -> tuple[Tensor, ...]:
        """Return the losses: action tokens (nats), naming, robot's state, place."""
        table = self.frames.table
        shares = torch.from_numpy(table['shares'][rows, 0])
        # the arm is all that tells the robot's state
        tokens = choose_tokens(shares, keep, self.generator, self.domain, 1.0)  # [B, K]
        states = self.state_bounds.normalize(table['proprio'][rows]).astype(np.float32)
        state = torch.from_numpy(states)
        features = torch.from_numpy(self.frames.images(rows)).float()  # [B, 256, F]
        features = features.gather(1, tokens[..., None].expand(-1, -1, features.shape[-1]))
        visual = self.model.project(features)  # [B, K, D]
        chunk = self.statistics.action.normalize(table['actions'][rows, :2])
        ids = torch.from_numpy(self.tokens.encode(chunk))  # [B, 2, A]
        prompts = [self.prompts[task] for task in table['task'][rows]]
        fed = self.feed(ids[:, 0], ids[:, 1])
        hidden = decode_causal(self.model, visual, tokens, shares.shape[1], prompts, fed)
        loss = smooth_loss(self.model.logits(hidden), ids[:, 0], self.tokens)
        last = torch.tensor([len(prompt) for prompt in prompts]) - 1 + keep
        table = self.first_camera(rows)
        targets = grounding_targets(table, np.arange(len(rows))).gather(tokens)
        attention = visual_attention(*self._naming, last)[..., 1 : keep + 1]
        middle = self._middle[torch.arange(len(rows)), last]
        naming = NAMING * naming_loss(attention, targets.named)
        return loss, naming, *self.heads.loss(middle, targets.places, state)

    def first_camera(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the privileged columns of some frames, of the first camera only."""
        table = {n: self.frames.table[n][rows] for n in ('proprio', 'places')}
        return table | {n: self.frames.table[n][rows, :1] for n in ('named', 'nearby')}

    def feed(self, wanted: Tensor, following: Tensor) -> Tensor:
        """Return the ids [B, A] that are fed: the wanted ones, the next action's, or jittered."""
        kind = torch.rand(len(wanted), 1, generator=self.generator)
        shift = torch.randn(wanted.shape, generator=self.generator) * JITTER
        last = self.tokens.vocab_end - 1
        jittered = (wanted + shift.round().long()).clamp(last - self.tokens.bins + 1, last)
        fed = torch.where(kind < self.feeding.next_action, following, wanted)
        return torch.where(kind > 1 - self.feeding.jittered, jittered, fed)

    def restore(self, state: dict) -> None:
        """Go on from what save() wrote, deeper if this run is."""
        for name in ('model', 'average'):
            state[name] = deepen(state[name], self.layers)
        # moments of the parameters there were say nothing about new ones
        own = self.loop.optimizer.state_dict()
        groups = zip(state['optimizer']['param_groups'], own['param_groups'], strict=True)
        if any(len(saved['params']) != len(group['params']) for saved, group in groups):
            state['optimizer'] = own
            state['phase'] = (state['done'], state['done'])
        super().restore(state)

    def _keep_naming(self, layer: nn.Module, inputs: tuple, options: dict) -> None:
        self._naming = layer, inputs[0], options['position_embeddings']


def smooth_loss(logits: Tensor, wanted: Tensor, tokens: ActionTokens) -> Tensor:
    """
    Return the mean cross-entropy above its minimum to labels that are smoothed over the bins.

    logits [..., vocabulary], wanted ids [...]. Bins are ordered: near misses are nearly right.
    """
    first = tokens.vocab_end - tokens.bins
    bins = torch.arange(first, tokens.vocab_end)
    labels = torch.softmax(-0.5 * ((bins - wanted[..., None]) / SPREAD) ** 2, -1)
    found = functional.log_softmax(logits, -1)[..., first : tokens.vocab_end]
    return functional.kl_div(found, labels, reduction='none').sum(-1).mean()
