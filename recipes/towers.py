# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Stage 1 of the base model: teach the vision tower to see, before anything learns to act.

Supervised by the renderer: what each patch shows and where that object is. Resumable; knows
nothing of instructions or actions.
"""

import csv
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from vla_cache_ros.training.batches import learning_rate
from vla_cache_ros.training.batches import pixel_batch
from vla_cache_ros.training.frames import Frames
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.model import init_model
from vla_cache_ros.vla.model import PrismaticVLA

from recipes.domains import Domain
from recipes.patch_targets import batch_targets
from recipes.patch_targets import patch_loss
from recipes.patch_targets import PatchHead
from recipes.patch_targets import SCALE
from recipes.tabletop_model import tabletop_config


def train_towers(
    domain: Domain,
    directories: list[Path],
    out: Path,
    steps: int,
    batch: int = 12,
    peak: float = 1.2e-3,
    seed: int = 0,
    start: str | None = None,
) -> None:
    """
    Train up to a number of updates and write OUT/towers.pt and the curve OUT/towers.csv.

    start: a checkpoint whose tower to begin with. An interrupted run goes on from its last save.
    """
    out.mkdir(parents=True, exist_ok=True)
    model = init_model(tabletop_config(domain.cameras), seed)
    head = PatchHead(model.config.vision_dim, len(domain.classes))
    if start is not None:
        tower = load_checkpoint(start, need_tokenizer=False).model.vision_backbone
        model.vision_backbone.load_state_dict(tower.state_dict())
    preprocessor = ImagePreprocessor.for_towers(model.config.towers)
    parameters = [*model.vision_backbone.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, peak, betas=(0.9, 0.98), weight_decay=0.02)
    done = 0
    if (out / 'towers.pt').exists():
        state = torch.load(out / 'towers.pt', weights_only=True)
        model.vision_backbone.load_state_dict(state['towers'])
        head.load_state_dict(state['head'])
        optimizer.load_state_dict(state['optimizer'])
        done = state['step']
    rng = np.random.default_rng((seed, done))
    frames, curve = Frames(directories), (out / 'towers.csv').open('a', newline='')
    log, recent = csv.writer(curve), []
    with tqdm(range(done, steps), initial=done, total=steps, mininterval=10) as progress:
        for step in progress:
            for group in optimizer.param_groups:
                group['lr'] = learning_rate(step, steps, peak)
            rows = np.sort(rng.choice(len(frames), batch, replace=False))
            shares, targets, counts = batch_targets(frames.table, rows, domain)
            features = model.vision_features(pixel_batch(frames.images(rows), preprocessor))
            logits, positions = head(features.view(*shares.shape[:3], features.shape[-1]))
            entropy, error = patch_loss(logits, positions, shares, targets, counts)
            optimizer.zero_grad()
            (entropy + 0.5 * error).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            recent.append((entropy.item(), error.item() * SCALE / 3 * 1000))
            if (step + 1) % 50 == 0 or step + 1 == steps:
                mean = np.mean(recent, 0)
                recent.clear()
                log.writerow([step + 1, f'{mean[0]:.4f}', f'{mean[1]:.2f}'])
                curve.flush()
                progress.set_postfix_str(f'entropy {mean[0]:.3f}, position {mean[1]:.1f} mm')
                _save(out / 'towers.pt', model, head, optimizer, step + 1)


def _save(path: Path, model: PrismaticVLA, head: PatchHead, optimizer, step: int) -> None:
    state = {
        'towers': model.vision_backbone.state_dict(),
        'head': head.state_dict(),
        'optimizer': optimizer.state_dict(),
        'step': step,
    }
    torch.save(state, path.with_suffix('.part'))
    path.with_suffix('.part').rename(path)
