# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Stage 2 of the base model: learn to act from the expert's labels, on a tower that already sees.

Resumable. Under torchrun every process trains on its own part of the shards and gradients are
averaged. Knows nothing of caching: gates are trained later, through the finished model.
"""

from collections.abc import Sequence
from dataclasses import replace
import json
from pathlib import Path
import shutil
import zlib

import numpy as np
import torch
from torch import nn
from torch import Tensor
from vla_cache_ros.training.batches import pad_prompts
from vla_cache_ros.training.batches import pixel_batch
from vla_cache_ros.training.frames import Frames
from vla_cache_ros.training.loop import join_processes
from vla_cache_ros.training.loop import learning_rate
from vla_cache_ros.training.loop import Loop
from vla_cache_ros.training.loop import saved
from vla_cache_ros.vla.actions import DatasetStatistics
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.checkpoint import resolve
from vla_cache_ros.vla.checkpoint import save_checkpoint
from vla_cache_ros.vla.config import PATCHES_PER_IMAGE
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.model import init_model
from vla_cache_ros.vla.model import VLAModel
from vla_cache_ros.vla.prompt import encode_prompt

from recipes.domains import Domain
from recipes.domains import TABLETOP
from recipes.grounding import grounding_targets
from recipes.grounding import GroundingHeads
from recipes.sequence import action_rows
from recipes.sequence import choose_tokens
from recipes.sequence import decode_subset
from recipes.sizes import build_tokenizer
from recipes.sizes import dataset_statistics
from recipes.sizes import tabletop_config
from recipes.staleness import with_stale_tokens

GROUNDING_LAYER = 1  # its output must already know which tokens the instruction names
EMA = 0.998


class BaseTrainer:
    """Hold the model, its training-only heads and the loop of stage 2."""

    names = ('update', 'action_l1', 'naming', 'nearby', 'place')  # of the curve

    def __init__(
        self,
        directories: Sequence[Path],
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
        teaches it then, since no checkpoint has the training-only heads. With towers too it is a
        model of another domain: its decoder is begun with, the rest is new. domain: of the shards.
        stale: largest share of a sample's visual tokens that are shown as in an earlier frame.
        """
        self.out, self.domain, self.stale = Path(out), domain, stale
        self.out.mkdir(parents=True, exist_ok=True)
        self.accelerator = accelerator = join_processes()
        self.main = accelerator.is_main_process
        rank = accelerator.process_index
        self.model = self.build_model(seed)
        torch.manual_seed(seed)
        self.heads = self.build_heads()
        self.build_inputs()
        self.phase = (0, 0)
        self._middle: Tensor | None = None
        layers = self.model.language_model.model.layers
        layers[self.grounding_layer()].register_forward_hook(self._keep_middle)
        trained = [p for n, p in self.model.named_parameters() if 'vision_backbone' not in n]
        parameters = [*trained, *self.heads.parameters()]
        optimizer = torch.optim.AdamW(
            [
                {'params': [p for p in parameters if p.ndim > 1], 'weight_decay': 0.05},
                {'params': [p for p in parameters if p.ndim <= 1], 'weight_decay': 0.0},
            ],
            lr=1e-3,
            betas=(0.9, 0.97),
        )
        optimizer.register_step_post_hook(self._average)
        state, curve = self.out / 'base.pt', self.out / 'base.csv'
        self.loop = Loop(accelerator, parameters, optimizer, state, curve, self.names)
        if towers is not None:
            seen = torch.load(towers, weights_only=True)
            self.model.vision_backbone.load_state_dict(seen['towers'])
        stats = self.out / 'dataset_statistics.json'
        self.auxiliary = 0.0 if start is not None and towers is None else 0.5
        if start is not None:
            folder = resolve(start)
            if towers is None:
                self.model.load_state_dict(load_checkpoint(folder).model.state_dict())
                shutil.copyfile(folder / stats.name, stats)
            else:
                self.begin_decoder(load_checkpoint(folder))
        self.averaged = VLAModel(self.model.config)
        self.averaged.load_state_dict(self.model.state_dict())
        if (found := saved(state)) is not None:
            self.restore(found)
        # A resumed run draws other samples than the ones it has seen since its last save.
        self.rng = np.random.default_rng((seed, rank, self.loop.done))
        self.generator = torch.Generator().manual_seed(int(self.rng.integers(2**31)))
        tower = torch.cat([p.detach().flatten() for p in self.model.vision_backbone.parameters()])
        self.features = self.out / f'features-{zlib.crc32(tower.numpy().tobytes()):08x}'
        self.features.mkdir(exist_ok=True)
        count = accelerator.num_processes
        self.frames = Frames(directories, rank, count, self.encode, self.features)
        found = self.frames.table['shares'].shape[1:]
        if found != (domain.cameras, PATCHES_PER_IMAGE, len(domain.classes)):
            raise ValueError(
                f'frames: expected {domain.cameras} cameras and {len(domain.classes)} classes, as '
                f'{domain.name} has, got {found[0]} and {found[-1]}: '
                f'run "python -m recipes demos --env {domain.name}"'
            )
        if not stats.exists():
            table = self.frames.table
            content = dataset_statistics(domain.name, table['actions'], table['proprio'])
            stats.write_text(json.dumps(content, indent=1) + '\n')
        self.norm_stats = json.loads(stats.read_text())
        self.statistics = DatasetStatistics.select(self.norm_stats, domain.name)

    def build_model(self, seed: int) -> VLAModel:
        """Return the untrained model."""
        return init_model(tabletop_config(self.domain.cameras), seed)

    def begin_decoder(self, other: LoadedVLA) -> None:
        """Take over another domain's decoder, with the embeddings of words that are known here."""
        state = self.model.state_dict()
        words = 'language_model.model.embed_tokens.weight'
        for name, weight in other.model.state_dict().items():
            if 'vision_backbone' not in name and name != words:
                state[name] = weight
        known, here = other.tokenizer.get_vocab(), self.tokenizer.get_vocab()
        for word in known.keys() & here.keys():
            state[words][here[word]] = other.model.state_dict()[words][known[word]]
        self.model.load_state_dict(state)

    def build_heads(self) -> nn.Module:
        """Return the heads that exist in training only."""
        return GroundingHeads(self.model.config.hidden_dim)

    def build_inputs(self) -> None:
        """Make the tokenizer, the prompts and the constants of pictures."""
        self.tokenizer = build_tokenizer(self.domain)
        images = ImagePreprocessor.for_towers(self.model.config.towers)
        self.images = replace(images, paths=(self.domain.image_path,))
        self.prompts = [encode_prompt(self.tokenizer, text) for text in self.domain.instructions]

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
            self.phase = (self.loop.done, until)
        begin, _ = self.phase
        everything = PATCHES_PER_IMAGE * self.model.config.cameras

        def step() -> tuple[Tensor, list[float]]:
            full = full_every is not None and self.loop.done % full_every == full_every - 1
            rows = self.rng.integers(len(self.frames), size=batch)
            losses = self.losses(rows, everything if full else keep)
            loss = losses[0] + self.auxiliary * sum(losses[1:])
            return loss, [loss.item() for loss in losses]

        def rate(done: int) -> float:
            return learning_rate(done - begin, until - begin, peak)

        self.loop.run(until, step, rate, self.save)

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
        targets = grounding_targets(table, rows).gather(tokens)
        return action, *self.heads.loss(self._middle[:, 1 : keep + 1], slots, targets)

    def save(self) -> None:
        """Write OUT/base.pt and, with the averaged weights, the checkpoint folder OUT/model."""
        self.loop.save(
            model=self.model.state_dict(),
            heads=self.heads.state_dict(),
            average=self.averaged.state_dict(),
            phase=self.phase,
        )
        if self.main:
            self.save_folder()

    def save_folder(self) -> None:
        """Write the averaged weights as a checkpoint folder."""
        folder = self.out / 'model'
        save_checkpoint(folder, self.averaged, self.norm_stats, self.tokenizer, self.images)

    def restore(self, state: dict) -> None:
        """Go on from what save() wrote."""
        self.model.load_state_dict(state['model'])
        self.heads.load_state_dict(state['heads'])
        self.averaged.load_state_dict(state['average'])
        self.phase = tuple(state['phase'])
        self.loop.restore(state)

    @torch.no_grad()
    def _average(self, *_: object) -> None:
        """Let the averaged weights follow those of an update."""
        decay = min(EMA, (self.loop.done + 1) / (self.loop.done + 10))
        pairs = zip(self.averaged.parameters(), self.model.parameters(), strict=True)
        for average, value in pairs:
            average.lerp_(value, 1 - decay)

    def _keep_middle(self, module, inputs, output: Tensor) -> None:
        self._middle = output
