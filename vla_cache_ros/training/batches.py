# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Put frames and prompts together as a batch, and say at which rate to learn from them."""

import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.vla.images import ImagePreprocessor


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


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return a linear warm-up over 3 % of the steps, then a cosine down to 2 % of the peak."""
    warm = max(1, steps * 3 // 100)
    if step < warm:
        return peak * (step + 1) / warm
    progress = (step - warm) / max(1, steps - warm)
    return float(peak * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * progress))))
