# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
What a benchmark of vla-eval sends and takes, against what a policy sees and gives.

vla-eval leaves an observation's keys to its benchmarks. `libero` is that of its LIBERO and what is
derived from it (Plus, Pro): pictures arrive turned by half a turn, which is undone, since a
checkpoint's own image path begins at the camera. `plain` takes pictures and state as they are and
gives actions in the units of the training data. Knows neither vla-eval's classes nor models: its
specifications are named, and `server` looks them up.
"""

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from vla_cache_ros.environments.libero import command
from vla_cache_ros.environments.libero import IMAGE_PATH
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.files.errors import InputError

TEXT = 'task_description'
STATES = ('states', 'state')  # LIBERO's word, and that of most others


@dataclass(frozen=True)
class Needs:
    """
    Say what a policy takes.

    cameras: pictures. state: length of the arm's state, 0 without. raw: whether the checkpoint
    states its image path, and wants pictures as the camera gave them.
    """

    cameras: int
    state: int
    raw: bool

    @classmethod
    def of(cls, policy: Any) -> 'Needs':  # noqa: ANN401
        """Return what a `vla_cache_ros.policy.Policy` says of itself."""
        return cls(policy.num_images, policy.proprio_size, bool(policy.images.paths))


@dataclass(frozen=True)
class Convention:
    """
    Hold how one benchmark speaks.

    cameras: keys of `images`, primary first; () takes any, in the order they come in. others:
    keys that are known and not needed. turn: makes the camera's picture of one that was sent.
    prepare: of a camera's picture for a checkpoint that states no image path. action: makes what
    the benchmark takes `[A]` of an action. action_spec, camera_spec, state_spec: names in
    `vla_eval.specs`. params: asked of the benchmark always; camera_params: of a second camera.
    state_params: of a state.
    """

    cameras: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    turn: Callable[[np.ndarray], np.ndarray] = np.asarray
    prepare: Callable[[np.ndarray], np.ndarray] = np.asarray
    action: Callable[[np.ndarray], np.ndarray] = np.asarray
    action_spec: Mapping[str, str] | None = None
    state_spec: str = 'RAW'
    params: Mapping[str, Any] | None = None
    camera_params: Mapping[str, Any] | None = None
    state_params: Mapping[str, Any] | None = None

    def check(self, sent: object, needs: Needs) -> None:
        """
        Raise InputError for an observation that does not fit, in one line.

        Shapes alone are looked at: the policy checks the values of what it acts on.
        """
        if not isinstance(sent, Mapping):
            raise InputError(f'observation: expected a map, got {type(sent).__name__}')
        known = {'images', TEXT, *STATES, *self.others}
        unknown = sorted(str(key) for key in set(sent) - known)
        if unknown:
            raise InputError(
                f'observation: expected keys among {", ".join(sorted(known))}, got also '
                f'{", ".join(unknown)[:80]}; another benchmark? see `benchmark`'
            )
        self._images(sent, needs)
        if not isinstance(sent.get(TEXT), str):
            raise InputError(f'{TEXT}: expected a text, got {type(sent.get(TEXT)).__name__}')
        if needs.state:
            state = self._state(sent, needs)
            if state.shape != (needs.state,) or state.dtype.kind not in 'fiu':
                raise InputError(
                    f'state: expected {needs.state} numbers, got {state.dtype} {list(state.shape)}'
                )

    def observation(self, sent: Mapping[str, Any], needs: Needs) -> Observation:
        """Return what the policy sees; raises InputError as `check` does."""
        self.check(sent, needs)
        images = tuple(self.turn(image) for image in self._images(sent, needs))
        if not needs.raw:
            images = tuple(self.prepare(image) for image in images)
        state = self._state(sent, needs).astype(np.float64) if needs.state else None
        return Observation(images, sent[TEXT], state)

    def actions(self, actions: np.ndarray) -> np.ndarray:
        """Return float32 [C, A] as the benchmark takes them, of actions [C, A]."""
        return np.stack([self.action(action) for action in actions]).astype(np.float32)

    def names(self, needs: Needs) -> tuple[str, ...]:
        """Return the keys of the pictures that the policy takes; () where any will do."""
        return self.cameras[: needs.cameras]

    def asked(self, needs: Needs) -> dict[str, Any]:
        """Return the parameters that the benchmark is asked for."""
        found = dict(self.params or {})
        if needs.cameras > 1:
            found |= self.camera_params or {}
        if needs.state:
            found |= self.state_params or {}
        return found

    def _images(self, sent: Mapping[str, Any], needs: Needs) -> list[np.ndarray]:
        images = sent.get('images')
        if not isinstance(images, Mapping):
            raise InputError(f'images: expected a map, got {type(images).__name__}')
        if self.cameras:
            strange = sorted(str(key) for key in set(images) - set(self.cameras))
            missing = [name for name in self.names(needs) if name not in images]
            if strange or missing:
                raise InputError(
                    f'images: expected {", ".join(self.names(needs))}, got '
                    f'{", ".join(map(str, images))[:80] or "none"}; another benchmark? see '
                    '`benchmark`'
                )
            chosen = {name: images[name] for name in self.names(needs)}
        else:
            if len(images) != needs.cameras:
                raise InputError(
                    f'images: expected {needs.cameras}, primary camera first, got '
                    f'{", ".join(map(str, images))[:80] or "none"}'
                )
            chosen = dict(images)
        for name, image in chosen.items():
            fits = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3
            if not fits or image.shape[2] != 3:
                kind = getattr(image, 'dtype', type(image).__name__)
                raise InputError(
                    f'{str(name)[:40]}: expected uint8 [H, W, 3], got {kind} '
                    f'{list(getattr(image, "shape", ()))}'
                )
        return list(chosen.values())

    def _state(self, sent: Mapping[str, Any], needs: Needs) -> np.ndarray:
        for key in STATES:
            if sent.get(key) is not None:
                return np.asarray(sent[key])
        raise InputError(
            f'state: expected {needs.state} numbers under {" or ".join(STATES)}, got none; have '
            'the benchmark send it'
        )


def half_turn(image: np.ndarray) -> np.ndarray:
    """Return an image [H, W, 3] turned by 180 degrees, to the bit."""
    return np.ascontiguousarray(image[::-1, ::-1])


CONVENTIONS = {
    'libero': Convention(
        cameras=('agentview', 'wrist'),
        others=('controller_states',),
        turn=half_turn,
        prepare=IMAGE_PATH,
        action=command,
        action_spec={
            'position': 'POSITION_DELTA',
            'rotation': 'ROTATION_AA',
            'gripper': 'GRIPPER_CLOSE_POS',
        },
        state_spec='STATE_EEF_POS_AA_GRIP',
        # as the evaluations of OpenVLA and OpenVLA-OFT: seed 0, angles of 0 to 2 pi
        params={'env_seed': 0},
        camera_params={'send_wrist_image': True},
        state_params={'send_state': True, 'quat_no_antipodal': True},
    ),
    'plain': Convention(),
}


def find(name: str, needs: Needs) -> Convention:
    """Return a convention by its name; raises ValueError for one that the policy does not fit."""
    if name not in CONVENTIONS:
        raise ValueError(f'benchmark: expected one of {", ".join(CONVENTIONS)}, got {name!r:.40}')
    convention = CONVENTIONS[name]
    if convention.cameras and needs.cameras > len(convention.cameras):
        raise ValueError(
            f'benchmark: expected a model of at most {len(convention.cameras)} cameras for '
            f'{name}, got {needs.cameras}; take another benchmark'
        )
    return convention
