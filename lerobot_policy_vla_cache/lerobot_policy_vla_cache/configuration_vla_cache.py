# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The options of the policy type vla_cache, as LeRobot's command lines and folders state them."""

from dataclasses import dataclass
from dataclasses import field

from lerobot.configs import PreTrainedConfig


@PreTrainedConfig.register_subclass('vla_cache')
@dataclass
class VLACacheConfig(PreTrainedConfig):
    """
    Say where the model is, and how LeRobot's names become its own.

    url: of a `vla-cache serve`; or checkpoint: a model in this process. gate, reuse, sessions
    (rows of a batch that there is room for): with checkpoint. token_file, ca_file: with url.
    cameras: LeRobot's names of the pictures in the model's order. n_action_steps: of a chunk that
    are executed; 0: all. timeout: s, of a request.
    Raises ValueError unless one of url and checkpoint is given.
    """

    url: str = ''
    token_file: str = ''
    ca_file: str = ''
    checkpoint: str = ''
    gate: str = 'learned'
    reuse: float | None = None
    sessions: int = 1
    cameras: list[str] = field(default_factory=list)
    n_action_steps: int = 0
    timeout: float = 60.0

    def __post_init__(self) -> None:
        """Check what can be checked without a model."""
        super().__post_init__()
        if bool(self.url) == bool(self.checkpoint):
            raise ValueError(
                'vla_cache: expected either --policy.url (of vla-cache serve) or '
                f'--policy.checkpoint, got {self.url!r} and {self.checkpoint!r}'
            )
        if self.n_action_steps < 0 or not self.timeout > 0:
            raise ValueError(
                'vla_cache: expected n_action_steps of at least 0 and a timeout above 0 s, got '
                f'{self.n_action_steps} and {self.timeout:g}'
            )

    @property
    def observation_delta_indices(self) -> None:
        """Return nothing: one observation is enough."""
        return None

    @property
    def action_delta_indices(self) -> None:
        """Return nothing: it is not trained here."""
        return None

    @property
    def reward_delta_indices(self) -> None:
        """Return nothing: it is not trained here."""
        return None

    def get_optimizer_preset(self) -> None:
        """Return nothing: it is not trained here."""
        return None

    def get_scheduler_preset(self) -> None:
        """Return nothing: it is not trained here."""
        return None

    def validate_features(self) -> None:
        """Do nothing: what the model takes is known once there is one."""
