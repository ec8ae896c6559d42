# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Sharpen a trained tower's sight of the arm, for a model with neither robot state nor wrist camera.

Stage 1 again, on the fixed camera alone, with the robot's state as a target wherever the arm is
seen. Most updates leave part of the background out. Resumable; `torchrun` shares the work.
"""

import csv
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch import Tensor
from tqdm import tqdm
from vla_cache_ros.training.batches import learning_rate
from vla_cache_ros.training.batches import pixel_batch
from vla_cache_ros.training.frames import Frames
from vla_cache_ros.training.processes import average_gradients
from vla_cache_ros.training.processes import join_processes
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.vision import VisionTower

from recipes.domains import TABLETOP
from recipes.patch_targets import batch_targets
from recipes.patch_targets import MIN_PIXELS
from recipes.patch_targets import patch_loss
from recipes.patch_targets import PATCH_PIXELS
from recipes.patch_targets import PatchHead


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
    directories: list[Path],
    out: Path,
    until: int,
    checkpoint: str = 'tabletop',
    batch: int = 16,
    keep: int = 112,
    peak: float = 1e-3,
    full_from: int | None = None,
    seed: int = 0,
) -> None:
    """
    Train the tower of a checkpoint; write OUT/towers.pt and the curve OUT/towers.csv.

    keep: patches that are seen, those that show anything but background first; from update
    full_from on all are.
    """
    rank, world = join_processes()
    out.mkdir(parents=True, exist_ok=True)
    vla = load_checkpoint(checkpoint, need_tokenizer=False)
    backbone, bounds = vla.model.vision_backbone, vla.statistics().proprio
    backbone.requires_grad_(requires_grad=True)
    torch.manual_seed(seed)
    heads = SightHeads(vla.config.vision_dim)
    images = ImagePreprocessor.for_towers(vla.config.towers)
    parameters = [*backbone.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, peak, betas=(0.9, 0.98), weight_decay=0.02)
    start = 0
    if (out / 'towers.pt').exists():
        state = torch.load(out / 'towers.pt', weights_only=True)
        backbone.load_state_dict(state['towers'])
        heads.load_state_dict(state['heads'])
        optimizer.load_state_dict(state['optimizer'])
        start = state['step']
    frames = Frames(directories, rank, world)
    rng = np.random.default_rng((seed, rank, start))
    log_file = (out / 'towers.csv').open('a', newline='')
    log, recent = csv.writer(log_file), []
    progress = tqdm(
        range(start, until), initial=start, total=until, mininterval=10, disable=rank > 0
    )
    for step in progress:
        for group in optimizer.param_groups:
            group['lr'] = learning_rate(step, until, peak)
        rows = np.sort(rng.choice(len(frames), batch, replace=False))
        shares = torch.from_numpy(frames.table['shares'][rows, 0])
        shown = (shares[..., 0] < PATCH_PIXELS).float()  # [B, 256]
        noise = torch.from_numpy(rng.random(shown.shape, dtype=np.float32))
        full = full_from is not None and step >= full_from
        tokens = (noise + 2 * shown).topk(shown.shape[1] if full else keep).indices.sort(1).values
        pixels = pixel_batch(frames.images(rows)[:, :1], images)
        features = some_features(backbone.featurizer, pixels, tokens)
        state = bounds.normalize(frames.table['proprio'][rows]).astype(np.float32)
        losses = heads.frame_loss(features, tokens, frames.table, rows, torch.from_numpy(state))
        optimizer.zero_grad()
        losses.sum().backward()
        average_gradients(parameters, world)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        recent.append(losses.tolist())
        if ((step + 1) % 25 == 0 or step + 1 == until) and rank == 0:
            mean = np.mean(recent, 0)
            recent.clear()
            log.writerow([step + 1, *(f'{v:.4f}' for v in mean)])
            log_file.flush()
            progress.set_postfix_str(f'position {mean[1]:.3f}, state {mean[2]:.3f}')
        if ((step + 1) % 100 == 0 or step + 1 == until) and rank == 0:
            kept = {
                'towers': backbone.state_dict(),
                'heads': heads.state_dict(),
                'optimizer': optimizer.state_dict(),
                'step': step + 1,
            }
            torch.save(kept, out / 'towers.part')
            (out / 'towers.part').rename(out / 'towers.pt')
