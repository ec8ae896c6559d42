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
from recipes.tabletop_pi.sizes import IMAGES
from recipes.tabletop_pi.sizes import pi_model

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
    model: str = 'tabletop',
) -> None:
    """
    Train up to a number of updates and write OUT/towers.pt and the curve OUT/towers.csv.

    checkpoint: whose tower to begin with. model: whose sizes the tower has. An interrupted run
    goes on from its last save. Under torchrun each process draws frames of its own.
    """
    out.mkdir(parents=True, exist_ok=True)
    domain, accelerator = named_domain(env), join_processes()
    if model == 'tabletop':
        whole = init_model(tabletop_config(domain.cameras), seed)
        preprocessor = ImagePreprocessor.for_towers(whole.config.towers)
    else:
        whole, preprocessor = pi_model(seed), IMAGES
    torch.manual_seed(seed)
    head = PatchHead(whole.config.vision_dim, len(domain.classes))
    tower = whole.vision_backbone
    if checkpoint is not None:
        start = load_checkpoint(checkpoint, need_tokenizer=False).model.vision_backbone
        tower.load_state_dict(start.state_dict())
    parameters = [*tower.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, PEAK, betas=(0.9, 0.98), weight_decay=0.02)
    state, curve = out / 'towers.pt', out / 'towers.csv'
    loop = Loop(accelerator, parameters, optimizer, state, curve, NAMES)
    if (found := saved(state)) is not None:
        tower.load_state_dict(found['towers'])
        head.load_state_dict(found['head'])
        loop.restore(found)
    rng = np.random.default_rng((seed, accelerator.process_index, loop.done))
    frames = Frames(data)

    def step() -> tuple[Tensor, tuple[float, float]]:
        rows = np.sort(rng.choice(len(frames), batch, replace=False))
        shares, targets, counts = batch_targets(frames.table, rows, domain)
        features = whole.vision_features(pixel_batch(frames.images(rows), preprocessor))
        logits, positions = head(features.view(*shares.shape[:3], features.shape[-1]))
        entropy, error = patch_loss(logits, positions, shares, targets, counts)
        return entropy + 0.5 * error, (entropy.item(), error.item() * SCALE / 3 * 1000)

    loop.run(
        steps,
        step,
        lambda done: learning_rate(done, steps, PEAK),
        lambda: loop.save(towers=tower.state_dict(), head=head.state_dict()),
    )
