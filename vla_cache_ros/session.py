# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The corridor: an observation walks in, is checked, planned, computed and leaves as actions.

Order of a step: check -> image path -> gate -> vision towers -> decoder -> actions. Knows neither
ROS nor how a gate chooses or a slot is computed. One thread at a time may use the sessions of a
model.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
import time

import numpy as np
import torch
from vla_cache_ros.caching.engine import SlotEngine
from vla_cache_ros.caching.episode_cache import Invalidation
from vla_cache_ros.caching.gates import Gate
from vla_cache_ros.caching.instructions import GateInstruction
from vla_cache_ros.caching.instructions import Instructions
from vla_cache_ros.caching.plans import full_plan
from vla_cache_ros.caching.recording.graphs import Recorder
from vla_cache_ros.caching.recording.recorded import RecordedEngine
from vla_cache_ros.caching.rooms import Rooms
from vla_cache_ros.caching.work import alone
from vla_cache_ros.caching.work import Steps
from vla_cache_ros.threads import Threads
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport
from vla_cache_ros.vla.checkpoint import LoadedVLA
from vla_cache_ros.vla.flow.guidance import Guidance
from vla_cache_ros.vla.flow.guidance import RealTimeChunking
from vla_cache_ros.vla.images import check_images


class Session:
    """
    Act on one robot's observations with a loaded model, a gate and an episode's cache of its own.

    statistics: bounds of the data set whose units the actions have. images: what is done with
    pictures before the model sees them. cache: the episode cache.
    """

    def __init__(
        self,
        vla: LoadedVLA,
        gate: Gate,
        unnorm_key: str | None = None,
        capture: bool = True,
        decoding: str = 'jacobi',
        reuse_towers: bool | None = None,
        seed: int = 0,
        recorder: Recorder | None = None,
        threads: int = 0,
        flow_steps: int | None = None,
        chunking: RealTimeChunking | None = None,
        rooms: Rooms | None = None,
    ) -> None:
        """
        Join a model and a gate.

        unnorm_key, seed: see `Policy.from_pretrained`.
        capture: run steps that are prepared when the session is made; False runs the layers of
            transformers one by one, for comparison. The actions are the same.
        decoding: `jacobi` or `greedy`, for a causal model's action tokens, which are the same.
        reuse_towers: whether the vision towers too compute active patches alone; None does so
            on a CPU, and runs them whole on a GPU, beside the gate.
        threads: of torch, for the steps of a model on a CPU; 0: as many as others leave free.
        flow_steps: of an action expert's denoising, the checkpoint's own number if None.
        chunking: how such a chunk is held to the rest of the last one, LeRobot's defaults if None.
        recorder: what records steps, on any device; None records CUDA graphs on a GPU alone.
        rooms: where the sessions of the model have their caches; None: there is only this one.

        Raises CheckpointError if the statistics do not fit the model or the key is unknown, and
        SessionsFullError where there is no room.
        """
        self.gate = gate
        self.statistics = vla.statistics(unnorm_key)
        self.images = vla.images
        self._vla = vla
        self._options = {
            'action_dim': len(self.statistics.action),
            'reuse_towers': reuse_towers,
            'decoding': decoding,
            'images': vla.images,
            'flow_steps': flow_steps,
        }
        self._chunking = chunking or RealTimeChunking()
        self._capture, self._recorder = capture, recorder
        gpu = vla.model.like.device.type == 'cuda'
        self.on_threads = nullcontext if gpu else Threads(threads).step
        self._rooms = rooms or Rooms(1)
        self._open(seed)

    def _open(self, seed: int) -> None:
        """Take a room: what of the session no other one shares."""
        self._seed = seed
        self._room: int | None = self._rooms.take()
        model, options = self._vla.model, {**self._options, 'seed': seed}
        if (model.like.device.type == 'cuda' or self._recorder) and self._capture:
            self._engine = RecordedEngine(
                model, recorder=self._recorder, rooms=self._rooms, place=self._room, **options
            )
        else:
            self._engine = SlotEngine(model, capture=self._capture, **options)
        self.cache = self._engine.cache
        self._shapes: tuple[tuple[int, ...], ...] = ()
        self._instructions = Instructions(self._vla.prompt_ids, self._engine.check_prompt)
        self._instruction = GateInstruction(
            self._vla.prompt_ids, model.embed_text, self._engine.device
        )
        self._rooms.size = self.session_bytes

    def close(self) -> None:
        """Give the room back; the session can act no more."""
        if self._room is not None:
            self._rooms.give(self._room)
        self._room = None

    @property
    def session_bytes(self) -> int:
        """Return the memory of one session: keys, values and the pixels they were made of."""
        return self.cache.memory_bytes() + self.cache.pixels.nbytes

    @property
    def family(self) -> str:
        """Return the family of the base model: `openvla`, `openvla-oft`, `cogact` or another."""
        return self._vla.family

    @property
    def summary(self) -> str:
        """Return in one line what the checkpoint is taken for."""
        return self._vla.summary

    @property
    def num_images(self) -> int:
        """Return the cameras the model takes, primary first."""
        return self._engine.layout.cameras

    @property
    def chunk(self) -> int:
        """Return the number of actions that one inference gives."""
        return self._vla.config.chunk

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Return what the cameras are called, in their order; empty where nothing states it."""
        return self._vla.camera_names

    @property
    def takes_rest(self) -> bool:
        """Say whether `act` makes use of what is left of the last chunk."""
        return self._vla.config.flow is not None

    @property
    def proprio_size(self) -> int:
        """Return the length of the robot state the model takes; 0 if it takes none."""
        return self._vla.config.proprio_dim

    @property
    def invalidations(self) -> Mapping[str, int]:
        """Return how often each named cause has invalidated the cache since loading."""
        return dict(self.cache.invalidations)

    @property
    def description(self) -> Mapping[str, str]:
        """Return the fingerprints of the weights that act, the gate's name and the image path."""
        return {
            'checkpoint': self._vla.fingerprint,
            'gate': self.gate.name,
            'gate_weights': getattr(self.gate, 'fingerprint', ''),
            'images': str(self.images),
        }

    def check_instruction(self, instruction: str) -> None:
        """Raise InputError for an instruction the model cannot take; from any thread."""
        self._instructions.ids(instruction)

    def reset(self, cause: str = 'episode_reset') -> None:
        """
        Start an episode: forget the cache and start the gate anew.

        cause: one of `Invalidation`. Raises ValueError for another, listing them.
        """
        self.invalidate(cause)
        self.gate.reset()
        self._shapes = ()

    def invalidate(self, cause: str) -> None:
        """
        Forget what is cached within the episode, for example after a long gap in the images.

        cause: one of `Invalidation`. Raises ValueError for another, listing them.
        """
        known = [item.value for item in Invalidation]
        if cause not in known:
            raise ValueError(f'cause: expected one of {", ".join(known)}, got {cause!r}')
        self.cache.invalidate(cause)

    def prepare(self) -> None:
        """
        Record on a GPU every shape that a step can take, so that none is slow because it is new.

        To be called by the thread that will act, before an episode.
        """
        self._engine.prepare()
        self.cache.invalidate(Invalidation.EPISODE_RESET)

    def act(
        self, observation: Observation, rest: np.ndarray | None = None, delay: int = 0
    ) -> tuple[ActionChunk, StepReport]:
        """
        Return the next actions and a report of the step.

        rest: `[L, A]`, what of the last chunk is still to be executed, which the actions of an
        expert are held to (real-time chunking). delay: how many of them will have been executed
        when this returns.

        Raises InputError: the observation does not fit; the cache is as it was.
        Raises NonFiniteOutputError: the model gave NaN or infinity; the cache is invalid.
        """
        with self.on_threads():
            return alone(self.steps(observation, rest, delay))

    def steps(
        self, observation: Observation, rest: np.ndarray | None = None, delay: int = 0
    ) -> Steps[tuple[ActionChunk, StepReport]]:
        """Do what `act` does, together with other sessions; see `batching`."""
        begin = time.perf_counter()
        guidance = self._guidance(observation, rest, delay)
        ids, shapes, proprio = self._check(observation)
        pixels = self.images.see(observation.images)  # [cams, S, S, 3]
        if self._shapes and shapes != self._shapes:
            self.cache.invalidate(Invalidation.RESOLUTION_CHANGED)
        self._shapes = shapes
        pixel_values = self._engine.encode(pixels, observation.images)
        self._instruction.give(self.gate, observation.instruction)
        preprocessed = time.perf_counter()

        # A GPU looks while the CPU runs the gate, unless the gate may spare it the look.
        blind = getattr(self.gate, 'blind', False)
        features = None if blind else (yield from self._engine.looks(pixel_values, ids))
        looked = time.perf_counter()
        plan = self.gate.plan(pixels, self.cache)
        planned = time.perf_counter()
        if blind and plan.active.any():
            features = yield from self._engine.looks(pixel_values, ids)

        step = self.cache.step
        result = yield from self._engine.steps(
            pixels, pixel_values, ids, proprio, plan, self.gate.probe_layers, features,
            observation.instruction, guidance,
        )  # fmt: skip
        actions = self.statistics.to_actions(result.normalized, observation.proprio)
        report = result.report(
            step,
            self.gate.name,
            {
                'preprocess': 1e3 * (preprocessed - begin),
                'gate': 1e3 * (planned - looked),
                **result.latency_ms,
                'total': 1e3 * (time.perf_counter() - begin),
            },
        )
        return ActionChunk(actions, result.normalized), report

    def shadow(
        self, observation: Observation, step: int, rest: np.ndarray | None = None, delay: int = 0
    ) -> ActionChunk:
        """
        Return what recomputing everything gives, and leave episode, gate and counters alone.

        step: index of the step that it is compared with: a head's noise depends on it. rest,
        delay: its too. The first call allocates one more cache for all sessions of the model; its
        steps are not recorded.
        Raises InputError and NonFiniteOutputError, as `act` does.
        """
        shadow = self._rooms.shadow
        if shadow is None:
            shadow = SlotEngine(self._vla.model, capture=self._capture, **self._options)
            self._rooms.shadow = shadow
        shadow.seed = self._seed
        ids, _, proprio = self._check(observation)
        pixels = self.images.see(observation.images)  # [cams, S, S, 3]
        cache = shadow.cache
        cache.valid, cache.step = False, step
        plan = full_plan(shadow.layout.visual_tokens, 'shadow')
        values = shadow.encode(pixels, observation.images)
        guidance = self._guidance(observation, rest, delay)
        with self.on_threads():
            result = shadow.step(pixels, values, ids, proprio, plan, guidance=guidance)
        actions = self.statistics.to_actions(result.normalized, observation.proprio)
        return ActionChunk(actions, result.normalized)

    def _guidance(
        self, observation: Observation, rest: np.ndarray | None, delay: int
    ) -> Guidance | None:
        """Return what pulls an expert's chunk to the rest of the last one, None without either."""
        flow = self._vla.config.flow
        if flow is None or rest is None or not len(rest):
            return None
        left = torch.from_numpy(self.statistics.to_normalized(rest, observation.proprio))
        return self._chunking.guide(left, delay, flow.chunk, flow.action_size)

    def _check(
        self, observation: Observation
    ) -> tuple[list[int], tuple[tuple[int, ...], ...], np.ndarray | None]:
        """Return prompt ids, image shapes and normalised proprio, or raise InputError."""
        if self._room is None:
            raise ValueError('session: expected an open one, got one that was closed')
        check_images(observation.images, self.num_images, self._vla.camera_names)
        proprio = None
        if self.proprio_size:
            proprio = self.statistics.normalize_proprio(observation.proprio)  # [P]
        flow = self._vla.config.flow
        state = proprio if flow and flow.state_in_prompt else None
        return (
            self._instructions.ids(observation.instruction, state),
            tuple(image.shape for image in observation.images),
            proprio,
        )
