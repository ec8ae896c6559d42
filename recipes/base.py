# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Stage 2 of the base model: learn to act from the expert's labels, on a tower that already sees.

Resumable. Under torchrun every process trains on its own part of the shards and gradients are
averaged. Knows nothing of caching: gates are trained later, through the finished model.
"""

import csv
import json
from pathlib import Path
import shutil
import zlib

import numpy as np
import torch
from torch import nn
from torch import Tensor
from tqdm import tqdm
from vla_cache_ros.training.batches import learning_rate
from vla_cache_ros.training.batches import pad_prompts
from vla_cache_ros.training.batches import pixel_batch
from vla_cache_ros.training.frames import Frames
from vla_cache_ros.training.processes import average_gradients
from vla_cache_ros.training.processes import join_processes
from vla_cache_ros.vla.actions import DatasetStatistics
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import resolve
from vla_cache_ros.vla.checkpoint import save_checkpoint
from vla_cache_ros.vla.config import PATCHES_PER_IMAGE
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.model import init_model
from vla_cache_ros.vla.model import PrismaticVLA
from vla_cache_ros.vla.prompt import encode_prompt

from recipes.domains import Domain
from recipes.domains import TABLETOP
from recipes.grounding import grounding_targets
from recipes.grounding import GroundingHeads
from recipes.sequence import action_rows
from recipes.sequence import choose_tokens
from recipes.sequence import decode_subset
from recipes.staleness import with_stale_tokens
from recipes.tabletop_model import build_tokenizer
from recipes.tabletop_model import dataset_statistics
from recipes.tabletop_model import tabletop_config

GROUNDING_LAYER = 1  # its output must already know which tokens the instruction names
EMA = 0.998


class BaseTrainer:
    """Hold the model, its training-only heads and the optimizer of stage 2."""

    def __init__(
        self,
        directories: list[Path],
        out: Path,
        towers: Path | None,
        seed: int = 0,
        start: str | None = None,
        domain: Domain = TABLETOP,
        stale: float = 0.0,
    ):
        """
        Start from OUT/base.pt if it exists, else from a checkpoint, else from towers of stage 1.

        directories: shards of demonstrations.py. The statistics are fixed by the first run, or by
        the checkpoint. start: a finished model of this kind, to train on; only the action loss
        teaches it then, since no checkpoint has the training-only heads. domain: of the shards.
        stale: largest share of a sample's visual tokens that are shown as in an earlier frame.
        """
        self.out, self.domain, self.stale = Path(out), domain, stale
        self.out.mkdir(parents=True, exist_ok=True)
        self.rank, self.world = join_processes()
        self.model = self.build_model(seed)
        self.heads = self.build_heads()
        self.tokenizer = build_tokenizer(domain)
        self.images = ImagePreprocessor.for_towers(self.model.config.towers)
        self.prompts = [encode_prompt(self.tokenizer, text) for text in domain.instructions]
        self.step, self.phase = 0, (0, 0)
        self._middle: Tensor | None = None
        layers = self.model.language_model.model.layers
        layers[self.grounding_layer()].register_forward_hook(self._keep_middle)
        trained = [p for n, p in self.model.named_parameters() if 'vision_backbone' not in n]
        self.parameters = [*trained, *self.heads.parameters()]
        self.optimizer = torch.optim.AdamW(
            [
                {'params': [p for p in self.parameters if p.ndim > 1], 'weight_decay': 0.05},
                {'params': [p for p in self.parameters if p.ndim <= 1], 'weight_decay': 0.0},
            ],
            lr=1e-3,
            betas=(0.9, 0.97),
        )
        if towers is not None:
            state = torch.load(towers, weights_only=True)
            self.model.vision_backbone.load_state_dict(state['towers'])
        stats = self.out / 'dataset_statistics.json'
        self.auxiliary = 0.5 if start is None else 0.0
        if start is not None:
            folder = resolve(start)
            self.model.load_state_dict(load_checkpoint(folder).model.state_dict())
            shutil.copyfile(folder / stats.name, stats)
        self.averaged = PrismaticVLA(self.model.config)
        self.averaged.load_state_dict(self.model.state_dict())
        if (self.out / 'base.pt').exists():
            self.restore(torch.load(self.out / 'base.pt', weights_only=True))
        # A resumed run draws other samples than the ones it has seen since its last save.
        self.rng = np.random.default_rng((seed, self.rank, self.step))
        self.generator = torch.Generator().manual_seed(int(self.rng.integers(2**31)))
        tower = torch.cat([p.detach().flatten() for p in self.model.vision_backbone.parameters()])
        features = self.out / f'features-{zlib.crc32(tower.numpy().tobytes()):08x}'
        features.mkdir(exist_ok=True)
        self.frames = Frames(directories, self.rank, self.world, self.encode, features)
        found = self.frames.table['shares'].shape[1:]
        if found != (domain.cameras, PATCHES_PER_IMAGE, len(domain.classes)):
            raise ValueError(
                f'frames: expected {domain.cameras} cameras and {len(domain.classes)} classes, as '
                f'{domain.name} has, got {found[0]} and {found[-1]}: '
                f'run "vla-cache demos --env {domain.name}"'
            )
        if not stats.exists():
            table = self.frames.table
            content = dataset_statistics(domain.name, table['actions'], table['proprio'])
            stats.write_text(json.dumps(content, indent=1) + '\n')
        self.norm_stats = json.loads(stats.read_text())
        self.statistics = DatasetStatistics.select(self.norm_stats, domain.name)

    def build_model(self, seed: int) -> PrismaticVLA:
        """Return the untrained model."""
        return init_model(tabletop_config(self.domain.cameras), seed)

    def build_heads(self) -> nn.Module:
        """Return the heads that exist in training only."""
        return GroundingHeads(self.model.config.hidden_dim)

    def grounding_layer(self) -> int:
        """Return the decoder layer whose output the training-only heads read."""
        return GROUNDING_LAYER

    def train(
        self, until: int, batch: int, keep: int, peak: float, full_every: int | None = None
    ) -> None:
        """
        Train one phase, a warm-up and a cosine, up to a total number of updates, and save.

        An interrupted phase goes on where it was saved. batch: samples per process and update.
        keep: visual tokens per sample; every full_every-th update takes all of them. peak:
        learning rate.
        """
        if self.phase[1] != until:
            self.phase = (self.step, until)
        begin = self.phase[0]
        oft = self.model.config.oft
        everything = PATCHES_PER_IMAGE * (1 if oft is None else oft.num_images)
        log_file = (self.out / 'base.csv').open('a', newline='')
        log, losses = csv.writer(log_file), []
        progress = tqdm(
            range(self.step, until), initial=self.step, total=until, disable=self.rank > 0
        )
        for index in progress:
            full = full_every is not None and index % full_every == full_every - 1
            rate = learning_rate(index - begin, until - begin, peak)
            losses.append(self._update(batch, everything if full else keep, rate))
            self.step = index + 1
            if self.step % 50 == 0 and self.rank == 0:
                mean = np.mean(losses, 0)
                losses.clear()
                log.writerow([self.step, batch * self.world, keep, *(f'{v:.4f}' for v in mean)])
                log_file.flush()
                progress.set_postfix_str(f'action {mean[0]:.3f}, place {mean[-1]:.3f}')
            if self.step % 200 == 0:
                self.save()
        self.save()

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Return the frozen tower's features float16 [N, V, F] of uint8 [N, cams, 224, 224, 3]."""
        with torch.inference_mode():
            parts = [
                self.model.vision_features(pixel_batch(images[i : i + 10], self.images))
                for i in range(0, len(images), 10)
            ]
        return torch.cat(parts).half().numpy()

    def losses(self, rows: np.ndarray, keep: int) -> tuple[Tensor, ...]:
        """Return the action L1 (normalised units), naming, token place and place losses."""
        table = self.frames.table
        tasks = table['task'][rows]
        features = torch.from_numpy(self.frames.images(rows)).float()  # [B, V, F]
        if self.stale:
            features = with_stale_tokens(self.frames, rows, features, self.stale, self.rng)
        shares = torch.from_numpy(table['shares'][rows]).flatten(1, 2)
        tokens = choose_tokens(shares, keep, self.generator, self.domain)  # [B, K]
        pick = tokens[..., None]
        visual = self.model.project(features.gather(1, pick.expand(-1, -1, features.shape[-1])))
        ids, ids_mask = pad_prompts([self.prompts[t] for t in tasks])
        proprio = torch.from_numpy(
            self.statistics.proprio.normalize(table['proprio'][rows]).astype(np.float32)
        )
        hidden = decode_subset(
            self.model, visual, tokens, features.shape[1], ids, ids_mask, proprio
        )
        slots = action_rows(hidden, ids_mask, table['actions'][0].size)
        predicted = self.model.action_head(slots)  # [B, 8, 7]
        wanted = self.statistics.action.normalize(table['actions'][rows]).astype(np.float32)
        action = (predicted - torch.from_numpy(wanted)).abs().mean()
        targets = grounding_targets(table, rows, self.domain).gather(tokens)
        return action, *self.heads.loss(self._middle[:, 1 : keep + 1], slots, targets)

    def save(self) -> None:
        """Write OUT/base.pt and, with the averaged weights, the checkpoint folder OUT/model."""
        if self.rank > 0:
            return
        state = {
            'model': self.model.state_dict(),
            'heads': self.heads.state_dict(),
            'optimizer': self.optimizer.state_dict(),
            'average': self.averaged.state_dict(),
            'step': self.step,
            'phase': self.phase,
        }
        torch.save(state, self.out / 'base.part')
        (self.out / 'base.part').rename(self.out / 'base.pt')
        save_checkpoint(
            self.out / 'model', self.averaged, self.norm_stats, self.tokenizer, self.images
        )

    def restore(self, state: dict) -> None:
        """Go on from what save() wrote."""
        self.model.load_state_dict(state['model'])
        self.heads.load_state_dict(state['heads'])
        self.optimizer.load_state_dict(state['optimizer'])
        self.averaged.load_state_dict(state['average'])
        self.step, self.phase = state['step'], tuple(state['phase'])

    def _update(self, batch: int, keep: int, rate: float) -> tuple[float, ...]:
        for group in self.optimizer.param_groups:
            group['lr'] = rate
        rows = self.rng.integers(len(self.frames), size=batch)
        losses = self.losses(rows, keep)
        self.optimizer.zero_grad()
        (losses[0] + self.auxiliary * sum(losses[1:])).backward()
        average_gradients(self.parameters, self.world)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        decay = min(EMA, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            pairs = zip(self.averaged.parameters(), self.model.parameters(), strict=True)
            for average, value in pairs:
                average.lerp_(value, 1 - decay)
        return tuple(loss.item() for loss in losses)

    def _keep_middle(self, module, inputs, output: Tensor) -> None:
        self._middle = output
