# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
A model server that vla-eval loads: its clients' episodes, each on a session of one policy.

vla-eval's own code keeps the connections, the wire, the buffer of a chunk's actions and the queue
of a batch; this hands each inference to the policy's thread. An episode takes a session when it
starts and gives it back when it ends or its connection is gone, so that there is room for as many
clients at once as there are sessions. Knows no benchmark: see `conventions`.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
import logging
import sys
from typing import Any

from vla_cache_ros.batching import act_together
from vla_cache_ros.batching import Request
from vla_cache_ros.policy import Policy
from vla_cache_ros.serving.vla_eval.conventions import find
from vla_cache_ros.serving.vla_eval.conventions import Needs
from vla_cache_ros.session import Session
from vla_cache_ros.types import ActionChunk
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport
from vla_cache_ros.vla.files.errors import InputError
from vla_eval import specs
from vla_eval.model_servers.base import SessionContext
from vla_eval.model_servers.predict import PredictModelServer
from vla_eval.model_servers.serve import run_server

LOCAL = '127.0.0.1'
_log = logging.getLogger(__name__)


@dataclass
class Episode:
    """Hold an episode under way: whose it is, the session it has, and what its steps reused."""

    context: SessionContext
    policy: Session
    reuse: list[float]


class VlaCacheModelServer(PredictModelServer):
    """Serve a checkpoint with a gate to the benchmarks of vla-eval."""

    def __init__(
        self,
        checkpoint: str = 'libero-object',
        benchmark: str = 'libero',
        gate: str = 'learned',
        reuse: float | None = None,
        device: str = 'cpu',
        dtype: str = 'float32',
        unnorm_key: str | None = None,
        seed: int = 0,
        sessions: int = 1,
        threads: int = 0,
        *,
        chunk_size: int | None = None,
        max_batch_size: int = 1,
        **kwargs: Any,
    ) -> None:
        """
        Load the model and make its sessions.

        Args:
            checkpoint: folder, hub id or a shipped one's name.
            benchmark: how pictures, state and actions are meant, see `conventions.CONVENTIONS`.
            gate: as for `vla-cache evaluate`.
            reuse: target mean share of visual tokens from the cache; None leaves it to the gate.
            device: torch device.
            dtype: of the weights.
            unnorm_key: data set whose statistics scale the actions, where there are several.
            seed: of the gate's and the noise's random numbers; every session's.
            sessions: clients that can run an episode at the same time.
            threads: of torch on a CPU; 0: as many as others leave free.
            chunk_size: actions of an inference that are executed; None: all that it gives.
            max_batch_size: sessions whose steps may run as one batch.
            kwargs: see `PredictModelServer`.

        Raises ValueError: unknown names, or numbers out of range; CheckpointError.

        """
        if sessions < 1:
            raise ValueError(f'sessions: expected at least 1, got {sessions}')
        self._worker = ThreadPoolExecutor(1, 'policy')  # a model's sessions act on one thread
        self._policies = self._on_worker(
            _load, checkpoint, gate, sessions, seed,
            {'reuse': reuse, 'device': device, 'dtype': dtype, 'unnorm_key': unnorm_key,
             'threads': threads},
        )  # fmt: skip
        first = self._policies[0]
        self._needs = Needs.of(first)
        self._convention = find(benchmark, self._needs)
        if chunk_size is None:
            chunk_size = first.chunk
        if not 1 <= chunk_size <= first.chunk:
            raise ValueError(f'chunk_size: expected 1 to {first.chunk}, got {chunk_size}')
        super().__init__(chunk_size=chunk_size, max_batch_size=max_batch_size, **kwargs)
        self._free = list(self._policies)
        self._episodes: dict[str, Episode] = {}
        _log.info('%s, gate %s, %d sessions', first.summary, first.gate.name, sessions)

    def get_action_spec(self) -> dict[str, specs.DimSpec]:
        """Return what an action is made of."""
        named = self._convention.action_spec or {'actions': 'RAW'}
        return {part: getattr(specs, name) for part, name in named.items()}

    def get_observation_spec(self) -> dict[str, specs.DimSpec]:
        """Return what an observation must hold."""
        found = dict.fromkeys(self._convention.names(self._needs), specs.IMAGE_RGB)
        found['language'] = specs.LANGUAGE
        if self._needs.state:
            found['state'] = getattr(specs, self._convention.state_spec)
        return found

    def get_observation_params(self) -> dict[str, Any]:
        """Return the parameters that the benchmark is asked for."""
        return self._convention.asked(self._needs)

    async def on_episode_start(self, config: dict[str, Any], ctx: SessionContext) -> None:
        """
        Start an episode on a session whose cache is empty.

        An episode of the same connection or of the same session id, which nobody ended, ends.
        Raises RuntimeError where all sessions have an episode.
        """
        for name, episode in list(self._episodes.items()):
            if name == ctx.session_id or _one_connection(episode.context, ctx):
                await self._end(name)
        if not self._free:
            raise RuntimeError(
                f'sessions: expected at most {len(self._policies)} clients with an episode at '
                'once, got one more; end an episode, or start the server with more sessions'
            )
        policy = self._free.pop()
        self._episodes[ctx.session_id] = Episode(ctx, policy, [])
        await self._later(policy.reset)
        await super().on_episode_start(config, ctx)

    async def on_observation(self, obs: dict[str, Any], ctx: SessionContext) -> None:
        """Check an observation, also one that a buffered action answers, and have it answered."""
        self._episode(ctx)
        self._convention.check(obs, self._needs)
        await super().on_observation(obs, ctx)

    async def on_episode_end(self, result: dict[str, Any], ctx: SessionContext) -> None:
        """Give the session back, unless the episode is another connection's by now."""
        episode = self._episodes.get(ctx.session_id)
        if episode is not None and episode.context is ctx:
            await self._end(ctx.session_id, result)

    def predict(self, obs: dict[str, Any], ctx: SessionContext) -> dict[str, Any]:
        """Return the chunk of one observation; called on a thread of the framework's."""
        return self._on_worker(self._answer, obs, ctx)

    def predict_batch(
        self, obs_batch: list[dict[str, Any]], ctx_batch: list[SessionContext]
    ) -> list[Any]:
        """Return the chunks of several sessions' observations, an error in place of a chunk."""
        return self._on_worker(self._answer_together, obs_batch, ctx_batch)

    def step(self, policy: Session, observation: Observation) -> tuple[ActionChunk, StepReport]:
        """Act on one observation; on the policy's thread."""
        return policy.act(observation)

    def _normalize_result(self, result: Any, ctx: SessionContext) -> dict[str, Any]:
        """Raise what `predict_batch` gave for a session, so that only this session is told."""
        if isinstance(result, Exception):
            raise result
        return super()._normalize_result(result, ctx)

    def _answer(self, sent: dict[str, Any], context: SessionContext) -> dict[str, Any]:
        request = self._request(sent, context)
        return self._actions(context, self.step(request.policy, request.observation))

    def _answer_together(self, sent: list[Any], contexts: list[SessionContext]) -> list[Any]:
        answers: list[Any] = []
        for one, context in zip(sent, contexts, strict=True):
            try:
                answers.append(self._request(one, context))
            except InputError as error:
                answers.append(error)
        places = [at for at, answer in enumerate(answers) if isinstance(answer, Request)]
        found = act_together([answers[at] for at in places])
        for at, result in zip(places, found, strict=True):
            if not isinstance(result, Exception):
                result = self._actions(contexts[at], result)
            answers[at] = result
        return answers

    def _request(self, sent: dict[str, Any], context: SessionContext) -> Request:
        policy = self._episode(context).policy
        return Request(policy, self._convention.observation(sent, self._needs))

    def _actions(
        self, context: SessionContext, result: tuple[ActionChunk, StepReport]
    ) -> dict[str, Any]:
        chunk, report = result
        episode = self._episodes.get(context.session_id)
        if episode is not None and episode.context is context:  # none has taken its place since
            episode.reuse.append(report.reuse)
        return {'actions': self._convention.actions(chunk.actions)}

    def _episode(self, context: SessionContext) -> Episode:
        """Return a client's episode; raises InputError where it has none."""
        episode = self._episodes.get(context.session_id)
        if episode is None or episode.context is not context:
            why = 'none' if episode is None else 'one that another client has started since'
            raise InputError(
                f'observation: expected an episode under way, got {why}; send EPISODE_START, '
                'with a recording.sid of your own'
            )
        return episode

    async def _end(self, session: str, result: dict[str, Any] | None = None) -> None:
        episode = self._episodes.pop(session)
        await super().on_episode_end(result or {}, episode.context)
        self._free.append(episode.policy)
        if episode.reuse:
            mean = 100 * sum(episode.reuse) / len(episode.reuse)
            _log.info('episode of %d inferences, reuse %.1f %%', len(episode.reuse), mean)

    def _on_worker(self, call: Callable, *arguments: Any) -> Any:  # noqa: ANN401
        return self._worker.submit(call, *arguments).result()

    async def _later(self, call: Callable) -> None:
        await asyncio.get_running_loop().run_in_executor(self._worker, call)


def _load(
    checkpoint: str, gate: str, sessions: int, seed: int, options: dict[str, Any]
) -> list[Session]:
    """Return the sessions of a model, ready to act; all have one seed, so it matters not whose."""
    first = Policy.from_pretrained(checkpoint, gate, seed=seed, sessions=sessions, **options)
    policies = [first, *(first.session(seed=seed) for _ in range(sessions - 1))]
    for policy in policies:
        policy.prepare()
    return policies


def _one_connection(one: SessionContext, other: SessionContext) -> bool:
    """Say whether two contexts are of one connection, which has one function that answers."""
    return one._send_action_fn is not None and one._send_action_fn is other._send_action_fn


def main() -> int:
    """
    Serve, on this machine alone unless a host is given; options as vla-eval's servers have.

    Returns the exit code: 2 where a setting or a checkpoint is wrong, which is said in one line.
    """
    sys.argv[1:1] = [f'--host={LOCAL}']
    try:
        run_server(VlaCacheModelServer)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
