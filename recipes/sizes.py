# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The architecture of the small models that ship: sizes, tokenizer, statistics.

Same classes and files as the 7B models; only the numbers differ. Knows nothing of training.
"""

import numpy as np
from tokenizers import AddedToken
from tokenizers import decoders
from tokenizers import models
from tokenizers import normalizers
from tokenizers import processors
from tokenizers import Tokenizer
from tokenizers import trainers
from transformers import PreTrainedTokenizerFast
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.prompt import BLANK
from vla_cache_ros.vla.prompt import build_prompt

from recipes.domains import Domain
from recipes.domains import TABLETOP

VOCABULARY = 1024
_ACTION_IDS = 256 + 64  # the last ids: action bins and padding


def tabletop_config(cameras: int = 2) -> VLAConfig:
    """Return the sizes of `tabletop` and, with one camera, of `libero-object`."""
    return VLAConfig.from_dict(
        {
            'timm_model_ids': ['vit_large_patch14_reg4_dinov2.lvd142m'],
            'timm_model_kwargs': [{'embed_dim': 128, 'depth': 4, 'num_heads': 2}],
            'use_fused_vision_backbone': False,
            'image_sizes': [224],
            'pad_token_id': 0,
            'pad_to_multiple_of': 64,
            'text_config': {
                'model_type': 'llama',
                'vocab_size': VOCABULARY,
                'hidden_size': 192,
                'intermediate_size': 512,
                'num_hidden_layers': 4,
                'num_attention_heads': 4,
                'num_key_value_heads': 4,
                'max_position_embeddings': 2048,
                'pad_token_id': 0,
            },
            'oft': {'num_images': cameras, 'chunk': 8, 'action_dim': 7, 'use_proprio': True},
        }
    )


def openvla_config(layers: int = 32) -> VLAConfig:
    """
    Return the sizes of `tabletop-openvla`: one camera, causal, one action of seven tokens.

    Deep and narrow as a 7B model is: what a forward pass costs hardly depends on its rows when
    they are few. layers: fewer while it is being trained.
    """
    raw = tabletop_config().to_dict()
    del raw['oft']
    raw['text_config'] |= {
        'hidden_size': 64,
        'intermediate_size': 128,
        'num_hidden_layers': layers,
        'num_attention_heads': 2,
        'num_key_value_heads': 2,
    }
    return VLAConfig.from_dict(raw)


def build_tokenizer(domain: Domain = TABLETOP) -> PreTrainedTokenizerFast:
    """
    Train a byte-level-fallback BPE on the instructions, in the id layout of Llama's tokenizer.

    <unk> 0, <s> 1, </s> 2, then 256 byte tokens, then words; all below the action token ids.
    """
    special = ['<unk>', '<s>', '</s>']
    fallback = [f'<0x{i:02X}>' for i in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token='<unk>', byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend(BLANK), normalizers.Replace(' ', BLANK)]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(BLANK, ' '), decoders.ByteFallback(), decoders.Fuse()]
    )
    sentences = [build_prompt(instruction) for instruction in domain.instructions]
    words = sorted({w for s in sentences for w in s.replace('\n', ' \n ').split(' ')})
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - _ACTION_IDS,
        special_tokens=special + fallback + [BLANK],
        show_progress=False,
    )
    tokenizer.train_from_iterator(words, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single='<s> $A', pair='<s> $A <s> $B', special_tokens=[('<s>', 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=AddedToken('<s>', special=True),
        eos_token=AddedToken('</s>', special=True),
        unk_token=AddedToken('<unk>', special=True),
    )


def dataset_statistics(name: str, actions: np.ndarray, proprio: np.ndarray) -> dict:
    """
    Return the content of dataset_statistics.json for a data set of that name.

    actions [N, 8, 7], proprio [N, 8] in physical units. The gripper (last action) stays raw.
    """

    def summary(values: np.ndarray) -> dict:
        return {
            'mean': values.mean(0).tolist(),
            'std': values.std(0).tolist(),
            'min': values.min(0).tolist(),
            'max': values.max(0).tolist(),
            'q01': np.quantile(values, 0.01, 0).tolist(),
            'q99': np.quantile(values, 0.99, 0).tolist(),
        }

    flat = actions.reshape(-1, 7).astype(np.float64)
    return {
        name: {
            'action': summary(flat) | {'mask': [True] * 6 + [False]},
            'proprio': summary(proprio.astype(np.float64)),
            'num_transitions': len(actions),
        }
    }
