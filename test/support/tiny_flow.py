# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Flow models of the published kinds at toy sizes."""

from dataclasses import replace

from vla_cache_ros.vla.flow.published import FLOW_SHAPES


def flow_config(family, cameras=2):
    """Return a published configuration with two layers and narrow ones."""
    config = FLOW_SHAPES[family]
    heads = {'num_heads': 4, 'kv_heads': 2, 'head_dim': 8}
    if family != 'smolvla':
        heads['kv_heads'] = 1
    text = {
        **config.text,
        **{'vocab_size': 512, 'hidden_size': 32, 'intermediate_size': 48, 'num_hidden_layers': 2},
        'num_attention_heads': heads['num_heads'],
        'num_key_value_heads': heads['kv_heads'],
        'head_dim': heads['head_dim'],
    }
    tower = replace(config.towers[0], embed_dim=16, depth=2, num_heads=2, mlp_ratio=2.0)
    sizes = {'num_images': cameras, 'width': 24, 'inner': 40, 'depth': 2, 'chunk': 6, 'steps': 3}
    return replace(
        config, towers=(tower,), text=text, head=replace(config.head, **sizes, **heads)
    )
