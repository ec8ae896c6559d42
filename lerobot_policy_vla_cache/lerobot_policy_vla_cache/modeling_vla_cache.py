# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A policy of LeRobot that acts by vla_cache_ros: by a server's sessions, or a model in this process.

Each row of a batch is an episode, with a session and a cache of its own. Knows neither robots nor
data sets.
"""

from collections import deque
from pathlib import Path
from typing import Any
import weakref

from lerobot.configs import PreTrainedConfig
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.utils.constants import OBS_IMAGES
from lerobot.utils.constants import OBS_STATE
import numpy as np
import torch
from torch import Tensor
from vla_cache_ros.types import Observation

from lerobot_policy_vla_cache.configuration_vla_cache import VLACacheConfig


class VLACachePolicy(PreTrainedPolicy):
    """Give LeRobot's loops the actions of a vision-language-action model with a token cache."""

    config_class = VLACacheConfig
    name = 'vla_cache'

    def __init__(self, config: VLACacheConfig, **kwargs: Any):
        """
        Connect, or load the model.

        kwargs: what LeRobot gives all policies; none of it is needed. Raises ValueError for
        cameras that do not fit the model, and what vla_cache_ros raises where there is none.
        """
        super().__init__(config)
        self._sessions = [self._open(None)]
        # a server has room for so many: they are given back with the policy
        self._closing = weakref.finalize(self, _close, self._sessions, bool(config.url))
        try:
            self._cameras = self._order(self._sessions[0])
        except ValueError:
            self.close()
            raise
        self.reset()

    def close(self) -> None:
        """Leave the server; the policy is of no use from then on."""
        self._closing()

    @classmethod
    def from_pretrained(
        cls, pretrained_name_or_path: str | Path, *, config: Any = None, **kwargs: Any
    ) -> 'VLACachePolicy':
        """Return the policy of a folder with config.json; there are no weights in it."""
        if config is None:
            config = PreTrainedConfig.from_pretrained(pretrained_name_or_path)
        return cls(config).eval()

    def get_optim_params(self) -> dict:
        """Return nothing: it is not trained here."""
        return {}

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict | None]:
        """Raise NotImplementedError: it is not trained here."""
        raise NotImplementedError('vla_cache: not trained here; see vla-cache train gate')

    def reset(self) -> None:
        """Begin a new episode in every session: caches are empty, nothing waits."""
        for session in self._sessions:
            session.reset()
        self._waiting: deque[Tensor] = deque()

    @torch.no_grad()
    def predict_action_chunk(self, batch: dict[str, Any], **kwargs: Any) -> Tensor:
        """
        Return actions float32 [B, C, A] in the units of the training data.

        batch: pictures float [B, 3, H, W] in [0, 1], the state [B, P], `task`, a text a row.
        Raises ValueError for a batch that lacks something.
        """
        rows = [self._observation(batch, row) for row in range(self._rows(batch))]
        while len(self._sessions) < len(rows):
            self._sessions.append(self._open(self._sessions[0]))
        pairs = zip(self._sessions, rows, strict=False)
        chunks = [session.act(observation)[0].actions for session, observation in pairs]
        return torch.from_numpy(np.stack(chunks).astype(np.float32)).to(self.config.device)

    @torch.no_grad()
    def select_action(self, batch: dict[str, Any], **kwargs: Any) -> Tensor:
        """Return the next action [B, A]; the model is asked when a chunk has been executed."""
        if not self._waiting:
            chunk = self.predict_action_chunk(batch)
            count = self.config.n_action_steps or chunk.shape[1]
            self._waiting.extend(chunk[:, :count].unbind(dim=1))
        return self._waiting.popleft()

    def _save_pretrained(self, save_directory: Path, state_dict: Any = None) -> None:
        self.config._save_pretrained(save_directory)

    def _open(self, first: Any) -> Any:
        """Return a session; first: another one."""
        config = self.config
        if config.url:
            from vla_cache_ros.serving.client.policy import RemotePolicy

            session = RemotePolicy(config.url, config.token_file, config.ca_file)
            session.timeout = config.timeout
            return session
        if first is not None:
            return first.session(seed=len(self._sessions))
        from vla_cache_ros.policy import Policy

        return Policy.from_pretrained(
            config.checkpoint,
            config.gate,
            config.device,
            reuse=config.reuse,
            sessions=config.sessions,
        )

    def _order(self, session: Any) -> list[str]:
        """Return LeRobot's names of the pictures in the model's order."""
        names = self.config.cameras or [_full(name) for name in session.camera_names]
        there = list(self.config.image_features)
        names = names or there
        missing = [name for name in names if there and name not in there]
        if missing or len(names) != session.num_images:
            raise ValueError(
                f'vla_cache: expected {session.num_images} cameras, primary first '
                f'(--policy.cameras), got {", ".join(names) or "none"}; there are '
                f'{", ".join(there) or "none"}'
            )
        return list(names)

    def _rows(self, batch: dict[str, Any]) -> int:
        wanted = [*self._cameras, *([OBS_STATE] if self._sessions[0].proprio_size else []), 'task']
        if missing := [name for name in wanted if name not in batch]:
            raise ValueError(
                f'vla_cache: expected {", ".join(missing)} in the batch, got {", ".join(batch)}'
            )
        return len(batch[self._cameras[0]])

    def _observation(self, batch: dict[str, Any], row: int) -> Observation:
        images = []
        for name in self._cameras:
            picture = batch[name][row].detach().cpu()
            if picture.is_floating_point():  # of eight bits, as LeRobot scales them
                picture = (picture * 255).round().clamp(0, 255).to(torch.uint8)
            images.append(np.ascontiguousarray(picture.permute(1, 2, 0).numpy()))
        state = None
        if self._sessions[0].proprio_size:
            state = batch[OBS_STATE][row].detach().cpu().numpy().astype(np.float32)
        task = batch['task']
        return Observation(tuple(images), task if isinstance(task, str) else task[row], state)


def _close(sessions: list[Any], remote: bool) -> None:
    for session in sessions if remote else ():
        session.close()


def _full(name: str) -> str:
    return name if name.startswith(OBS_IMAGES) else f'{OBS_IMAGES}.{name}'
