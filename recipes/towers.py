# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Stage 1 of the base model: teach the vision tower to see, before anything learns to act.

Supervised by the renderer: what each patch shows and where that object is. Resumable; knows
nothing of instructions or actions.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.training.batches import pixel_batch
from vla_cache_ros.training.frames import Frames
from vla_cache_ros.training.loop import join_processes
from vla_cache_ros.training.loop import learning_rate
from vla_cache_ros.training.loop import Loop
from vla_cache_ros.training.loop import saved
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.model import init_model

from recipes.domains import named_domain
from recipes.patch_targets import batch_targets
from recipes.patch_targets import patch_loss
from recipes.patch_targets import PatchHead
from recipes.patch_targets import SCALE
from recipes.sizes import tabletop_config

PEAK = 1.2e-3  # learning rate
NAMES = ('update', 'class_entropy', 'position_mm')


def train_towers(
    data: Sequence[Path],
    out: Path,
    steps: int,
    batch: int,
    seed: int,
    checkpoint: str | None,
    env: str,
) -> None:
    """
    Train up to a number of updates and write OUT/towers.pt and the curve OUT/towers.csv.

    checkpoint: whose tower to begin with. An interrupted run goes on from its last save.
    """
    out.mkdir(parents=True, exist_ok=True)
    domain = named_domain(env)
    model = init_model(tabletop_config(domain.cameras), seed)
    torch.manual_seed(seed)
    head = PatchHead(model.config.vision_dim, len(domain.classes))
    tower = model.vision_backbone
    if checkpoint is not None:
        start = load_checkpoint(checkpoint, need_tokenizer=False).model.vision_backbone
        tower.load_state_dict(start.state_dict())
    preprocessor = ImagePreprocessor.for_towers(model.config.towers)
    parameters = [*tower.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, PEAK, betas=(0.9, 0.98), weight_decay=0.02)
    state, curve = out / 'towers.pt', out / 'towers.csv'
    loop = Loop(join_processes(), parameters, optimizer, state, curve, NAMES)
    if (found := saved(state)) is not None:
        tower.load_state_dict(found['towers'])
        head.load_state_dict(found['head'])
        loop.restore(found)
    rng = np.random.default_rng((seed, loop.done))
    frames = Frames(data)

    def step() -> tuple[Tensor, tuple[float, float]]:
        rows = np.sort(rng.choice(len(frames), batch, replace=False))
        shares, targets, counts = batch_targets(frames.table, rows, domain)
        features = model.vision_features(pixel_batch(frames.images(rows), preprocessor))
        logits, positions = head(features.view(*shares.shape[:3], features.shape[-1]))
        entropy, error = patch_loss(logits, positions, shares, targets, counts)
        return entropy + 0.5 * error, (entropy.item(), error.item() * SCALE / 3 * 1000)

    loop.run(
        steps,
        step,
        lambda done: learning_rate(done, steps, PEAK),
        lambda: loop.save(towers=tower.state_dict(), head=head.state_dict()),
    )
