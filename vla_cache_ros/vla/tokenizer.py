# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Load the tokenizer of a folder that a stranger may have written; nothing of it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer
from transformers.utils import logging as hf_logging
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.json_file import check_size
from vla_cache_ros.vla.prompt import encode_prompt

TOKENIZER_BYTES = 64 * 2**20  # of one file; Llama's have 2 MB, the largest published 35 MB


def load_tokenizer(folder: Path, config: VLAConfig, files: str) -> Any:
    """
    Load the tokenizer; raises CheckpointError if absent or larger than the embeddings.

    files: what the user is told to copy into the folder where there is none.
    """
    if not any((folder / n).exists() for n in ('tokenizer.json', 'tokenizer.model')):
        raise CheckpointError(
            f'{folder}: expected tokenizer.json or tokenizer.model, found neither; '
            f'copy {files} into the folder'
        )
    for path in folder.glob('*.json'):
        check_size(path, TOKENIZER_BYTES)
    if (folder / 'tokenizer.model').exists():
        check_size(folder / 'tokenizer.model', TOKENIZER_BYTES)
    verbosity = hf_logging.get_verbosity()
    hf_logging.set_verbosity_error()  # it warns that it does not know model_type openvla
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        highest = max(tokenizer.get_vocab().values())
        encode_prompt(tokenizer, 'move')  # what is odd in its files may show at the first text
    except CheckpointError as error:
        raise CheckpointError(f'{folder}: {error}') from error
    except Exception as error:  # noqa: BLE001 - transformers raises anything here
        raise CheckpointError(f'{folder}: damaged tokenizer files ({error!r:.200})') from error
    finally:
        hf_logging.set_verbosity(verbosity)
    size = config.decoder().vocab_size
    if highest >= size:
        raise CheckpointError(
            f'{folder}: expected token ids below vocab_size {size}, found {highest} in the '
            'tokenizer: it belongs to another model'
        )
    return tokenizer
