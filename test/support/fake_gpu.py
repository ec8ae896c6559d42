# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A GPU without a GPU: torch's fake CUDA tensors have shapes and devices, and no numbers.

With a CUDA build of torch a 7B step runs on them in no memory. A mix of devices is an error there,
and everything that is launched, copied or waited for can be counted.
"""

from collections import Counter
from contextlib import contextmanager

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from vla_cache_ros.vla.model import VLAModel

# What only says differently where a tensor lies launches nothing.
VIEWS = {
    *('alias', 'as_strided', 'chunk', 'detach', 'expand', 'flatten', 'permute', 'reshape'),
    *('select', 'slice', 'split', 'split_with_sizes', 't', 'transpose', 'unbind', 'unflatten'),
    *('unsqueeze', 'squeeze', 'view', '_unsafe_view', 'device', 'dim', 'numel', 'sym_size'),
    *('empty', 'empty_like', 'new_empty', 'is_contiguous', 'lift_fresh', 'to', 'resolve_conj'),
    *(
        'resolve_neg',
        'empty_strided',
        'new_empty_strided',
        'sym_stride',
        'sym_numel',
        'sym_storage_offset',
    ),
}
WAITS = {'_local_scalar_dense', 'nonzero', 'equal', 'is_nonzero', 'masked_select', 'unique'}


class Counts(TorchDispatchMode):
    """Count operations: inside of what would be recorded, and outside."""

    def __init__(self):
        super().__init__()
        self.inside = self.outside = 0
        self.waits = Counter()
        self.names = Counter()
        self.recorded = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in WAITS:
            self.waits[name] += 1
        elif name not in VIEWS and name != 'copy_':
            if self.recorded:
                self.inside += 1
            else:
                self.outside += 1
                self.names[name] += 1
        return func(*args, **(kwargs or {}))


class Copies(TorchFunctionMode):
    """Count copies between host and device: fake tensors can't be made from real ones."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.Tensor.copy_ and args[0].device != args[1].device:
            self.found[f'{args[1].device.type} to {args[0].device.type}'] += 1
            return args[0]
        if func in (torch.Tensor.to, torch.Tensor.cpu):
            wanted, dtype = args[0].device, args[0].dtype
            values = [*args[1:], *kwargs.values(), *(['cpu'] if func is torch.Tensor.cpu else [])]
            for value in values:
                if isinstance(value, torch.dtype):
                    dtype = value
                elif isinstance(value, torch.Tensor):
                    wanted, dtype = value.device, value.dtype
                elif isinstance(value, str | torch.device):
                    wanted = torch.device(value)
            if wanted.type != args[0].device.type:
                self.found[f'{args[0].device.type} to {wanted.type}'] += 1
                return torch.empty(args[0].shape, dtype=dtype, device=wanted)
        return func(*args, **kwargs)


class Rehearsal:
    """Stand in for a recorder: do the work, and let it count as recorded."""

    def __init__(self, counts):
        self.counts = counts
        self.names = []

    def record(self, name, work):
        self.names.append(name)

        def replay():
            self.counts.recorded = True
            try:
                work()
            finally:
                self.counts.recorded = False

        return replay

    def together(self, works):
        return [work() for work in works]


@contextmanager
def fake_gpu():
    """Let tensors be fake inside; what is made on the device `cuda` needs none."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def fake_model(config, dtype=torch.bfloat16):
    """Return a model of these sizes on a GPU that isn't there."""
    with torch.device('meta'):
        model = VLAModel(config)
    state = {
        name: torch.empty(value.shape, dtype=config.weight_dtype(name, dtype), device='cuda')
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(state, assign=True)
    llama = model.language_model
    width = llama.config.hidden_size // llama.config.num_attention_heads
    llama.model.rotary_emb.inv_freq = torch.empty(width // 2, device='cuda')
    return model.requires_grad_(requires_grad=False).eval()
