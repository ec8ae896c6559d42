# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Hold weights in one byte each, int8 or fp8 (e4m3), with a scale per output, and multiply by them.

Rows of inputs get a scale of their own at every product, so that a row's result does not depend on
the rows beside it: what is reused stays what would be computed. Knows modules, not what they are
for.

torch's own operations, without torchao, because a robot's install then needs nothing more, and
because of these times of 4096 inputs and 11008 outputs, two cores of an EPYC with VNNI, two
threads, 250 rows, torch 2.13: float32 153 ms, bfloat16 53, `_int_mm` with row scales 37,
`_weight_int8pack_mm` 180, weights converted on the fly 86 (bfloat16); oneDNN's packed weights, 28,
can be neither cut nor joined. At 350 rows of 192 inputs and 1024 outputs, in the same order: 0.74,
0.35, 0.25, 1.10, 0.41, 0.28. A processor without VNNI has no fast product of int8: there the
weights are converted on the fly.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
import functools
import warnings

import torch
from torch import nn
from torch import Tensor
import torch.nn.functional as F

FP8 = torch.float8_e4m3fn
DTYPES = {
    'float32': torch.float32,
    'bfloat16': torch.bfloat16,
    'float16': torch.float16,
    'int8': torch.int8,
    'fp8': FP8,
}
LARGEST = {torch.int8: 127.0, FP8: 448.0}  # what the largest weight of a row becomes
MULTIPLE = 16  # of both sizes of a weight, as the GPU's products of one-byte numbers ask
_LEAST_ROWS = 32  # of a product of int8 on a GPU, which asks for more than 16
_TINY = 1e-12  # a scale that rows of zeros can be divided by

Passes = tuple[Callable[..., tuple[Tensor, Tensor]], Callable[..., Tensor]]


@dataclass(frozen=True)
class Quantized:
    """Hold a weight as values `[N, K]` of one byte times a scale `[N]`, float32."""

    values: Tensor
    scale: Tensor

    def __getitem__(self, rows: slice) -> Quantized:
        """Return some of the outputs, sharing their memory."""
        return Quantized(self.values[rows], self.scale[rows])

    def dequantize(self) -> Tensor:
        """Return the weight in float32."""
        return self.values.float() * self.scale[:, None]


Weight = Tensor | Quantized


def compute_dtype(dtype: torch.dtype, device: str | torch.device) -> torch.dtype:
    """
    Return what a model computes in whose weights are held as `dtype`.

    One-byte weights compute in float32 on a CPU, where converting to bfloat16 and back costs more
    than it saves, and in bfloat16 on a GPU.
    """
    if dtype not in LARGEST:
        return dtype
    return torch.bfloat16 if torch.device(device).type == 'cuda' else torch.float32


def quantize(weight: Tensor, dtype: torch.dtype) -> Quantized:
    """Return a weight `[N, K]` held as `dtype`, int8 or fp8, symmetric about zero."""
    values, scale = quantize_rows(weight, dtype)
    return Quantized(values, scale[:, 0])


