# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The parameters of vla_node that say how chunks are made and executed.

Knows neither ROS nor what they are used for.
"""

from dataclasses import dataclass

from vla_cache_ros.control.parameters import parameter
from vla_cache_ros.control.parameters import Parameters


@dataclass(frozen=True)
class ChunkParameters(Parameters):
    """Parameters of vla_node about chunks of actions."""

    execution: str = parameter(
        'synchronous',
        'synchronous (the arm waits while the policy infers), asynchronous (the next chunk is '
        'inferred while this one plays, and joins at the action that is due) or ensembled '
        '(asynchronous, and the actions of all chunks for the same instant are averaged)',
        pattern='synchronous|asynchronous|ensembled',
    )
    ensemble_decay: float = parameter(
        0.1,
        'ensembled: a chunk older by one inference weighs exp(-ensemble_decay) times as much',
        bounds=(0.0, 10.0),
    )
    join_blend: float = parameter(
        0.0,
        'asynchronous: time over which a chunk takes over from the one before; 0: at once',
        's',
        (0.0, 2.0),
    )
    execute_steps: int = parameter(
        1, 'actions of a chunk that are executed before the next observation', bounds=(1, 100)
    )
    real_time_chunking: bool = parameter(
        True,
        'asynchronous, SmolVLA, pi0 and pi0.5: denoise a chunk towards what is left of the one '
        'that plays meanwhile, so that it goes on where it joins',
    )
    execution_horizon: int = parameter(
        10,
        'real_time_chunking: actions from the images on that are held to the chunk before; more '
        'than pass during an inference',
        bounds=(1, 1000),
    )
    prefix_attention_schedule: str = parameter(
        'LINEAR',
        'real_time_chunking: how the hold on actions fades that are executed after the inference, '
        'up to execution_horizon: LINEAR, EXP (sooner), ONES (not at all) or ZEROS (at once)',
        pattern='LINEAR|EXP|ONES|ZEROS',
    )
    max_guidance_weight: float = parameter(
        10.0, 'real_time_chunking: largest weight of the hold', bounds=(0.0, 1000.0)
    )
    flow_steps: int = parameter(
        0,
        'SmolVLA, pi0 and pi0.5: denoising steps of a chunk; 0: as the checkpoint states',
        bounds=(0, 100),
    )

    @property
    def chunks_in_real_time(self) -> bool:
        """Say whether an inference is told what is left of the running chunk."""
        return self.real_time_chunking and self.execution == 'asynchronous'
