# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write checkpoints with small random weights, real in every other respect."""

from pathlib import Path

from tokenizers import AddedToken
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast
from vla_cache_ros.vla.checkpoint import save_checkpoint
from vla_cache_ros.vla.config import OftConfig
from vla_cache_ros.vla.config import TowerConfig
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.model import init_model

VOCABULARY = 576
WORDS = 'In: What action should the robot take to Out: pick up red cube put on green plate'.split()


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of whole words with Llama's special ids and the blank."""
    vocabulary = {'<unk>': 0, '<s>': 1, '</s>': 2, '▁': 3}
    vocabulary.update({word: 4 + i for i, word in enumerate(WORDS)})
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token='<unk>'))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(single='<s> $A', special_tokens=[('<s>', 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=AddedToken('<s>', special=True),
        eos_token=AddedToken('</s>', special=True),
        unk_token=AddedToken('<unk>', special=True),
    )


def tiny_config(causal: bool = False, layers: int = 4, cameras: int = 2) -> VLAConfig:
    """Return OpenVLA-OFT (two cameras, proprio, L1 head) or causal OpenVLA (one camera)."""
    tower = TowerConfig.from_timm(
        'vit_small_patch14_reg4_dinov2.lvd142m',
        {'embed_dim': 16, 'depth': 2, 'num_heads': 2, 'mlp_ratio': 2.0},
    )
    text = {
        'hidden_size': 32,
        'intermediate_size': 48,
        'num_hidden_layers': layers,
        'num_attention_heads': 4,
        'num_key_value_heads': 4,
        'vocab_size': VOCABULARY,
        'pad_token_id': 512,
    }
    return VLAConfig(
        towers=(tower,),
        text=text,
        pad_token_id=512,
        pad_to_multiple_of=64,
        oft=None if causal else OftConfig(num_images=cameras),
    )


def tiny_statistics() -> dict:
    """Return statistics of one data set, `toy`: actions within +-0.05, gripper raw."""
    action = {
        'q01': [-0.05] * 6 + [0.0],
        'q99': [0.05] * 6 + [1.0],
        'min': [-0.06] * 6 + [0.0],
        'max': [0.06] * 6 + [1.0],
        'mask': [True] * 6 + [False],
    }
    proprio = {'q01': [-1.0] * 8, 'q99': [1.0] * 8, 'min': [-2.0] * 8, 'max': [2.0] * 8}
    return {'toy': {'action': action, 'proprio': proprio}}


def write_checkpoint(folder: Path, causal: bool = False, seed: int = 0, **sizes) -> Path:
    """Write a checkpoint of random weights into a folder and return the folder."""
    model = init_model(tiny_config(causal, **sizes), seed)
    save_checkpoint(folder, model, tiny_statistics(), tiny_tokenizer())
    return folder
