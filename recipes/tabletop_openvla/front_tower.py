# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Sharpen a trained tower's sight of the arm, for a model with neither robot state nor wrist camera.

Stage 1 again, on the fixed camera alone, with the robot's state as a target wherever the arm is
seen. Most updates leave part of the background out. Resumable; `torchrun` shares the work.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch import Tensor
from vla_cache_ros.training.batches import pixel_batch
from vla_cache_ros.training.frames import Frames
from vla_cache_ros.training.loop import join_processes
from vla_cache_ros.training.loop import learning_rate
from vla_cache_ros.training.loop import Loop
from vla_cache_ros.training.loop import saved
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.vision import VisionTower

from recipes.domains import TABLETOP
from recipes.patch_targets import batch_targets
from recipes.patch_targets import MIN_PIXELS
from recipes.patch_targets import patch_loss
from recipes.patch_targets import PATCH_PIXELS
from recipes.patch_targets import PatchHead

KEEP = 112  # patches of an image
NAMES = ('update', 'entropy', 'position', 'state')


class SightHeads(nn.Module):
    """Read off a token what its patch shows, and the robot's state."""

    def __init__(self, width: int):
        """Read features of the given width."""
        super().__init__()
        self.patch = PatchHead(width, len(TABLETOP.classes))
        self.state = nn.Linear(width, 8)

    def loss(
        self, features: Tensor, shares: Tensor, targets: Tensor, counts: Tensor, state: Tensor
    ) -> Tensor:
        """
        Return the entropy, position and state losses, stacked.

        features [B, K, F], shares [B, K, classes] pixels, targets [B, K, 3] where counts [B, K],
        state [B, 8] normalised.
        """
        entropy, position = patch_loss(*self.patch(features), shares, targets, counts)
        arm = (shares[..., 1] >= MIN_PIXELS).float()
        error = (self.state(features) - state[:, None]).abs().sum(-1)
        return torch.stack([entropy, position, (error * arm).sum() / arm.sum().clamp(min=1)])

    def frame_loss(
        self, features: Tensor, tokens: Tensor, table: dict, rows: np.ndarray, state: Tensor
    ) -> Tensor:
        """Return the same for tokens [B, K] of the first camera's image of some frames."""
        shares, targets, counts = batch_targets(table, rows, TABLETOP)
        index = torch.arange(len(rows))[:, None]
        taken = (values[:, 0][index, tokens] for values in (shares, targets, counts))
        return self.loss(features, *taken, state)


def some_features(tower: VisionTower, images: Tensor, tokens: Tensor) -> Tensor:
    """Return the features [B, K, F] of images [B, 3, 224, 224] of which only tokens are seen."""
    x = tower.patch_embed(images) + tower.pos_embed
    x = x.gather(1, tokens[..., None].expand(-1, -1, x.shape[-1]))
    x = torch.cat([tower.prefix().expand(len(x), -1, -1), x], dim=1)
    for block in tower.used_blocks:
        x = block(x)
    return x[:, tower.prefix_tokens :]


def sharpen_tower(
    data: Sequence[Path],
    out: Path,
    checkpoint: str,
    until: int,
    batch: int,
    peak: float,
    full_from: int | None,
    seed: int,
) -> None:
    """
    Train the tower of a checkpoint; write OUT/towers.pt and the curve OUT/towers.csv.

    KEEP patches are seen, those that show anything but background first; from update full_from on
    all are.
    """
    accelerator = join_processes()
    rank = accelerator.process_index
    out.mkdir(parents=True, exist_ok=True)
    vla = load_checkpoint(checkpoint, need_tokenizer=False)
    backbone, bounds = vla.model.vision_backbone, vla.statistics().proprio
    backbone.requires_grad_(requires_grad=True)
    torch.manual_seed(seed)
    heads = SightHeads(vla.config.vision_dim)
    images = ImagePreprocessor.for_towers(vla.config.towers)
    parameters = [*backbone.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, peak, betas=(0.9, 0.98), weight_decay=0.02)
    state, curve = out / 'towers.pt', out / 'towers.csv'
    loop = Loop(accelerator, parameters, optimizer, state, curve, NAMES)
    if (found := saved(state)) is not None:
        backbone.load_state_dict(found['towers'])
        heads.load_state_dict(found['heads'])
        loop.restore(found)
    frames = Frames(data, rank, accelerator.num_processes)
    rng = np.random.default_rng((seed, rank, loop.done))

    def step() -> tuple[Tensor, list[float]]:
        rows = np.sort(rng.choice(len(frames), batch, replace=False))
        shares = torch.from_numpy(frames.table['shares'][rows, 0])
        shown = (shares[..., 0] < PATCH_PIXELS).float()  # [B, 256]
        noise = torch.from_numpy(rng.random(shown.shape, dtype=np.float32))
        full = full_from is not None and loop.done >= full_from
        tokens = (noise + 2 * shown).topk(shown.shape[1] if full else KEEP).indices.sort(1).values
        pixels = pixel_batch(frames.images(rows)[:, :1], images)
        features = some_features(backbone.featurizer, pixels, tokens)
        robot = bounds.normalize(frames.table['proprio'][rows]).astype(np.float32)
        losses = heads.frame_loss(features, tokens, frames.table, rows, torch.from_numpy(robot))
        return losses.sum(), losses.tolist()

    loop.run(
        until,
        step,
        lambda done: learning_rate(done, until, peak),
        lambda: loop.save(towers=backbone.state_dict(), heads=heads.state_dict()),
    )
