# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The parameters of vla_node that name a policy in another process or machine.

Knows neither ROS nor the wire.
"""

from dataclasses import dataclass
from dataclasses import fields

from vla_cache_ros.control.parameters import parameter
from vla_cache_ros.control.parameters import Parameters

# What is said to the server when it is started, not to the node.
_SERVERS = (
    'unnorm_key', 'device', 'dtype', 'threads', 'keep_warm', 'gate', 'reuse', 'image_rotation',
    'resize_mode', 'resize_filter', 'center_crop', 'execution_horizon',
    'prefix_attention_schedule', 'max_guidance_weight', 'flow_steps',
)  # fmt: skip


@dataclass(frozen=True)
class RemoteParameters(Parameters):
    """Parameters of vla_node about a policy server."""

    policy_url: str = parameter(
        '',
        'in place of model_path: the server of the policy (vla-cache serve), ws://HOST:PORT or '
        'wss://HOST:PORT; what concerns the model is set there',
        pattern=r'(wss?://[^\s/@?#]+(/[^\s@?#]*)?)?',
    )
    policy_token_file: str = parameter(
        '', 'file with the token that the server asks for; empty: it asks for none'
    )
    policy_ca_file: str = parameter(
        '',
        'file with the certificates (PEM) of who may vouch for a wss server; empty: those that '
        'the system trusts',
    )
    policy_wait: float = parameter(
        10.0, 'time for which configure waits for a server that is not there', 's', (0.0, 600.0)
    )

    def remote_contradiction(self) -> str:
        """Return what the other parameters have against a server, or an empty string."""
        if not self.policy_url:
            for name in ('policy_token_file', 'policy_ca_file'):
                if value := getattr(self, name):
                    return f'{name}: expected nothing without policy_url, got {value!r}'
            return ''
        if self.model_path:
            return (
                f'model_path: expected nothing with policy_url ({self.policy_url}), got '
                f'{self.model_path!r}; a policy is here or there'
            )
        if self.policy_ca_file and not self.policy_url.startswith('wss:'):
            return f'policy_url: expected wss:// with policy_ca_file, got {self.policy_url}'
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in _SERVERS and value != one.default:
                value = list(value) if isinstance(value, tuple) else value
                default = list(one.default) if isinstance(one.default, tuple) else one.default
                return (
                    f'{one.name}: expected {default!r}, its default, with policy_url, got '
                    f'{value!r}; the server says it'
                )
        return ''
