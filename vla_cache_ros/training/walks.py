# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Walk through recordings with caches of every staleness and note what each token's staleness does.

What comes of it, frames with the ages of their cached tokens and the effects on the action, is all
that stage I needs: no model is run there. Made once, in pieces that are kept beside the run.
"""

from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from vla_cache_ros.caching.gates.motion_input import MotionInput
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.training.batches import batch_inputs
from vla_cache_ros.training.batches import batch_labels
from vla_cache_ros.training.batches import flow_start
from vla_cache_ros.training.batches import gate_pictures
from vla_cache_ros.training.frames import save_whole
from vla_cache_ros.training.masked import masked_step
from vla_cache_ros.training.masked import StaleCache
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.training.sensitivity import precision
from vla_cache_ros.training.sensitivity import sensitivity
from vla_cache_ros.training.settings import EXECUTED
from vla_cache_ros.training.teacher import DenseTokens
from vla_cache_ros.vla.checkpoint import LoadedVLA

STREAMS, STEPS = 8, 40  # of a piece
# Share of tokens recomputed at a step, and by what they are chosen: their effect, as a good gate
# would, or the change of their pixels, or chance.
BUDGETS = (0.1, 0.2, 0.3, 0.4, 0.6, 0.8)
CHOSEN_BY_EFFECT, CHOSEN_BY_CHANGE = 0.6, 0.25


class Walks:
    """
    Hold samples of stale caches.

    frames: int `[N]`, indices into the recordings. ages: int8 `[N, V]`, frames since each token
    was produced. effects: float32 `[N, V]`, squares, of mean 1. precision: float32 `[N]`, what an
    error weighs there. typical: the mean effect together of a sample's tokens but the
    largest twentieth, unit of what a choice leaves out.
    """

    def __init__(
        self,
        vla: LoadedVLA,
        recordings: Recordings,
        folder: Path,
        pieces: int,
        rank: int,
        world: int,
        labelled: bool = False,
        executed: int = EXECUTED,
        flow_steps: int = 1,
    ) -> None:
        """
        Make those of this process's pieces that are missing; `load` reads everybody's.

        labelled: whether effects are those on the distance to the recordings' own actions.
        executed: actions of a chunk that count. flow_steps: that the effects pass through, of a
        flow model.
        """
        self._recordings, self._size = recordings, vla.config.picture_size
        kind = 'demonstrations' if labelled else 'distill'
        kind += f'-flow{flow_steps}' if vla.config.flow else ''
        folder /= f'walks-{kind}-{executed}-{vla.fingerprint[:12]}-{recordings.digest}'
        folder.mkdir(parents=True, exist_ok=True)
        self._files = [folder / f'{piece:04d}.npz' for piece in range(pieces)]
        self._planes: dict[int, np.ndarray] = {}
        missing = [p for p in range(rank, pieces, world) if not self._files[p].exists()]
        dense_tokens = DenseTokens(vla, recordings) if vla.model.action_head is None else None
        for piece in tqdm(missing, unit='piece', desc='walks', disable=rank > 0):
            found = walk(vla, recordings, piece, labelled, executed, dense_tokens, flow_steps)
            save_whole(self._files[piece], **found)

    def load(self, relative: bool) -> None:
        """
        Read all pieces; every process must have made its own.

        relative: whether an effect counts by how precise the actions have to be there.
        """
        pieces = [np.load(file, allow_pickle=False) for file in self._files]
        self.frames, self.ages, self.effects, self.precision = (
            np.concatenate([piece[name] for piece in pieces])
            for name in ('frames', 'ages', 'effects', 'precision')
        )
        if relative:
            self.effects *= self.precision[:, None] ** 2
        self.effects /= self.effects.mean()
        ordered = np.sort(self.effects, axis=1)
        left = ordered[:, : -(ordered.shape[1] // 20) or None]
        self.typical = float(np.sqrt(left.sum(1)).mean())

    def planes(self, sample: int) -> np.ndarray:
        """Return what the gate would have seen, float16 `[cams, 7, S, S]`; it is kept."""
        if sample not in self._planes:
            frame, ages = self.frames[sample], self.ages[sample].astype(np.int64)
            sources = np.unique([0, 1, *ages])
            images = gate_pictures(self._recordings, frame - sources, self._size)
            patches = np.stack([patchify(image) for image in images])  # [sources, V, 588]
            place = np.searchsorted(sources, ages)
            motion = MotionInput()
            motion.remember(images[1])
            planes = motion(images[0], patches[place, np.arange(len(ages))], ages)
            self._planes[sample] = planes.astype(np.float16)
        return self._planes[sample]


def walk(
    vla: LoadedVLA,
    recordings: Recordings,
    seed: int,
    labelled: bool,
    executed: int,
    dense_tokens: DenseTokens | None = None,
    flow_steps: int = 1,
) -> dict[str, np.ndarray]:
    """
    Return the samples of some streams: what `Walks` holds, effects not yet scaled.

    dense_tokens: what a model with action tokens is fed. flow_steps: of a flow model.
    """
    rng = np.random.default_rng((seed, STREAMS))
    noise = torch.Generator().manual_seed(seed)
    streams = zip(*(recordings.stream(STEPS, rng) for _ in range(STREAMS)), strict=True)
    cache, ages, produced = StaleCache(), None, None
    names = ('frames', 'ages', 'effects', 'precision')
    found: list[tuple[int, np.ndarray, np.ndarray, float]] = []
    for step in streams:
        frames, begins = np.array([s[0] for s in step]), [s[1] for s in step]
        inputs = batch_inputs(vla, recordings, frames)
        tokens = dense_tokens(frames) if dense_tokens else None
        seen = gate_pictures(recordings, frames, vla.config.picture_size)
        patches = np.stack([patchify(image) for image in seen])
        recompute = np.ones(patches.shape[:2], dtype=bool)  # [B, V]
        if ages is None:
            ages, produced = np.zeros(recompute.shape, dtype=np.int8), patches.copy()
        else:
            ages += 1
            labels = batch_labels(vla, recordings, frames) if labelled else None
            squares, actions = sensitivity(
                vla.model, inputs, cache, noise,
                labels=labels, action_tokens=tokens, executed=executed,
                start=flow_start(vla, frames, flow_steps),
            )  # fmt: skip
            effects, weights = squares.cpu().numpy(), precision(actions).cpu().numpy()
            for row in np.flatnonzero(~np.array(begins)):
                found.append((frames[row], ages[row].copy(), effects[row], weights[row]))
                scores = _scores(effects[row], patches[row], produced[row], rng)
                budget = round(rng.choice(BUDGETS) * len(scores))
                recompute[row, np.argsort(-scores)[budget:]] = False
        with torch.no_grad():
            mask = torch.from_numpy(recompute).float().to(vla.model.like.device)
            masked_step(vla.model, *inputs, mask, cache, tokens)
        produced[recompute], ages[recompute] = patches[recompute], 0
    return dict(zip(names, map(np.stack, zip(*found, strict=True)), strict=True))


def _scores(
    effects: np.ndarray, patches: np.ndarray, produced: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return scores `[V]`, high = recompute, of a rule drawn at random."""
    draw = rng.random()
    if draw < CHOSEN_BY_EFFECT:
        return effects
    if draw < CHOSEN_BY_EFFECT + CHOSEN_BY_CHANGE:
        return np.abs(patches.astype(np.int16) - produced).mean(1)
    return rng.random(len(effects))
