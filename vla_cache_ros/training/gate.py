# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Train the learned gate through the frozen model: first to know what matters, then to save.

Stage I fits the selector to the effect of each token's staleness. Stage II trains selector and
predictor on the action loss and the reused share, as the paper does. Runs in segments: a segment
depends on the weights and its own number alone, so that an interrupted run resumes to the same
curve. Under torchrun every process takes its own recordings and gradients are averaged.
Source: arXiv 2602.00686.
"""

from pathlib import Path
import time
from typing import Any

import numpy as np
import torch
from torch import nn
from torch import Tensor
from vla_cache_ros.caching.gates.gate_folder import load_gate_folder
from vla_cache_ros.caching.gates.gate_folder import save_gate
from vla_cache_ros.caching.gates.network import GateConfig
from vla_cache_ros.caching.gates.network import GateNetwork
from vla_cache_ros.training import gate_curve
from vla_cache_ros.training.alignment import align_to_attention
from vla_cache_ros.training.alignment import effect_loss
from vla_cache_ros.training.alignment import left_out
from vla_cache_ros.training.batches import learning_rate
from vla_cache_ros.training.calibration import calibrate
from vla_cache_ros.training.gate_settings import check_fit
from vla_cache_ros.training.gate_settings import GateTraining
from vla_cache_ros.training.predictor_losses import PREDICTORS
from vla_cache_ros.training.processes import average_gradients
from vla_cache_ros.training.processes import join_processes
from vla_cache_ros.training.processes import mean_over_processes
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.training.task_stage import TaskStage
from vla_cache_ros.training.teacher import instruction_embeddings
from vla_cache_ros.training.teacher import Teacher
from vla_cache_ros.training.unroll import budgets
from vla_cache_ros.training.walks import Walks
from vla_cache_ros.vla.checkpoint import LoadedVLA

COVERED = 0.3  # share of the tokens whose effects stage I reports
SEGMENT = 8  # updates of stage II that are unrolled without a break
STAGE1_SEGMENT = 25
FINE = 0.15  # of the learning rate is left for stage II where stage I came before it


class GateTrainer:
    """Hold the frozen model, the gate, its optimizer and the answers it learns from."""

    def __init__(
        self, vla: LoadedVLA, recordings: Recordings, out: Path, training: GateTraining
    ) -> None:
        """
        Start anew, or from OUT/state.pt if it exists; other settings than its are refused.

        vla: frozen, as `gate_run.model_to_train_through` returns it.
        """
        self.out, self.training = Path(out), training
        self.out.mkdir(parents=True, exist_ok=True)
        self.rank, self.world = join_processes()
        self.vla, self.recordings = vla, recordings
        check_fit(training, vla, recordings)
        state = self._saved()  # before hours of asking the model: other settings are refused
        self.teacher = self._ask_teacher()
        self.walks = self._walk()
        self.embeddings = instruction_embeddings(vla, recordings)
        config = GateConfig(
            cameras=vla.config.cameras,
            language_dim=self.vla.config.hidden_dim if training.language else 0,
        )
        torch.manual_seed(training.seed)
        self.network = GateNetwork(config)
        if training.start is not None:
            self._begin_with(Path(training.start))
        self.optimizer = self._new_optimizer()
        self.predictor = PREDICTORS[training.predictor](config.ratios)
        self.task = TaskStage(
            self.vla, self.recordings, self.teacher, self.network, self.predictor, training,
            self.world,
        )  # fmt: skip
        self.done, self._seconds = 0, 0.0
        if state is not None:
            self.network.load_state_dict(state['network'])
            self.optimizer.load_state_dict(state['optimizer'])
            self.done, self._seconds = state['done'], state['seconds']
            self.task.price, self.task.scale = state['price'], state['scale']

    def _begin_with(self, folder: Path) -> None:
        """Take the weights of a trained gate; raises ValueError where it was made otherwise."""
        model = {'fingerprint': self.vla.fingerprint, 'cameras': self.network.config.cameras}
        network = load_gate_folder(folder, **model).network
        if network.config != self.network.config:
            raise ValueError(
                f'{folder}: expected a gate of {self.network.config}, found {network.config}'
            )
        self.network.load_state_dict(network.state_dict())

    def train(self) -> None:
        """Run both stages, calibrate and write the gate folder OUT/gate."""
        training = self.training
        while self.done < training.stage1:
            self._segment(1, min(STAGE1_SEGMENT, training.stage1 - self.done))
        total = training.stage1 + training.stage2
        if self.done == training.stage1:
            # stage II's gradients are far larger: with stage I's moments its first updates would
            # throw the weights away
            self.optimizer = self._new_optimizer()
        while self.done < total:
            self._segment(2, min(SEGMENT, total - self.done))
        if self.rank == 0:
            self.export()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.network.parameters(), self.training.peak, betas=(0.9, 0.99))

    def export(self) -> None:
        """Calibrate on the held-out recordings and write OUT/gate."""
        config = self.network.config
        calibration = calibrate(
            self.network.eval(), self.recordings, self.embeddings, self.training.first_share
        )
        default = self.training.target or GateTraining.target
        record = vars(self.training) | {'seconds': round(self._seconds), 'processes': self.world}
        save_gate(
            self.out / 'gate',
            self.network,
            fingerprint=self.vla.fingerprint,
            calibration=calibration,
            default_reuse=default,
            first_share=self.training.first_share,
            training=record | {'parameters': sum(p.numel() for p in self.network.parameters())},
        )
        print(f'gate for {config.cameras} cameras in {self.out / "gate"}')

    def _segment(self, stage: int, updates: int) -> None:
        """Run some updates, write their mean to the curve, save; the state is that of its end."""
        began = time.perf_counter()
        seed = np.random.SeedSequence((self.training.seed, self.rank, self.done))
        rng = np.random.default_rng(seed)
        step = self._align if stage == 1 else self.task.begin(updates, rng)
        figures = []
        for _ in range(updates):
            self._set_rate()
            loss, shown = step(rng)
            if not torch.isfinite(loss):
                raise FloatingPointError(
                    f'stage {stage}, update {self.done}: expected a finite loss, found '
                    f'{loss.item()}; {self.out / "state.pt"} holds the last good state: '
                    'go on from there with a lower --peak'
                )
            self.optimizer.zero_grad()
            if loss.requires_grad:  # else all streams began a recording: nothing was chosen
                loss.backward()
            average_gradients(self.network.parameters(), self.world)
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            self.done += 1
            figures.append(shown)
        self._seconds += time.perf_counter() - began
        if self.rank == 0:
            known = [
                [v for v in column if np.isfinite(v)] for column in zip(*figures, strict=True)
            ]
            self._report(stage, [np.mean(column) if column else np.nan for column in known])
            self._save()

    def _align(self, rng: np.random.Generator) -> tuple[Tensor, tuple[float, ...]]:
        """Return stage I's loss, and with it what the figures call `covered`."""
        batch = self.training.batch
        if self.walks is None:
            loss = align_to_attention(
                self.vla, self.recordings, self.teacher, self.network, batch, rng
            )
            return loss, (loss.item(), np.nan, np.nan, np.nan)
        count = len(self.walks.frames)
        samples = rng.choice(np.arange(self.rank, count, self.world), batch)
        planes = np.stack([self.walks.planes(sample) for sample in samples])
        effects = torch.from_numpy(self.walks.effects[samples])
        scores, logits = self.network(
            torch.from_numpy(planes).float(), self._language(self.walks.frames[samples])
        )
        cost = left_out(scores.detach(), effects, budgets(self.network.config))
        loss = effect_loss(scores, effects)
        best = round(COVERED * effects.shape[1])
        covered = 1 - left_out(scores.detach(), effects, [best])[:, 0] ** 2 / effects.sum(1)
        shown = (loss.item(), covered.mean().item(), np.nan, np.nan)
        return loss + self.predictor.align(logits, cost / self.walks.typical), shown

    def _set_rate(self) -> None:
        """Warm up and cool down in each stage by itself."""
        training = self.training
        if self.done < training.stage1:
            rate = learning_rate(self.done, training.stage1, training.peak)
        else:
            peak = training.peak * (FINE if training.stage1 else 1)
            rate = learning_rate(self.done - training.stage1, training.stage2, peak)
        for group in self.optimizer.param_groups:
            group['lr'] = rate

    def _report(self, stage: int, figures: list[float]) -> None:
        """Append to OUT/gate.csv and print one line."""
        total = self.training.stage1 + self.training.stage2
        loss, covered, reuse, distance = figures
        left = self._seconds / self.done * (total - self.done)
        values = (loss, covered, reuse, distance, self.task.price)
        gate_curve.append(self.out / 'gate.csv', stage, self.done, values, self._seconds)
        shown = f'stage {stage}, {self.done}/{total}: loss {loss:.4f}, '
        if stage == 2:
            shown += f'reuse {reuse:.2f}, distance to dense {distance:.4f}, '
            shown += f'price {self.task.price:.2f}, '
        elif np.isfinite(covered):
            shown += f'{covered:.0%} of the effects in {COVERED:.0%} of the tokens, '
        print(f'{shown}{left / 60:.0f} min left', flush=True)

    def _save(self) -> None:
        state = {
            'network': self.network.state_dict(),
            'optimizer': self.optimizer.state_dict(),
            'done': self.done,
            'price': self.task.price,
            'scale': self.task.scale,
            'seconds': self._seconds,
            'training': vars(self.training),
            'fingerprint': self.vla.fingerprint,
            'recordings': self.recordings.digest,
        }
        torch.save(state, self.out / 'state.part')
        (self.out / 'state.part').rename(self.out / 'state.pt')

    def _saved(self) -> dict[str, Any] | None:
        """Return the state that a run in OUT left, None without one."""
        if not (self.out / 'state.pt').exists():
            return None
        state = torch.load(self.out / 'state.pt', weights_only=True)
        wanted = {
            **vars(self.training),
            'fingerprint': self.vla.fingerprint,
            'recordings': self.recordings.digest,
        }
        found = {**state, **state['training']}
        for key, value in wanted.items():
            if found.get(key) != value:
                raise ValueError(
                    f'{self.out / "state.pt"}: {key}: expected {value!r} as asked for, found '
                    f'{found.get(key)!r}; choose another --out or the same settings'
                )
        return state

    def _ask_teacher(self) -> Teacher | None:
        """Let one process ask the dense model, the others read its answers; None if unneeded."""
        if not self.training.stage2 and self.training.align != 'attention':
            return None
        folder = self.out.resolve().parent  # other gates of these recordings find them there
        if self.rank == 0:
            teacher = Teacher(self.vla, self.recordings, folder)
        mean_over_processes((0.0,), self.world)  # waits for all
        return teacher if self.rank == 0 else Teacher(self.vla, self.recordings, folder)

    def _walk(self) -> Walks | None:
        """Return what stage I learns from, made by all processes together; None without it."""
        if self.training.align != 'effects' or not self.training.stage1:
            return None
        folder = self.out.resolve().parent
        walks = Walks(
            self.vla,
            self.recordings,
            folder,
            self.training.walks,
            self.rank,
            self.world,
            labelled=self.training.loss == 'demonstrations',
            executed=self.training.execute_steps,
        )
        mean_over_processes((0.0,), self.world)  # waits for all
        walks.load(self.training.relative)
        return walks

    def _language(self, frames: np.ndarray) -> Tensor | None:
        """Return the instructions' embeddings `[B, language_dim]` for a gate that sees them."""
        if not self.training.language:
            return None
        return torch.stack([self.embeddings[self.recordings.instruction(f)] for f in frames])
