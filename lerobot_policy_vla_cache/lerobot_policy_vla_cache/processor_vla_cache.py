# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What LeRobot does before and after the policy: nothing is scaled, the model does that itself."""

from typing import Any

from lerobot.processor import AddBatchDimensionProcessorStep
from lerobot.processor import DeviceProcessorStep
from lerobot.processor import RenameObservationsProcessorStep
from lerobot.processor.factory import make_policy_processor_pipelines

from lerobot_policy_vla_cache.configuration_vla_cache import VLACacheConfig


def make_vla_cache_pre_post_processors(
    config: VLACacheConfig, dataset_stats: dict[str, dict[str, Any]] | None = None
) -> tuple[Any, Any]:
    """Return both pipelines, which name, batch and place tensors; dataset_stats is not used."""
    return make_policy_processor_pipelines(
        input_steps=[
            RenameObservationsProcessorStep(rename_map={}),
            AddBatchDimensionProcessorStep(),
            DeviceProcessorStep(device=config.device),
        ],
        output_steps=[DeviceProcessorStep(device='cpu')],
    )
