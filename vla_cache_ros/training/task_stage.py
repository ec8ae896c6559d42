# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Stage II of the gate: learn from the action loss and the reused share, along stale caches.

The loss is the distance to the dense model's actions or to those of the recordings. Holds the
price of recomputing (lambda) and moves it until the requested share is reused. Knows no optimizer.
Source: arXiv 2602.00686.
"""

from collections.abc import Callable

from accelerate import Accelerator
import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.action_distance import action_distance
from vla_cache_ros.caching.gates.network import GateNetwork
from vla_cache_ros.training.batches import batch_inputs
from vla_cache_ros.training.batches import batch_labels
from vla_cache_ros.training.batches import flow_start
from vla_cache_ros.training.batches import gate_pictures
from vla_cache_ros.training.loop import mean_over_processes
from vla_cache_ros.training.predictor_losses import Regressed
from vla_cache_ros.training.predictor_losses import Relaxed
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.training.sensitivity import precision
from vla_cache_ros.training.settings import GateTraining
from vla_cache_ros.training.teacher import Teacher
from vla_cache_ros.training.unroll import Unroll
from vla_cache_ros.vla.checkpoint import LoadedVLA

# Loss and what is shown of it: mean cost, covered (unknown here), reuse, distance to dense.
Update = tuple[Tensor, tuple[float, float, float, float]]


class TaskStage:
    """
    Hold what goes on from update to update: price, and scale, the running mean of the cost.

    teacher: may be None where stage II has no updates.
    """

    def __init__(
        self,
        vla: LoadedVLA,
        recordings: Recordings,
        teacher: Teacher | None,
        network: GateNetwork,
        predictor: Regressed | Relaxed,
        training: GateTraining,
        accelerator: Accelerator,
    ) -> None:
        self._vla, self._recordings, self._teacher = vla, recordings, teacher
        self._network, self._predictor = network, predictor
        self._training, self._accelerator = training, accelerator
        self.price = predictor.start if training.price is None else training.price
        self.scale: float | None = None

    def begin(self, updates: int, rng: np.random.Generator) -> Callable[[], Update]:
        """Return the step of so many updates over new streams, which go on from call to call."""
        batch = self._training.batch
        streams = [iter(list(self._recordings.stream(updates, rng))) for _ in range(batch)]
        unroll = Unroll(self._vla.model, self._network, batch, int(rng.integers(2**31)))

        def step() -> Update:
            rows, begins = map(np.array, zip(*(next(s) for s in streams), strict=True))
            return self._step(unroll, rows, begins)

        return step

    def _step(self, unroll: Unroll, rows: np.ndarray, begins: np.ndarray) -> Update:
        def choose(logits: Tensor, noise: torch.Generator) -> tuple[Tensor, Tensor]:
            return self._predictor.choose(logits, self.price, noise)

        inputs = batch_inputs(self._vla, self._recordings, rows)
        seen = gate_pictures(self._recordings, rows, self._vla.config.picture_size)
        start = flow_start(self._vla, rows, self._training.flow_steps)
        taken = unroll.step(seen, inputs, begins, choose, start)
        gated = taken.gated
        if not len(gated):
            return taken.output.sum() * 0, (np.nan,) * 4
        executed = self._training.execute_steps
        found = taken.output[gated]
        dense = torch.from_numpy(self._teacher.actions[rows])[gated].to(found)
        wanted = dense
        if self._training.loss == 'demonstrations':
            wanted = batch_labels(self._vla, self._recordings, rows)[gated]
        costs = action_distance(found, wanted, executed)  # [G]
        if self._training.relative:
            costs = costs * precision(dense[:, :executed])
        reuse = self._predictor.ratios[taken.taken[taken.own]].tolist()
        self._balance(costs.mean().item(), reuse)
        costs = costs / self.scale
        loss = costs.mean() + self._predictor.loss(taken, costs, self.price)
        distance = action_distance(found, dense, executed).mean().item()
        shown = np.mean(reuse) if reuse else np.nan
        return loss, (costs.mean().item() * self.scale, np.nan, shown, distance)

    def _balance(self, cost: float, reuse: list[float]) -> None:
        """Follow the cost's scale; raise the price of recomputing while too little is reused."""
        values = (cost, sum(reuse), len(reuse))
        cost, total, count = mean_over_processes(self._accelerator, values)
        self.scale = cost if self.scale is None else self.scale + 0.02 * (cost - self.scale)
        if self._training.target is not None and count:
            missing = self._training.target - total / count
            self.price = max(0.0, self.price + self._predictor.rate * missing)
