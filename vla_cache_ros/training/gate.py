# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Train the learned gate through the frozen model: first to know what matters, then to save.

Stage I fits the selector to the effect of each token's staleness. Stage II trains selector and
predictor on the action loss and the reused share, as the paper does. Runs in segments: a segment
depends on the weights and its own number alone, so that an interrupted run resumes to the same
curve. Each of several processes takes its own recordings. Source: arXiv 2602.00686.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
import math
from pathlib import Path
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.caching.gates.gate_folder import load_gate_folder
from vla_cache_ros.caching.gates.gate_folder import save_gate
from vla_cache_ros.caching.gates.network import GateConfig
from vla_cache_ros.caching.gates.network import GateNetwork
from vla_cache_ros.training.alignment import align_to_attention
from vla_cache_ros.training.alignment import effect_loss
from vla_cache_ros.training.alignment import left_out
from vla_cache_ros.training.batches import instruction_embeddings
from vla_cache_ros.training.calibration import calibrate
from vla_cache_ros.training.loop import join_processes
from vla_cache_ros.training.loop import learning_rate
from vla_cache_ros.training.loop import Loop
from vla_cache_ros.training.loop import saved
from vla_cache_ros.training.predictor_losses import PREDICTORS
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.training.settings import GateTraining
from vla_cache_ros.training.task_stage import TaskStage
from vla_cache_ros.training.task_stage import Update
from vla_cache_ros.training.teacher import Teacher
from vla_cache_ros.training.unroll import budgets
from vla_cache_ros.training.walks import Walks
from vla_cache_ros.vla.checkpoint import LoadedVLA

COVERED = 0.3  # share of the tokens whose effects stage I reports
SEGMENT = 8  # updates of stage II that are unrolled without a break
STAGE1_SEGMENT = 25
# Of the learning rate is left for the predictor. What it sees is never negative: at the full rate
# all its units fell silent on LIBERO-10, and every step got one share.
PREDICTOR_PACE = 0.1
FINE = 0.15  # of the learning rate is left for stage II where stage I came before it
CURVE = ('stage', 'update', 'loss', 'covered', 'reuse', 'distance', 'price', 'seconds')


