# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Map the tensors of a LeRobot folder to the modules of `VLAModel`, and leave out what none takes.

Knows names alone. Sources: LeRobot 0.6.1, `policies/{smolvla,pi0,pi05}`.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
import re

import torch
from torch import Tensor
from vla_cache_ros.vla.files.errors import CheckpointError

_TOWER = 'vision_backbone.featurizer.'
# In order; every name is rewritten by all that match. Files made from openpi lack the first
# `model.`, older ones the inner one, and transformers 5.6 has lost `vision_model.`.
_RENAMED = (
    (r'^model\.', ''),
    (r'^vlm_with_expert\.lm_expert\.', 'action_head.'),
    (r'^paligemma_with_expert\.gemma_expert\.model\.', 'action_head.'),
    (r'^vlm_with_expert\.vlm\.(model\.)?', ''),
    (r'^paligemma_with_expert\.paligemma\.(model\.)?', ''),
    (r'^connector\.modality_projection\.proj\.', 'projector.'),
    (r'^multi_modal_projector\.linear\.', 'projector.'),
    (r'^(text_model|language_model)\.(model\.)?', 'language_model.model.'),
    (r'^vision_(model|tower)\.(vision_model\.)?', _TOWER),
    (r'^(action_(in|out)_proj|time_mlp_(in|out))\.', r'action_head.\1.'),
    (r'^action_time_mlp_(in|out)\.', r'action_head.time_mlp_\1.'),
    (r'\.embeddings\.patch_embedding\.', '.patch_embed.proj.'),
    (r'\.embeddings\.position_embedding\.weight$', '.pos_embed'),
    (r'\.encoder\.layers\.(\d+)\.layer_norm([12])\.', r'.blocks.\1.norm\2.'),
    (r'\.encoder\.layers\.(\d+)\.self_attn\.out_proj\.', r'.blocks.\1.attn.proj.'),
    (r'\.encoder\.layers\.(\d+)\.self_attn\.([qkv])_proj\.', r'.blocks.\1.attn.\2.'),
    (r'\.encoder\.layers\.(\d+)\.mlp\.', r'.blocks.\1.mlp.'),
    (rf'^{re.escape(_TOWER)}post_layernorm\.', f'{_TOWER}norm.'),
)
# Never computed: heads that say tokens.
_UNUSED = r'^((vlm_with_expert|paligemma_with_expert)\..*\.)?lm_head\.weight$'
_TIED = 'paligemma_with_expert.paligemma.lm_head.weight'
_EMBEDDINGS = 'language_model.model.embed_tokens.weight'


def module_tensors(
    given: Iterable[tuple[str, Tensor]], family: str, layers: int, source: str
) -> Iterator[tuple[str, Tensor]]:
    """
    Yield the tensors of a file by the names that `VLAModel` has; unknown names are kept.

    layers: of the decoder that the model uses; deeper ones are left out. A file without embeddings
    has them as the decoder's head. Raises CheckpointError for a third of an attention.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    tied: Tensor | None = None
    embedded = False
    for name, tensor in given:
        plain = re.sub(r'^model\.', '', name)
        if plain == _TIED:
            tied = tensor
        if re.match(_UNUSED, plain):
            continue
        new = rename(name, family)
        layer = re.match(r'language_model\.model\.layers\.(\d+)\.', new)
        if layer and int(layer[1]) >= layers:
            continue
        embedded |= new == _EMBEDDINGS
        third = re.fullmatch(r'(.*\.attn\.)([qkv])\.(weight|bias)', new)
        if third:
            whole = f'{third[1]}qkv.{third[3]}'
            found = parts.setdefault(whole, {})
            found[third[2]] = tensor
            if len(found) == 3:
                del parts[whole]
                yield whole, torch.cat([found[one] for one in 'qkv'])
            continue
        yield new, tensor[None] if new.endswith('.pos_embed') else tensor
    for whole, found in parts.items():
        raise CheckpointError(f'{source}: expected q, k and v of {whole}, found {sorted(found)}')
    if not embedded and tied is not None:
        yield _EMBEDDINGS, tied


def rename(name: str, family: str) -> str:
    """Return what `VLAModel` calls a tensor of a file."""
    for pattern, text in _RENAMED:
        name = re.sub(pattern, text, name)
    if name.startswith('state_proj.'):
        module = 'proprio_projector.' if family == 'smolvla' else 'action_head.state_proj.'
        return name.replace('state_proj.', module, 1)
    return name
