# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Load a checkpoint and a gate, and open sessions that share the model.

A policy is itself a session, its model's first. Knows what a session's outside is, and files only
by name.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
import copy
from typing import Any

from vla_cache_ros.caching.gates import Gate
from vla_cache_ros.caching.gates import gate_for
from vla_cache_ros.caching.gates import LEARNED
from vla_cache_ros.caching.gates import split_gate
from vla_cache_ros.caching.gates.gate_folder import find_gate
from vla_cache_ros.caching.gates.gate_folder import FOLDER
from vla_cache_ros.caching.rooms import Rooms
from vla_cache_ros.caching.rooms import SessionsFullError
from vla_cache_ros.session import Session
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.checkpoint import resolve
from vla_cache_ros.vla.device import check_device
from vla_cache_ros.vla.flow.guidance import RealTimeChunking
from vla_cache_ros.vla.quantized import DTYPES

__all__ = ['Policy', 'RealTimeChunking', 'SessionsFullError']


class Policy(Session):
    """Act with a loaded model, and open further sessions of it; see `Session`."""

    def __init__(
        self,
        vla: LoadedVLA,
        gate: Gate | Callable[[int], Gate],
        unnorm_key: str | None = None,
        seed: int = 0,
        sessions: int = 1,
        **options: Any,
    ) -> None:
        """
        Join a model and a gate.

        gate: or what makes one of a seed; each further session then has one of its own seed, else
        a copy. unnorm_key, seed, sessions: see `from_pretrained`. options: see `Session`, whose
        errors are raised.
        """
        made = hasattr(gate, 'plan')
        self._new_gate = (lambda _: copy.deepcopy(gate)) if made else gate
        super().__init__(
            vla,
            gate if made else gate(seed),
            unnorm_key,
            seed=seed,
            rooms=Rooms(sessions),
            **options,
        )

    @classmethod
    def from_pretrained(
        cls,
        path: str,
        gate: str | Gate = 'dense',
        device: str = 'cpu',
        dtype: str = 'float32',
        reuse: float | None = 0.5,
        unnorm_key: str | None = None,
        seed: int = 0,
        images: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Policy:
        """
        Load a checkpoint and return a policy for it.

        path: folder, hub id or 'tabletop'; `FOLDER,num_images=1,chunk=25` says of an OpenVLA-OFT
            folder what nothing in it states.
        gate: name of a gate (`caching.gates.GATES`), `name@folder` for a learned one that is
            not in the checkpoint's own folder `gate`, or a gate.
        device: torch device: cpu, cuda or cuda:N.
        dtype: float32, bfloat16 or float16; or of the weights alone int8, or fp8 where the GPU
            has it, see `vla.quantized`.
        reuse: target mean share of visual tokens from the cache, for a gate given by name;
            None leaves it to the gate.
        unnorm_key: data set whose statistics scale the actions; may be left out where the
            checkpoint has one.
        seed: of the random numbers of a gate given by name, and of a head's noise.
        images: in place of what the checkpoint states of its image path: fields of
            `vla.image_path.ImagePath` -> a value, or a sequence with one for each camera.
        options: `sessions`, how many there is room for, this one included, 1 if not given; the
            others are those of `Session`.

        Raises ValueError: unknown gate, device, dtype or decoding, reuse or threads out of range,
            no learned gate there.
        Raises CheckpointError: (a ValueError) what is wrong with the checkpoint or its gate.
        """
        if dtype not in DTYPES:
            raise ValueError(f'dtype: expected one of {", ".join(DTYPES)}, got {dtype!r}')
        check_device(device)
        if isinstance(gate, str):
            # a typing error shows before minutes of loading
            name, folder = split_gate(gate, reuse)
            place = resolve(path)
            if name in LEARNED:
                folder = find_gate(folder or place / FOLDER)
        vla = load_checkpoint(path, dtype=DTYPES[dtype], device=device, images=images)
        if isinstance(gate, str):
            return cls(
                vla,
                lambda seed: gate_for(vla, name, reuse, seed, folder),
                unnorm_key,
                seed=seed,
                **options,
            )
        return cls(vla, gate, unnorm_key, seed=seed, **options)

    def session(self, seed: int | None = None) -> Session:
        """
        Open a session: the same model and kind of gate, a cache of its own, at an episode's begin.

        seed: of its gate and of a head's noise, this policy's if None. It does what a policy does
        that is loaded with that seed. Raises SessionsFullError, with the memory of one, where all
        rooms are taken.
        """
        seed = self._seed if seed is None else seed
        other = copy.copy(self)
        other._open(seed)  # noqa: SLF001 - its own class
        other.gate = self._new_gate(seed)
        other.gate.reset()
        return other
