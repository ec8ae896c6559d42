# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Put frames, prompts and labels together as a batch, on the device of the model."""

import cv2
import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.training.masked import FlowStart
from vla_cache_ros.training.recordings import Recordings
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.images import ImagePreprocessor
from vla_cache_ros.vla.model import VLAModel


def pixel_batch(images: np.ndarray, preprocessor: ImagePreprocessor) -> Tensor:
    """Normalise uint8 [B, cams, H, W, 3] to float32 [B, cams * channels, H, W]."""
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
    """Return the pixel values `[B, cams * channels, H, W]` of some frames."""
    return pixel_batch(recordings.frames.images(rows), vla.images).to(vla.model.like.device)


def gate_pictures(recordings: Recordings, rows: np.ndarray, size: int) -> np.ndarray:
    """Return what a gate sees of some frames, uint8 `[B, cams, size, size, 3]`: cells' means."""
    images = recordings.frames.images(rows)
    if images.shape[2] == size:
        return images
    flat = images.reshape(-1, *images.shape[2:])
    small = [cv2.resize(one, (size, size), interpolation=cv2.INTER_AREA) for one in flat]
    return np.stack(small).reshape(*images.shape[:2], size, size, 3)


def batch_prompts(
    vla: LoadedVLA, instructions: list[str], states: np.ndarray | None = None
) -> tuple[Tensor, Tensor]:
    """Return the prompts' ids `[B, T]` and their mask; states: normalised, where they hold any."""
    extras = [()] * len(instructions) if states is None else [(state,) for state in states]
    asked = zip(instructions, extras, strict=True)
    ids, mask = pad_prompts([vla.prompt_ids(text, *extra) for text, extra in asked])
    return ids.to(vla.model.like.device), mask.to(vla.model.like.device)


def batch_inputs(
    vla: LoadedVLA, recordings: Recordings, rows: np.ndarray
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return pixel values, prompt ids with their mask, and states (normalised, or None)."""
    states, said, flow = None, None, vla.config.flow
    if vla.config.proprio_dim:
        states = vla.statistics().proprio.normalize(recordings.frames.table['proprio'][rows])
        states = states.astype(np.float32)  # [B, P]
        if flow is not None and flow.state_in_prompt:
            states, said = None, states
        else:
            states = torch.from_numpy(states).to(vla.model.like.device)
    ids, mask = batch_prompts(vla, [recordings.instruction(row) for row in rows], said)
    return batch_pixels(vla, recordings, rows), ids, mask, states


def flow_start(vla: LoadedVLA, rows: np.ndarray, steps: int) -> FlowStart | None:
    """Return what the chunks of some frames become of, by frame alone; None without a flow."""
    if vla.config.flow is None:
        return None
    noise = torch.stack([vla.model.action_head.noise(0, int(row)) for row in rows])
    return FlowStart(noise.to(vla.model.like.device), steps)


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
