# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Turn an instruction into the token ids that the model was trained to continue.

The wording is OpenVLA's. Knows nothing of slots or of how long a prompt may be.
"""

from __future__ import annotations

from typing import Any

from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.errors import InputError

BLANK = '▁'


def check_instruction(text: str) -> None:
    """Raise InputError for an instruction without text, or with half of a character."""
    if not text.strip():
        raise InputError('instruction: expected some text, found none')
    try:
        text.encode()
    except UnicodeEncodeError as error:  # half of a character in UTF-16
        raise InputError(
            f'instruction: expected characters, found a lone surrogate at {error.start}'
        ) from error


def build_prompt(instruction: str) -> str:
    """Return the prompt for an instruction; raises InputError if it holds none."""
    text = instruction.strip()
    check_instruction(text)
    return f'In: What action should the robot take to {text.lower()}?\nOut:'


def blank_id(tokenizer: Any) -> int:
    """Return the id of the blank that ends every prompt (29871 in Llama's vocabulary)."""
    index = tokenizer.convert_tokens_to_ids(BLANK)
    if index is None or index == tokenizer.unk_token_id:
        raise CheckpointError(f'tokenizer: expected the token {BLANK!r} (a blank), found none')
    return int(index)


def end_with_blank(ids: list[int], blank: int) -> list[int]:
    """Return the ids with the blank appended, unless they end with it already."""
    return ids if ids and ids[-1] == blank else [*ids, blank]


def encode_prompt(tokenizer: Any, instruction: str) -> list[int]:
    """Return the prompt's token ids, from BOS to the blank."""
    ids = [int(i) for i in tokenizer(build_prompt(instruction))['input_ids']]
    if not ids or ids[0] != tokenizer.bos_token_id:
        raise CheckpointError(
            f'tokenizer: expected prompts to start with BOS ({tokenizer.bos_token_id}), '
            f'found {ids[:1]}'
        )
    return end_with_blank(ids, blank_id(tokenizer))