def quantize_rows(x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return rows `[R, K]` as one-byte values and their scales `[R, 1]` in float32."""
    wide = x.float()
    scale = wide.abs().amax(1, keepdim=True).div_(LARGEST[dtype]).clamp_(min=_TINY)
    scaled = wide * scale.reciprocal()
    return (scaled.round_() if dtype == torch.int8 else scaled).to(dtype), scale


def rescale(
    product: Tensor, rows: Tensor, columns: Tensor, added: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """
    Return a product `[R, N]` of quantised numbers in their true size, plus what is added.

    rows: scales `[R, 1]`. columns: scales `[N]`. added: a bias `[N]`, or `[R, N]`.
    """
    scaled = product.float().mul_(columns)  # much faster here than one product of two types
    if added is None:
        return scaled.mul_(rows).to(dtype)
    return torch.addcmul(added.float(), scaled, rows).to(dtype)


def linear(x: Tensor, weight: Weight, added: Tensor | None = None) -> Tensor:
    """Return rows `[R, K]` times a weight `[N, K]`; added: to every row `[N]`, or to each."""
    if isinstance(weight, Quantized):
        return _linear(x, weight, added)
    if added is None:
        return F.linear(x, weight)
    return torch.addmm(added, x, weight.t())


def _linear(x: Tensor, weight: Quantized, added: Tensor | None) -> Tensor:
    held = weight.values.dtype
    if not x.is_cuda and not (held == torch.int8 and _fast_int8()):
        y = F.linear(x, weight.values.to(x.dtype)) * weight.scale.to(x.dtype)
        return y if added is None else y + added
    quantize_, rescale_ = _passes(x.device.type)
    values, rows = quantize_(x, held)
    if held == FP8:
        y = torch._scaled_mm(
            values,
            weight.values.t(),
            scale_a=rows,
            scale_b=weight.scale[None],
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
        return y if added is None else y + added
    missing = _LEAST_ROWS - len(x) if x.is_cuda else 0
    if missing > 0:
        values = F.pad(values, (0, 0, 0, missing))
    product = torch._int_mm(values, weight.values.t())[: len(x)]
    return rescale_(product, rows, weight.scale, added, x.dtype)


@functools.cache
def _fast_int8() -> bool:
    return torch.cpu._is_vnni_supported()


@functools.cache
def _passes(kind: str) -> Passes:
    """Return `quantize_rows` and `rescale`, on a GPU each compiled to one kernel if it can be."""
    if kind != 'cuda':
        return quantize_rows, rescale
    found = tuple(torch.compile(one, dynamic=True) for one in (quantize_rows, rescale))
    try:
        for rows in (2, 40):
            x = torch.ones(rows, 64, device=kind, dtype=torch.bfloat16)
            for dtype in LARGEST:
                values, scale = found[0](x, dtype)
            for added in (None, x[0], x):
                found[1](values.to(torch.int32), scale, x[0].float(), added, x.dtype)
    except Exception as error:  # noqa: BLE001 - whatever a compiler raises
        reason = ' '.join(str(error).split())
        warnings.warn(f'torch.compile failed ({reason:.200}); steps take longer', stacklevel=2)
        return quantize_rows, rescale
    return found


class QuantizedLinear(nn.Module):
    """Stand for an `nn.Linear`, under the same names, with a scale for each output."""

    def __init__(self, inputs: int, outputs: int, bias: bool, dtype: torch.dtype) -> None:
        super().__init__()
        values = torch.empty(outputs, inputs, dtype=dtype)
        self.weight = nn.Parameter(values, requires_grad=False)
        self.scale = nn.Parameter(torch.empty(outputs), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(outputs), requires_grad=False) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Map `[..., K]` to `[..., N]`."""
        # a compiler takes the shape of a parameter, unlike a tensor's, for one that never changes
        bias = None if self.bias is None else self.bias.detach()
        y = linear(x.reshape(-1, x.shape[-1]), weight_of(self), bias)
        return y.unflatten(0, x.shape[:-1]) if x.ndim != 2 else y


class QuantizedEmbedding(nn.Module):
    """Stand for an `nn.Embedding`, int8 with a scale for each token; dtype: of what it returns."""

    def __init__(self, tokens: int, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        values = torch.empty(tokens, width, dtype=torch.int8)
        self.weight = nn.Parameter(values, requires_grad=False)
        self.scale = nn.Parameter(torch.empty(tokens), requires_grad=False)
        self.dtype = dtype

    def forward(self, ids: Tensor) -> Tensor:
        """Map ids `[...]` to embeddings `[..., D]`."""
        return (self.weight[ids] * self.scale[ids][..., None]).to(self.dtype)


def weight_of(module: nn.Module) -> Weight:
    """Return a linear module's weight, with its scale if it has one."""
    if isinstance(module, QuantizedLinear):
        return Quantized(module.weight, module.scale)
    return module.weight


def light_weights(
    model: nn.Module, dtype: torch.dtype, kept: tuple[str, ...]
) -> dict[str, torch.dtype]:
    """
    Return the names of a model's weights that one byte can hold, and the type each gets.

    dtype: int8 or fp8; empty for others. kept: first names of modules that stay as they are.
    Embeddings, which are looked up and not multiplied by, are int8 in either case. Norms, biases,
    convolutions and layers of odd sizes stay.
    """
    found: dict[str, torch.dtype] = {}
    for name, module in model.named_modules() if dtype in LARGEST else ():
        if name.split('.')[0] in kept:
            continue
        if isinstance(module, nn.Embedding):
            found[f'{name}.weight'] = torch.int8
        elif isinstance(module, nn.Linear) and not any(n % MULTIPLE for n in module.weight.shape):
            found[f'{name}.weight'] = dtype
    return found


def lighten(model: nn.Module, light: Mapping[str, torch.dtype], compute: torch.dtype) -> None:
    """Replace the modules of `light_weights` by empty ones that hold them; compute: of results."""
    for name, dtype in light.items():
        path = name.removesuffix('.weight')
        module = model.get_submodule(path)
        outputs, inputs = module.weight.shape
        with torch.device(module.weight.device):
            if isinstance(module, nn.Embedding):
                new: nn.Module = QuantizedEmbedding(outputs, inputs, compute)
            else:
                new = QuantizedLinear(inputs, outputs, module.bias is not None, dtype)
        parent, _, last = path.rpartition('.')
        setattr(model.get_submodule(parent), last, new)


def held(
    name: str, tensor: Tensor, light: Mapping[str, torch.dtype], otherwise: torch.dtype
) -> dict[str, Tensor]:
    """Return what a model holds of a tensor of that name: it, or its values and their scale."""
    if name not in light:
        return {name: tensor.to(otherwise)}
    found = quantize(tensor, light[name])
    return {name: found.values, scale_name(name): found.scale}


def scale_name(weight: str) -> str:
    """Return the name of a weight's scale."""
    return f'{weight.removesuffix("weight")}scale'
