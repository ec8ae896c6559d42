# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What `tabletop-pi` is told: pi0.5's prompt, by a tokenizer of whole words and numbers."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence

import numpy as np
from tokenizers import AddedToken
from tokenizers import decoders
from tokenizers import models
from tokenizers import pre_tokenizers
from tokenizers import processors
from tokenizers import Regex
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PreTrainedTokenizerFast
from vla_cache_ros.training.batches import pad_prompts
from vla_cache_ros.vla.lerobot.prompts import Prompting

VOCABULARY = 512
NUMBERS = 257  # -1 to 255, the last ids
_SPECIAL = ('<pad>', '<eos>', '<bos>', '<unk>')
PROMPTING = Prompting(state=8, tokenizer='.', longest=200)


def build_tokenizer(instructions: Iterable[str]) -> PreTrainedTokenizerFast:
    """
    Return a tokenizer of the instructions' words, signs, blanks left out, and of -1 to 255.

    Ids as PaliGemma's begin: <pad> 0, <eos> 1, <bos> 2, which it puts in front, <unk> 3.
    """
    # a word, a number or a sign; a blank only parts them
    cut = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(' +'), 'removed'),
            pre_tokenizers.Split(Regex(r'-?\d+|[A-Za-z]+|\n|[^\w\s]'), 'isolated'),
        ]
    )
    texts = [PROMPTING.text(text, np.zeros(0)) for text in instructions]
    words = {word for text in texts for word, _ in cut.pre_tokenize_str(text)}
    known = [*_SPECIAL, *sorted(words)]
    first = VOCABULARY - NUMBERS
    if len(known) > first:
        raise ValueError(f'words: expected at most {first}, got {len(known)}')
    vocabulary = {word: index for index, word in enumerate(known)}
    vocabulary |= {str(number): first + 1 + number for number in range(-1, NUMBERS - 1)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token='<unk>'))
    tokenizer.pre_tokenizer = cut
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(
        single='<bos> $A', pair='<bos> $A <bos> $B', special_tokens=[('<bos>', 2)]
    )
    special = {name.strip('<>'): AddedToken(name, special=True) for name in _SPECIAL}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{f'{name}_token': token for name, token in special.items()},
    )


def prompt_ids(
    tokenizer: PreTrainedTokenizerFast, instructions: Sequence[str], states: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Return right-padded ids [B, T] and their mask for instructions and states [B, 8]."""
    pairs = zip(instructions, states, strict=True)
    texts = [PROMPTING.text(text, state) for text, state in pairs]
    return pad_prompts(tokenizer(texts)['input_ids'])
