# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What `tabletop-pi` is told: pi0.5's prompt, and a tokenizer of whole words and whole numbers.

Source of the prompt: LeRobot 0.6.1, `policies/pi05/processor_pi05.py`.
"""

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

VOCABULARY = 512
NUMBERS = 257  # -1 to 255, the last ids
_SPECIAL = ('<pad>', '<eos>', '<bos>', '<unk>')
_EDGES = np.linspace(-1, 1, 257)[:-1]


def state_prompt(instruction: str, state: np.ndarray) -> str:
    """Return the prompt for an instruction and a normalised state [8]."""
    task = instruction.strip().replace('_', ' ').replace('\n', ' ')
    numbers = ' '.join(map(str, state_numbers(state)))
    return f'Task: {task}, State: {numbers};\nAction: '


def state_numbers(state: np.ndarray) -> np.ndarray:
    """Return the numbers from -1 to 255 that stand for normalised values, of the same shape."""
    return np.digitize(state, _EDGES) - 1


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
    texts = [state_prompt(text, np.zeros(0)) for text in instructions]
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
    texts = [state_prompt(text, state) for text, state in pairs]
    return pad_prompts(tokenizer(texts)['input_ids'])
