# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Folders as LeRobot writes them: the golden ones, changed, and others of the published sizes."""

import json
import math
import shutil

import numpy as np
from paths import DATA
from safetensors.torch import load_file
from safetensors.torch import save_file
import torch

GOLDENS = DATA / 'goldens'
KINDS = ('smolvla', 'pi0', 'pi05')
# of layers: width, queries, keys, inner
SMOLLM, GEMMA, SMOLLM_EXPERT, GEMMA_EXPERT = (
    *((960, 960, 320, 2560), (2048, 2048, 256, 16384)),
    *((720, 960, 320, 2048), (1024, 2048, 256, 4096)),
)


def copy_folder(kind, place):
    """Copy a golden folder without its samples."""
    ignored = shutil.ignore_patterns('*.npz')
    return shutil.copytree(GOLDENS / kind, place / kind, ignore=ignored)


def edit_steps(path, change):
    """Change a processor file: `change` gets its steps by name, and may return others."""
    raw = json.loads(path.read_text())
    steps = {step['registry_name']: step for step in raw['steps']}
    raw['steps'] = list((change(steps) or steps).values())
    path.write_text(json.dumps(raw))


def edit_tensors(path, change):
    """Change a safetensors file: `change` gets its tensors by name."""
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def normalizer_file(folder):
    (path,) = folder.glob('policy_preprocessor_step_*')
    return path


def robot_folder(kind, place, cameras, state, action, chunk=50):
    """
    Make a small checkpoint for a robot that has these cameras and so many numbers.

    Its statistics are those of the golden one, over and over.
    """
    folder = copy_folder(kind, place)
    inputs = {
        f'observation.images.{name}': {'type': 'VISUAL', 'shape': [3, 48, 64]} for name in cameras
    }
    inputs['observation.state'] = {'type': 'STATE', 'shape': [state]}
    outputs = {'action': {'type': 'ACTION', 'shape': [action]}}
    config = json.loads((folder / 'config.json').read_text())
    config |= {'input_features': inputs, 'output_features': outputs, 'empty_cameras': 0}
    config |= {'chunk_size': chunk, 'n_action_steps': chunk}
    (folder / 'config.json').write_text(json.dumps(config))

    def describe(steps):
        for step in steps.values():
            if 'features' in step['config']:
                step['config']['features'] = inputs | outputs

    def resize(tensors):
        for name in tensors:
            if not name.endswith('.count'):
                size = action if name.startswith('action') else state
                tensors[name] = torch.from_numpy(np.resize(tensors[name].numpy(), size))

    for path in folder.glob('policy_*processor.json'):
        edit_steps(path, describe)
    for path in folder.glob('policy_*.safetensors'):
        edit_tensors(path, resize)
    return folder


def published_folder(kind, place):
    """
    Write a folder of the published sizes, its weights a hole of zeros that takes no disk.

    Returns it and the number of its tensors.
    """
    folder = copy_folder(kind, place)
    (folder / 'manifest.json').unlink()
    shutil.rmtree(folder / 'vlm', ignore_errors=True)
    config = json.loads((folder / 'config.json').read_text())
    if kind == 'smolvla':
        config |= {'vlm_model_name': 'HuggingFaceTB/SmolVLM2-500M-Instruct', 'num_vlm_layers': 16}
    (folder / 'config.json').write_text(json.dumps(config | {'chunk_size': 50}))
    header, end = {}, 0
    for name, shape in published_tensors(kind).items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {'dtype': 'BF16', 'shape': shape, 'data_offsets': [begin, end]}
    text = json.dumps(header).encode()
    with (folder / 'model.safetensors').open('wb') as file:
        file.write(len(text).to_bytes(8, 'little') + text)
        file.truncate(8 + len(text) + end)
    return folder, len(header)


