# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Put frames, prompts and labels together as a batch, on the device of the model."""

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.model import VLAModel


def pixel_batch(images: np.ndarray, preprocessor: ImagePreprocessor) -> Tensor:
    """Normalise uint8 [B, cams, 224, 224, 3] to float32 [B, cams * 3, 224, 224]."""
    flat = preprocessor.normalize(images.reshape(-1, *images.shape[2:]))  # [1, B*cams*3, ..]
    return flat.view(len(images), -1, *flat.shape[2:])


def pad_prompts(prompts: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Return right-padded ids [B, T] and their mask [B, T]."""
    width = max(map(len, prompts))
    ids = np.zeros((len(prompts), width), np.int64)
    mask = np.zeros((len(prompts), width), bool)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = prompt
        mask[row, : len(prompt)] = True
    return torch.from_numpy(ids), torch.from_numpy(mask)


def batch_pixels(vla: LoadedVLA, recordings: Recordings, rows: np.ndarray) -> Tensor:
    """Return the pixel values `[B, cams * channels, 224, 224]` of some frames."""
    return pixel_batch(recordings.frames.images(rows), vla.images).to(vla.model.like.device)


def batch_prompts(vla: LoadedVLA, instructions: list[str]) -> tuple[Tensor, Tensor]:
    """Return the prompts' ids `[B, T]` and their mask."""
    ids, mask = pad_prompts([vla.prompt_ids(text) for text in instructions])
    return ids.to(vla.model.like.device), mask.to(vla.model.like.device)


def batch_inputs(
    vla: LoadedVLA, recordings: Recordings, rows: np.ndarray
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return pixel values, prompt ids with their mask, and states (normalised, or None)."""
    states = None
    if vla.model.proprio_projector is not None:
        states = vla.statistics().proprio.normalize(recordings.frames.table['proprio'][rows])
        states = torch.from_numpy(states.astype(np.float32)).to(vla.model.like.device)  # [B, P]
    ids, mask = batch_prompts(vla, [recordings.instruction(row) for row in rows])
    return batch_pixels(vla, recordings, rows), ids, mask, states


def batch_labels(vla: LoadedVLA, recordings: Recordings, rows: np.ndarray) -> Tensor:
    """Return the actions that some frames are labelled with, normalised `[B, C, A]`."""
    labels = vla.statistics().action.normalize(recordings.frames.table['actions'][rows])
    return torch.from_numpy(labels.astype(np.float32)).to(vla.model.like.device)


def prompt_embedding(model: VLAModel, ids: Tensor, mask: Tensor) -> Tensor:
    """Return the mean `[B, D]` of the prompts' token embeddings, padding left out."""
    weight = mask.float()[..., None]
    return (model.embed_text(ids).detach() * weight).sum(1) / weight.sum(1)


def instruction_embeddings(vla: LoadedVLA, recordings: Recordings) -> dict[str, Tensor]:
    """Return what a gate that sees language is told, `[D]` for every instruction."""
    return {
        text: prompt_embedding(vla.model, *batch_prompts(vla, [text]))[0]
        for text in recordings.instructions()
    }