class GateTrainer:
    """Hold the frozen model, the gate, its training loop and the answers it learns from."""

    def __init__(
        self, vla: LoadedVLA, recordings: Recordings, out: Path, training: GateTraining
    ) -> None:
        """
        Start anew, or from OUT/state.pt if it exists; other settings than its are refused.

        vla: frozen, as `run.model_to_train_through` returns it; the gate trains on its device.
        """
        self.out, self.vla, self.recordings = Path(out), vla, recordings
        self.out.mkdir(parents=True, exist_ok=True)
        self.training = training = fitted(training, vla, recordings)
        device = vla.model.like.device
        self.accelerator = join_processes(device)
        state = self._saved()  # before hours of asking the model: other settings are refused
        self.teacher = self._ask_teacher()
        self.walks = self._walk()
        self.embeddings = instruction_embeddings(vla, recordings)
        config = GateConfig(
            cameras=vla.config.cameras,
            language_dim=vla.config.hidden_dim if training.language else 0,
            grid=math.isqrt(vla.config.tokens),
        )
        torch.manual_seed(training.seed)
        self.network = GateNetwork(config)  # on the CPU, so that a seed means the same everywhere
        if training.start is not None:
            self._begin_with(Path(training.start))
        self.network.to(device)
        self.predictor = PREDICTORS[training.predictor](torch.tensor(config.ratios, device=device))
        self.task = TaskStage(
            vla, recordings, self.teacher, self.network, self.predictor, training,
            self.accelerator,
        )  # fmt: skip
        self.loop = Loop(
            self.accelerator, self.network.parameters(), self._new_optimizer(),
            self.out / 'state.pt', self.out / 'gate.csv', CURVE,
        )  # fmt: skip
        self._seconds = 0.0
        if state is not None:
            self.network.load_state_dict(state['network'])
            self.loop.restore(state)
            self._seconds = state['seconds']
            self.task.price, self.task.scale = state['price'], state['scale']

    def train(self) -> None:
        """Run both stages, calibrate and write the gate folder OUT/gate."""
        training, loop = self.training, self.loop
        while loop.done < training.stage1:
            self._segment(1, min(STAGE1_SEGMENT, training.stage1 - loop.done))
        total = training.stage1 + training.stage2
        if loop.done == training.stage1:
            # stage II's gradients are far larger: with stage I's moments its first updates would
            # throw the weights away
            loop.optimizer = self._new_optimizer()
        while loop.done < total:
            self._segment(2, min(SEGMENT, total - loop.done))
        if self.accelerator.is_main_process:
            self.export()

    def export(self) -> None:
        """Calibrate on the held-out recordings and write OUT/gate."""
        training = self.training
        network = deepcopy(self.network).eval().cpu()  # where a gate runs, wherever it was trained
        calibration = calibrate(network, self.recordings, self.embeddings, training.first_share)
        save_gate(
            self.out / 'gate',
            network,
            fingerprint=self.vla.fingerprint,
            calibration=calibration,
            default_reuse=training.target or GateTraining.target,
            first_share=training.first_share,
            training={
                **vars(training),
                'seconds': round(self._seconds),
                'processes': self.accelerator.num_processes,
                'device': str(self.vla.model.like.device),
                'parameters': sum(p.numel() for p in network.parameters()),
            },
        )
        print(f'gate for {network.config.cameras} cameras in {self.out / "gate"}')

    def _begin_with(self, folder: Path) -> None:
        """Take the weights of a trained gate; raises ValueError where it was made otherwise."""
        config = self.vla.config
        # another model's words mean nothing to this gate, motion is the same for all models
        fingerprint = self.vla.fingerprint if self.training.language else None
        network = load_gate_folder(
            folder, fingerprint=fingerprint, cameras=config.cameras, tokens=config.tokens
        ).network
        if network.config != self.network.config:
            raise ValueError(
                f'{folder}: expected a gate of {self.network.config}, found {network.config}'
            )
        self.network.load_state_dict(network.state_dict())

    def _new_optimizer(self) -> torch.optim.Optimizer:
        slow = list(self.network.predictor.parameters())
        fast = [p for n, p in self.network.named_parameters() if not n.startswith('predictor.')]
        groups = [{'params': fast}, {'params': slow, 'pace': PREDICTOR_PACE}]
        return torch.optim.AdamW(groups, self.training.peak, betas=(0.9, 0.99))

    def _segment(self, stage: int, updates: int) -> None:
        """Run some updates, write their mean to the curve, save; the state is that of its end."""
        began, loop = time.perf_counter(), self.loop
        seed = (self.training.seed, self.accelerator.process_index, loop.done)
        rng = np.random.default_rng(np.random.SeedSequence(seed))
        step = self._aligning(rng) if stage == 1 else self.task.begin(updates, rng)
        means = loop.update(loop.done + updates, step, self._rate)
        self._seconds += time.perf_counter() - began
        if self.accelerator.is_main_process:
            self._report(stage, means)
        self._save()

    def _aligning(self, rng: np.random.Generator) -> Callable[[], Update]:
        """Return the step of stage I, whose figures hold what is `covered`."""
        batch, unknown = self.training.batch, (np.nan,) * 3
        if self.walks is None:

            def follow_attention() -> Update:
                loss = align_to_attention(
                    self.vla, self.recordings, self.teacher, self.network, batch, rng
                )
                return loss, (loss.item(), *unknown)

            return follow_attention
        ranks = self.accelerator.process_index, self.accelerator.num_processes
        own = np.arange(ranks[0], len(self.walks.frames), ranks[1])
        return lambda: self._follow_effects(rng.choice(own, batch))

    def _follow_effects(self, samples: np.ndarray) -> Update:
        device = self.vla.model.like.device
        planes = np.stack([self.walks.planes(sample) for sample in samples])
        effects = torch.from_numpy(self.walks.effects[samples]).to(device)
        scores, logits = self.network(
            torch.from_numpy(planes).float().to(device),
            self._language(self.walks.frames[samples]),
        )
        cost = left_out(scores.detach(), effects, budgets(self.network.config))
        loss = effect_loss(scores, effects)
        best = round(COVERED * effects.shape[1])
        covered = 1 - left_out(scores.detach(), effects, [best])[:, 0] ** 2 / effects.sum(1)
        shown = (loss.item(), covered.mean().item(), np.nan, np.nan)
        return loss + self.predictor.align(logits, cost / self.walks.typical), shown

    def _rate(self, done: int) -> float:
        """Warm up and cool down in each stage by itself."""
        training = self.training
        if done < training.stage1:
            return learning_rate(done, training.stage1, training.peak)
        peak = training.peak * (FINE if training.stage1 else 1)
        return learning_rate(done - training.stage1, training.stage2, peak)

    def _report(self, stage: int, figures: list[float]) -> None:
        """Append to OUT/gate.csv and print one line."""
        done, total = self.loop.done, self.training.stage1 + self.training.stage2
        loss, covered, reuse, distance = figures
        left = self._seconds / done * (total - done)
        self.loop.log(stage, done, *figures, self.task.price, round(self._seconds))
        shown = f'stage {stage}, {done}/{total}: loss {loss:.4f}, '
        if stage == 2:
            shown += f'reuse {reuse:.2f}, distance to dense {distance:.4f}, '
            shown += f'price {self.task.price:.2f}, '
        elif np.isfinite(covered):
            shown += f'{covered:.0%} of the effects in {COVERED:.0%} of the tokens, '
        print(f'{shown}{left / 60:.0f} min left', flush=True)

    def _identity(self) -> dict[str, Any]:
        """Return what must be the same where a training goes on."""
        return {
            **vars(self.training),
            'fingerprint': self.vla.fingerprint,
            'recordings': self.recordings.digest,
        }

    def _save(self) -> None:
        self.loop.save(
            network=self.network.state_dict(),
            price=self.task.price,
            scale=self.task.scale,
            seconds=self._seconds,
            identity=self._identity(),
        )

    def _saved(self) -> dict[str, Any] | None:
        """Return the state that a run in OUT left, None without one."""
        state = saved(self.out / 'state.pt')
        for key, value in self._identity().items() if state else ():
            found = state['identity'].get(key)
            if found != value:
                raise ValueError(
                    f'{self.out / "state.pt"}: {key}: expected {value!r} as asked for, found '
                    f'{found!r}; choose another --out or the same settings'
                )
        return state

    def _ask_teacher(self) -> Teacher | None:
        """Let one process ask the dense model, the others read its answers; None if unneeded."""
        if not self.training.stage2 and self.training.align != 'attention':
            return None
        with self.accelerator.main_process_first():
            # other gates of these recordings find the answers there
            folder, steps = self.out.resolve().parent, self.training.flow_steps
            return Teacher(self.vla, self.recordings, folder, steps)

    def _walk(self) -> Walks | None:
        """Return what stage I learns from, made by all processes together; None without it."""
        if self.training.align != 'effects' or not self.training.stage1:
            return None
        walks = Walks(
            self.vla,
            self.recordings,
            self.out.resolve().parent,
            self.training.walks,
            self.accelerator.process_index,
            self.accelerator.num_processes,
            labelled=self.training.loss == 'demonstrations',
            executed=self.training.execute_steps,
            flow_steps=self.training.flow_steps,
        )
        self.accelerator.wait_for_everyone()
        walks.load(self.training.relative)
        return walks

    def _language(self, frames: np.ndarray) -> Tensor | None:
        """Return the instructions' embeddings `[B, language_dim]` for a gate that sees them."""
        if not self.training.language:
            return None
        return torch.stack([self.embeddings[self.recordings.instruction(f)] for f in frames])


def fitted(training: GateTraining, vla: LoadedVLA, recordings: Recordings) -> GateTraining:
    """
    Return the settings for a model and recordings, the first step's share chosen if it is open.

    Raises ValueError unless they fit each other.
    """
    tokens = vla.model.action_head is None
    labelled = 'actions' in recordings.frames.table
    if training.loss == 'demonstrations' and (tokens or not labelled):
        raise ValueError(
            'loss: expected distill, since these recordings have no labels, or the model has '
            'action tokens, got demonstrations'
        )
    if tokens and (training.stage2 or training.align != 'effects'):
        raise ValueError(
            'stage2 and align: expected 0 and effects for a model with action tokens, got '
            f'{training.stage2} and {training.align}'
        )
    wanted, found = vla.config.cameras, recordings.frames.images(np.array([0])).shape[1]
    if found != wanted:
        raise ValueError(
            f'recordings: expected {wanted} cameras, as the model takes, found {found}'
        )
    if training.first_share is not None:
        return training
    return replace(training, first_share=0.75 if labelled else 1.0)