def published_tensors(kind):
    """Return names and shapes of what LeRobot saves of a model of the published sizes."""
    if kind == 'smolvla':
        vlm, text, vision = 'vlm_with_expert.vlm.model.', 'text_model.', 'vision_model.'
        expert, sizes, expert_sizes = 'vlm_with_expert.lm_expert.', SMOLLM, SMOLLM_EXPERT
        tower, layers, vocabulary = (768, 12, 3072, 16, 1024), 16, 49280
        heads = {'vlm_with_expert.vlm.lm_head': [vocabulary, 960]}
        projector = {f'{vlm}connector.modality_projection.proj.weight': [960, 12288]}
    else:
        whole = 'paligemma_with_expert.'
        vlm, text = f'{whole}paligemma.model.', 'language_model.'
        vision = 'vision_tower.vision_model.'
        expert, sizes, expert_sizes = f'{whole}gemma_expert.model.', GEMMA, GEMMA_EXPERT
        tower, layers, vocabulary = (1152, 27, 4304, 14, 256), 18, 257152
        heads = {
            f'{whole}paligemma.lm_head': [vocabulary, 2048],
            f'{whole}gemma_expert.lm_head': [vocabulary, 1024],
        }
        projector = linear(f'{vlm}multi_modal_projector.linear', 1152, 2048)
    width, hidden = expert_sizes[0], sizes[0]
    found = {f'{name}.weight': shape for name, shape in heads.items()} | projector
    found |= siglip(f'{vlm}{vision}', *tower)
    found[f'{vlm}{text}embed_tokens.weight'] = [vocabulary, hidden]
    found[f'{vlm}{text}norm.weight'] = [hidden]
    adaptive = kind == 'pi05'
    for index in range(layers):
        found |= decoder_layer(f'{vlm}{text}layers.{index}.', *sizes)
        crossed = kind == 'smolvla' and index % 2
        found |= decoder_layer(f'{expert}layers.{index}.', *expert_sizes, adaptive, crossed)
    found |= norm(f'{expert}norm', width, adaptive)
    found |= linear('action_in_proj', 32, width) | linear('action_out_proj', width, 32)
    mlp = 'time_mlp' if adaptive else 'action_time_mlp'
    found |= linear(f'{mlp}_in', width if adaptive else 2 * width, width)
    found |= linear(f'{mlp}_out', width, width)
    if not adaptive:
        found |= linear('state_proj', 32, hidden if kind == 'smolvla' else width)
    return {f'model.{name}': shape for name, shape in found.items()}


def linear(name, inputs, outputs):
    return {f'{name}.weight': [outputs, inputs], f'{name}.bias': [outputs]}


def norm(name, width, adaptive):
    return linear(f'{name}.dense', width, 3 * width) if adaptive else {f'{name}.weight': [width]}


def decoder_layer(name, width, queries, keys, inner, adaptive=False, crossed=False):
    taken = keys if crossed else width  # a crossed layer projects the prefix's keys again
    found = norm(f'{name}input_layernorm', width, adaptive)
    found |= norm(f'{name}post_attention_layernorm', width, adaptive)
    for part, shape in (
        *(('self_attn.q_proj', [queries, width]), ('self_attn.o_proj', [width, queries])),
        *(('self_attn.k_proj', [keys, taken]), ('self_attn.v_proj', [keys, taken])),
        *(('mlp.gate_proj', [inner, width]), ('mlp.up_proj', [inner, width])),
        ('mlp.down_proj', [width, inner]),
    ):
        found[f'{name}{part}.weight'] = shape
    return found


def siglip(name, width, layers, inner, patch, patches):
    found = {
        f'{name}embeddings.patch_embedding.weight': [width, 3, patch, patch],
        f'{name}embeddings.patch_embedding.bias': [width],
        f'{name}embeddings.position_embedding.weight': [patches, width],
    }
    norms = [f'{name}post_layernorm']
    for index in range(layers):
        layer = f'{name}encoder.layers.{index}.'
        norms += [f'{layer}layer_norm1', f'{layer}layer_norm2']
        for part in ('q_proj', 'k_proj', 'v_proj', 'out_proj'):
            found |= linear(f'{layer}self_attn.{part}', width, width)
        found |= linear(f'{layer}mlp.fc1', width, inner) | linear(f'{layer}mlp.fc2', inner, width)
    for one in norms:
        found |= {f'{one}.weight': [width], f'{one}.bias': [width]}
    return found
