# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Folders as LeRobot writes them, of the goldens' weights, for a robot of any size."""

import json
import shutil

import numpy as np
from paths import DATA
from safetensors.numpy import load_file
from safetensors.numpy import save_file

STATE, ACTION = 'observation.state', 'action'


def lerobot_folder(folder, family, cameras, state, action, chunk=50):
    """
    Make a checkpoint of a family that has these cameras, and so many numbers; return the folder.

    The statistics are those of the golden's numbers, over and over.
    """
    shutil.copytree(DATA / 'goldens' / family, folder)
    config = json.loads((folder / 'config.json').read_text())
    inputs, outputs = _features(cameras, state, action)
    config |= {'input_features': inputs, 'output_features': outputs}
    config |= {'chunk_size': chunk, 'n_action_steps': chunk, 'empty_cameras': 0}
    (folder / 'config.json').write_text(json.dumps(config))
    for path in folder.glob('policy_*processor.json'):
        processor = json.loads(path.read_text())
        for step in processor['steps']:
            if 'features' in step['config']:
                here = step['config']['features']
                step['config']['features'] = {
                    name: one for name, one in (inputs | outputs).items() if name in here
                } | {name: one for name, one in inputs.items() if one['type'] == 'VISUAL'}
        path.write_text(json.dumps(processor))
    for path in folder.glob('policy_*.safetensors'):
        sizes = {STATE: state, ACTION: action}
        save_file(
            {
                name: values
                if name.endswith('.count')
                else np.resize(values, sizes[name.rsplit('.', 1)[0]])
                for name, values in load_file(path).items()
            },
            path,
        )
    return folder


def _features(cameras, state, action):
    inputs = {
        f'observation.images.{name}': {'type': 'VISUAL', 'shape': [3, 48, 64]} for name in cameras
    }
    inputs[STATE] = {'type': 'STATE', 'shape': [state]}
    return inputs, {ACTION: {'type': 'ACTION', 'shape': [action]}}
