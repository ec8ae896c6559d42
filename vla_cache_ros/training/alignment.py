# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Stage I of the gate: before any task loss, scores follow what is known to matter.

Either the effect of each token's staleness on the action (training/walks.py), or, nearer to the
paper, what the dense model attends to times what has changed. Runs no decoder with stale caches.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F
from vla_cache_ros.caching.gates.motion_input import MotionInput
from vla_cache_ros.caching.gates.network import GateNetwork
from vla_cache_ros.caching.patches import PATCH
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.training.batches import batch_pixels
from vla_cache_ros.training.batches import batch_prompts
from vla_cache_ros.training.batches import gate_pictures
from vla_cache_ros.training.batches import prompt_embedding
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.training.teacher import Teacher
from vla_cache_ros.vla.checkpoint import LoadedVLA


def align_to_attention(
    vla: LoadedVLA,
    recordings: Recordings,
    teacher: Teacher,
    network: GateNetwork,
    batch: int,
    rng: np.random.Generator,
) -> Tensor:
    """
    Return the squared error of scores against the rank of attention times change.

    Each sample is a frame whose tokens were all produced at one random earlier frame of its
    recording; change is the distance of a token's embedding between the two.
    """
    inputs, pairs = [], []
    for _ in range(batch):
        run = recordings.training[rng.integers(len(recordings.training))]
        now = int(rng.integers(1, len(run)))
        then = int(rng.integers(0, now))
        size = PATCH * network.config.grid
        seen = gate_pictures(recordings, run[[then, now - 1, now]], size)
        motion = MotionInput()
        motion.remember(seen[1])
        ages = np.full(network.config.tokens, now - then)
        inputs.append(motion(seen[2], patchify(seen[0]), ages))
        pairs.append((run[then], run[now]))
    then, now = np.array(pairs).T
    language = None
    if network.config.language_dim:
        prompts = batch_prompts(vla, [recordings.instruction(row) for row in now])
        language = prompt_embedding(vla.model, *prompts)
    device = vla.model.like.device
    scores, _ = network(torch.from_numpy(np.stack(inputs)).to(device), language)
    with torch.no_grad():
        before, after = (_embedded(vla, recordings, rows) for rows in (then, now))
        change = (after - before).norm(dim=-1)  # [B, V]
        wanted = ranks(torch.from_numpy(teacher.attention[now]).to(device) * change)
    return F.mse_loss(scores.sigmoid(), wanted)


def effect_loss(scores: Tensor, effects: Tensor) -> Tensor:
    """
    Return the loss at whose minimum scores `[B, V]` are the log of the expected squared effects.

    In units of each sample's mean: scores only rank the tokens of one step, and where motion is
    slow all of them weigh so much more that a few samples would decide alone. The negative
    log-likelihood of an exponential distribution: right for effects that are noisy squares, and a
    heavy tail of them (cut at 200 times the mean) does not decide alone.
    """
    relative = effects / effects.mean(1, keepdim=True).clamp(min=1e-12)
    return (relative.clamp(max=200) * torch.exp(-scores) + scores + 1e-3 * scores**2).mean()


def left_out(scores: Tensor, effects: Tensor, budgets: Sequence[int]) -> Tensor:
    """Return the root of the squared effects that each budget leaves out, `[B, budgets]`."""
    ordered = effects.gather(1, scores.argsort(dim=1, descending=True))
    total = ordered.sum(1, keepdim=True)
    taken = torch.cat([torch.zeros_like(total), ordered.cumsum(1)], dim=1)  # [B, V + 1]
    return (total - taken[:, budgets]).clamp(min=0).sqrt()


def _embedded(vla: LoadedVLA, recordings: Recordings, rows: np.ndarray) -> Tensor:
    """Return the decoder's embeddings `[B, V, D]` of some frames' patches."""
    pixels = batch_pixels(vla, recordings, rows)
    return vla.model.project(vla.model.vision_features(pixels))


def ranks(values: Tensor) -> Tensor:
    """
    Return the rank of each value `[B, V]` within its row, from 0 to 1.

    One token often takes most of the attention: stretched linearly, all others would be near 0.
    """
    return values.argsort(1).argsort(1).float() / (values.shape[1] - 1)
