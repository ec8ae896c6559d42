# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Load the policy that the parameters name and make sure it fits them before the arm depends on it.

Runs on the worker's thread. Knows the policy's outside only.
"""

from typing import Any

import numpy as np
from vla_cache_ros.control.inference import dummy_observation
from vla_cache_ros.control.safety import check_actions
from vla_cache_ros.control.sensing.robot import state_layout
from vla_cache_ros.control.vla_parameters import VLAParameters


def load_policy(parameters: VLAParameters) -> Any:  # noqa: ANN401
    """Return the policy that the parameters name, of a server where they name one."""
    if parameters.policy_url:
        return _remote_policy(parameters)
    if not parameters.model_path:
        raise ValueError(
            'model_path: expected a checkpoint (folder, hub id or shipped name) or policy_url, '
            'got nothing'
        )
    import cv2
    from vla_cache_ros.policy import Policy  # torch: seconds to import, so not before configure
    from vla_cache_ros.policy import RealTimeChunking

    # its pool gains the gate's flow 0.03 ms a camera, and waits for cores that others have
    cv2.setNumThreads(1)

    steps = parameters.flow_steps
    return Policy.from_pretrained(
        parameters.model_path + (f',flow_steps={steps}' if steps else ''),
        gate=parameters.gate,
        device=parameters.device,
        dtype=parameters.dtype,
        reuse=parameters.reuse if parameters.reuse >= 0 else None,
        unnorm_key=parameters.unnorm_key or None,
        threads=parameters.threads,
        images=parameters.image_path(),
        chunking=RealTimeChunking(
            parameters.execution_horizon,
            parameters.prefix_attention_schedule,
            parameters.max_guidance_weight,
        ),
    )


def _remote_policy(parameters: VLAParameters) -> Any:  # noqa: ANN401
    try:
        from vla_cache_ros.serving.client.policy import RemotePolicy
    except ModuleNotFoundError as error:
        raise ValueError(f"policy_url: {error}: pip install 'vla_cache_ros[serve]'") from error
    return RemotePolicy(
        parameters.policy_url,
        parameters.policy_token_file,
        parameters.policy_ca_file,
        parameters.policy_wait,
    )


def follow(policy: Any, parameters: VLAParameters) -> None:  # noqa: ANN401
    """Tell a policy that is elsewhere how long its answers may take."""
    if getattr(policy, 'remote', False):
        policy.timeout = parameters.inference_timeout


def leave(policy: Any) -> None:  # noqa: ANN401
    """Leave a policy that is elsewhere; one that is waited for does not answer any more."""
    if getattr(policy, 'remote', False):
        policy.close()


def warm_up(policy: Any, parameters: VLAParameters) -> None:  # noqa: ANN401
    """
    Infer twice on noise, once in full and once against the cache, once as a shadow; forget it.

    Raises ValueError when the policy does not fit the parameters or gives unusable actions.
    """
    _check_cameras(policy, parameters)
    if policy.proprio_size:
        state_layout(parameters).check(policy.proprio_size)
    if parameters.execute_steps > policy.chunk:
        raise ValueError(
            f'execute_steps: expected at most {policy.chunk}, the actions this checkpoint '
            f'gives at a time, got {parameters.execute_steps}'
        )
    noise = dummy_observation(policy)
    policy.prepare()
    for _ in range(2):
        # the same twice: other images would be a camera cut, which a gate may answer with a full
        # step
        chunk, _ = policy.act(noise)
        _check_size(chunk.actions, parameters)
        check_actions(chunk.actions, parameters.action_size)
    if parameters.keep_warm or (
        parameters.drift_threshold and policy.description['gate'] != 'dense'
    ):
        policy.shadow(noise, 0)  # its memory is needed now
    policy.reset()


def _check_cameras(policy: Any, parameters: VLAParameters) -> None:  # noqa: ANN401
    """Raise ValueError, naming which camera belongs where, unless all are there in their order."""
    topics = parameters.image_topics
    names, given = policy.camera_names, parameters.camera_names
    if given and given != names:
        known = dict(zip(given, topics, strict=True))
        places = [known.get(name, f'(no camera for {name})') for name in names]
        raise ValueError(
            f'camera_names: expected {", ".join(names) or "none"}, as this checkpoint orders its '
            f'cameras, got {", ".join(given)}; image_topics would be {", ".join(places)}'
        )
    if policy.num_images != len(topics):
        order = f' in the order {", ".join(names)}' if names else ''
        raise ValueError(
            f'image_topics: expected {policy.num_images}{order} for this checkpoint, '
            f'got {len(topics)} ({", ".join(topics)})'
        )


def _check_size(actions: np.ndarray, parameters: VLAParameters) -> None:
    wanted, found = parameters.action_size, np.shape(actions)[-1]
    if found == wanted:
        return
    parts = 'six of motion'
    if parameters.joint_output:
        parts = f'one for each of arm_joints ({", ".join(parameters.arm_joints)})'
    parts += ' and the gripper' if parameters.gripper_apart else ''
    raise ValueError(
        f'output: expected actions of {wanted} numbers for {parameters.output}, {parts}, '
        f'got {found} from this checkpoint; choose the output and arm_joints that suit it'
    )
