# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Load the tokenizer of a folder that a stranger may have written; nothing of it is run."""

from __future__ import annotations

from pathlib import Path
import re
from typing import Any

from transformers import AutoTokenizer
from transformers.utils import logging as hf_logging
from vla_cache_ros.vla.families.source import Source
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.json_file import check_size
from vla_cache_ros.vla.files.place import download
from vla_cache_ros.vla.files.place import HUB_ID
from vla_cache_ros.vla.prompt import encode_prompt

FILES = (
    *('tokenizer.json', 'tokenizer.model', 'tokenizer_config.json', 'special_tokens_map.json'),
    *('added_tokens.json', 'vocab.json', 'merges.txt'),
)
TOKENIZER_BYTES = 64 * 2**20  # of one file; Llama's have 2 MB, the largest published 35 MB


def load_tokenizer(folder: Path, source: Source) -> Any:
    """
    Load the tokenizer: of the folder, else of the path or hub id that its processors name.

    Raises CheckpointError if absent or larger than the embeddings.
    """
    prompting = None if source.processors is None else source.processors.prompting
    folder = _place(folder, source.tokenizer, prompting.tokenizer if prompting else '')
    for path in folder.glob('*.json'):
        check_size(path, TOKENIZER_BYTES)
    if (folder / 'tokenizer.model').exists():
        check_size(folder / 'tokenizer.model', TOKENIZER_BYTES)
    verbosity = hf_logging.get_verbosity()
    hf_logging.set_verbosity_error()  # it warns that it does not know model_type openvla
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        highest = max(tokenizer.get_vocab().values())
        # what is odd in its files may show at the first text
        (prompting.ids if prompting else encode_prompt)(tokenizer, 'move')
    except CheckpointError as error:
        raise CheckpointError(f'{folder}: {error}') from error
    except Exception as error:  # noqa: BLE001 - transformers raises anything here
        raise CheckpointError(f'{folder}: damaged tokenizer files ({error!r:.200})') from error
    finally:
        hf_logging.set_verbosity(verbosity)
    size = source.config.decoder().vocab_size
    if highest >= size:
        raise CheckpointError(
            f'{folder}: expected token ids below vocab_size {size}, found {highest} in the '
            'tokenizer: it belongs to another model'
        )
    return tokenizer


def _place(folder: Path, files: str, name: str) -> Path:
    """Return where tokenizer files are; files: what the user is told to copy otherwise."""
    for place in (folder, *([folder / name] if name else [])):
        if any((place / file).is_file() for file in FILES[:2]):
            return place
    tried = ''
    if re.fullmatch(HUB_ID, name):
        try:
            return download(name, list(FILES))
        except CheckpointError as error:
            tried = f', nor on the hub as {name} ({error})'
    elif name:
        tried = f', nor in its folder {name!r:.80}'
    raise CheckpointError(
        f'{folder}: expected tokenizer.json or tokenizer.model, found neither{tried}; '
        f'copy {files} into the folder'
    )
