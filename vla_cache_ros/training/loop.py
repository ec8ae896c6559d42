# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Make the updates of a training: alone or in several processes, on a CPU or on GPUs.

Each process that `torchrun` or `accelerate launch` started learns from its own samples, and
gradients are averaged. A training goes on from its last save. Knows neither a model nor a loss.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import csv
from datetime import timedelta
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate import InitProcessGroupKwargs
import numpy as np
import torch
from torch import nn
from torch import Tensor
from tqdm import tqdm
from vla_cache_ros.vla.device import check_device

EVERY = 50  # updates between two lines of a curve, in `Loop.run`
# The loss of one update, and the figures that tell of it.
Step = Callable[[], tuple[Tensor, Sequence[float]]]


def join_processes(device: str | torch.device = 'cpu') -> Accelerator:
    """
    Return what knows the other processes of this training.

    device: cpu, cuda or cuda:N. Raises ValueError for a device that torch has not.
    """
    check_device(str(device))
    # one process may ask the dense model for an hour before the others go on
    patience = InitProcessGroupKwargs(timeout=timedelta(days=1))
    return Accelerator(cpu=torch.device(device).type == 'cpu', kwargs_handlers=[patience])


def own_device(accelerator: Accelerator, device: str) -> torch.device:
    """Return where this process computes: of several on GPUs each takes the one of its rank."""
    return accelerator.device if accelerator.num_processes > 1 else torch.device(device)


def mean_over_processes(accelerator: Accelerator, values: Sequence[float]) -> list[float]:
    """Return the mean of each value over the processes."""
    shared = torch.tensor(values, dtype=torch.float64, device=accelerator.device)
    return accelerator.reduce(shared, 'mean').tolist()


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return a linear warm-up over 3 % of the steps, then a cosine down to 2 % of the peak."""
    warm = max(1, steps * 3 // 100)
    if step < warm:
        return peak * (step + 1) / warm
    progress = (step - warm) / max(1, steps - warm)
    return float(peak * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * progress))))


def saved(path: Path) -> dict[str, Any] | None:
    """Return what `Loop.save` wrote, on the CPU, or None where nothing was."""
    return torch.load(path, 'cpu', weights_only=True) if path.exists() else None


class Loop:
    """
    Hold what a training goes on with.

    optimizer: may be replaced; a group's `pace` is what it learns at, of the rate. done: updates
    made.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        parameters: Iterable[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        state: Path,
        curve: Path,
        names: Sequence[str],
    ) -> None:
        """
        Begin before the first update.

        state, curve: files, which only the main process writes. names: of the curve's columns.
        """
        self.optimizer, self.done = optimizer, 0
        self.state, self._curve, self._names = state, curve, names
        self._accelerator, self._parameters = accelerator, list(parameters)

    def restore(self, state: dict[str, Any]) -> None:
        """Take optimizer and updates made from what was saved."""
        self.optimizer.load_state_dict(state['optimizer'])
        self.done = state['done']

    def save(self, **state: Any) -> None:
        """Write the state, with optimizer and updates made, whole or not at all."""
        if self._accelerator.is_main_process:
            partial = self.state.with_suffix('.part')
            own = {'optimizer': self.optimizer.state_dict(), 'done': self.done}
            torch.save({**state, **own}, partial)
            partial.rename(self.state)

    def update(self, until: int, step: Step, rate: Callable[[int], float]) -> list[float]:
        """
        Make updates up to a total number; return the mean of each figure, where it is known.

        rate: learning rate of the update that has so many before it. Raises FloatingPointError,
        before anything is changed, for a loss that is not finite.
        """
        figures = []
        while self.done < until:
            for group in self.optimizer.param_groups:
                group['lr'] = rate(self.done) * group.get('pace', 1)
            loss, shown = step()
            if not torch.isfinite(loss):
                raise FloatingPointError(
                    f'update {self.done}: expected a finite loss, got {loss.item()}; {self.state} '
                    'holds the last good state: go on from there with a lower --peak'
                )
            self.optimizer.zero_grad()
            if loss.requires_grad:  # else there was nothing to learn from in this process
                self._accelerator.backward(loss)
            self._average_gradients()
            self._accelerator.clip_grad_norm_(self._parameters, 1.0)
            self.optimizer.step()
            self.done += 1
            figures.append(shown)
        known = [[v for v in column if np.isfinite(v)] for column in zip(*figures, strict=True)]
        return [float(np.mean(column)) if column else float('nan') for column in known]

    def run(
        self, until: int, step: Step, rate: Callable[[int], float], save: Callable[[], None]
    ) -> None:
        """Make updates as `update` does, with a bar; every so often add to the curve and save."""
        quiet = not self._accelerator.is_main_process
        with tqdm(total=until, initial=self.done, mininterval=10, disable=quiet) as bar:
            while self.done < until:
                before = self.done
                means = self.update(min(until, before - before % EVERY + EVERY), step, rate)
                self.log(self.done, *means)
                save()
                bar.update(self.done - before)
                shown = zip(self._names[1:], means, strict=True)
                bar.set_postfix_str(', '.join(f'{name} {mean:.3f}' for name, mean in shown))

    def log(self, *values: float) -> None:
        """Add a line to the curve."""
        if not self._accelerator.is_main_process:
            return
        header = not self._curve.exists()
        with self._curve.open('a', newline='') as file:
            log = csv.writer(file)
            if header:
                log.writerow(self._names)
            log.writerow([f'{v:.5f}' if isinstance(v, float) else v for v in values])

    def _average_gradients(self) -> None:
        """Replace each gradient by its mean over the processes; a missing one counts as 0."""
        if self._accelerator.num_processes == 1:
            return
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        parts = self._accelerator.reduce(flat, 'mean').split([g.numel() for g in gradients])
        for parameter, part in zip(self._parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)
