# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Make the shipped models again: `python -m recipes demos|towers|sight|base|distance|adaptive`.

To be run from a checkout; the folders of the models hold the commands. Parses and hands over.
"""

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import sys
from typing import Annotated
from typing import Any
from typing import Literal

import tyro

from recipes.domains import DOMAINS
from recipes.domains import named_domain

Env = Literal[*DOMAINS]
Paths = Annotated[tuple[Path, ...], tyro.conf.UseAppendAction]


@dataclass(frozen=True)
class Demos:
    """Have a scripted expert label frames of the simulated arm, or of LIBERO."""

    out: Path
    """Folder for the shards."""
    frames: int = 10_000
    """Frames to write."""
    seed: int = 0
    """Seed of the first episode."""
    student: str | None = None
    """Checkpoint that acts while the expert labels (DAgger)."""
    gate: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Gate that the student acts with, dense if none; of several each has an episode in turn."""
    reuse: float | None = None
    """What gates are asked for."""
    env: Env = 'tabletop'
    """What the demonstrations are of."""
    suite: Literal['libero_object', 'libero_spatial', 'libero_goal', 'libero_10'] | None = None
    """Suite of LIBERO, where the demonstrations are of one."""
    tasks: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Name or number of a task of the suite; may be repeated, all without; each takes 0.8 GB."""

    def __call__(self) -> None:
        """Collect them; raises ValueError for options that miss their counterpart."""
        import numpy as np

        if (self.env == 'tabletop') != (self.suite is None) or (self.tasks and not self.suite):
            raise ValueError('--suite and --tasks: expected with --env libero, and only there')
        given: dict[str, Any] = {}
        if self.suite is None:
            from recipes.tabletop import demonstrations as source
        else:
            from recipes.libero import demonstrations as source

            given = {'domain': named_domain(self.env), 'suite': self.suite, 'tasks': self.tasks}
        if self.student is None and (self.gate or self.reuse is not None):
            raise ValueError(
                '--gate and --reuse: expected a --student that acts with it, got none'
            )
        rng = np.random.default_rng(self.seed)
        if self.student is None:
            actor = source.disturbed_expert(rng)
        else:
            from vla_cache_ros.policy import Policy

            from recipes.turns import InTurns

            asked = [(gate, None if gate == 'dense' else self.reuse) for gate in self.gate]
            policies = [
                Policy.from_pretrained(self.student, gate=gate, reuse=reuse)
                for gate, reuse in asked or [('dense', None)]
            ]
            for policy in policies:
                policy.images = policy.images.as_seen()  # the source has walked their path
            actor = source.model_actor(InTurns(policies), rng)
        share = source.collect(self.out, self.frames, self.seed, actor, **given)
        print(f'{self.frames} frames in {self.out}; {share:.1%} of the episodes succeeded')


@dataclass(frozen=True)
class Towers:
    """Teach the vision tower what the patches show (stage 1)."""

    data: Paths
    """Folder of demonstrations; may be repeated."""
    out: Path
    """Folder for weights and curves; a run there goes on."""
    steps: int = 1500
    """Updates in total."""
    batch: int = 12
    """Frames per update."""
    seed: int = 0
    """Seed of everything random."""
    checkpoint: str | None = None
    """Whose tower to begin with, instead of random weights."""
    model: Literal['tabletop', 'tabletop-pi'] = 'tabletop'
    """Whose sizes the tower has; that of tabletop-pi begins as the one of tabletop."""
    env: Env = 'tabletop'
    """What the demonstrations are of."""

    def __call__(self) -> None:
        """Train."""
        from recipes.towers import train_towers

        train_towers(**vars(self))


@dataclass(frozen=True)
class Sight:
    """Sharpen a tower's sight of the arm; `torchrun` shares the work."""

    data: Paths
    """Folder of demonstrations; may be repeated."""
    out: Path
    """Folder for weights and curves; a run there goes on."""
    checkpoint: str = 'tabletop'
    """Whose tower to train on."""
    until: int = 1000
    """Updates in total."""
    batch: int = 16
    """Frames per update and process."""
    peak: float = 1e-3
    """Peak learning rate."""
    full_from: int | None = None
    """Take all patches from this update on."""
    seed: int = 0
    """Seed of everything random."""

    def __call__(self) -> None:
        """Train."""
        from recipes.tabletop_openvla.front_tower import sharpen_tower

        sharpen_tower(**vars(self))


@dataclass(frozen=True)
class Base:
    """Teach the decoder to act as the expert does (stage 2); `torchrun` shares the work."""

    data: Paths
    """Folder of demonstrations; may be repeated."""
    out: Path
    """Folder for weights and curves; a run there goes on."""
    towers: Path | None = None
    """towers.pt of stage 1, or of `sight`."""
    until: int = 4000
    """Updates in total after this phase."""
    batch: int = 8
    """Frames per update and process."""
    keep: int = 80
    """Visual tokens per frame."""
    peak: float = 1e-3
    """Peak learning rate."""
    full_every: int | None = None
    """Take all visual tokens at every N-th update."""
    checkpoint: str | None = None
    """Finished checkpoint to train on; with towers, one of another domain to begin with."""
    model: Literal['tabletop', 'tabletop-openvla', 'tabletop-pi'] = 'tabletop'
    """Whose sizes the model has."""
    held: Paths = ()
    """Demonstrations not to learn from, to measure tabletop-pi on."""
    layers: int = 32
    """Decoder layers of tabletop-openvla; a run can go deeper."""
    stale: float = 0.0
    """Largest share of tokens shown as they were earlier."""
    seed: int = 0
    """Seed of everything random."""
    env: Env = 'tabletop'
    """What the demonstrations are of."""

    def __call__(self) -> None:
        """Train one phase."""
        given = self.data, self.out
        start = {'towers': self.towers, 'seed': self.seed}
        if self.model == 'tabletop-pi':
            from recipes.tabletop_pi.flow_base import FlowTrainer

            trainer = FlowTrainer(*given, **start, held=self.held)
        elif self.model == 'tabletop':
            from recipes.base import BaseTrainer

            domain = named_domain(self.env)
            trainer = BaseTrainer(
                *given, **start, start=self.checkpoint, domain=domain, stale=self.stale
            )
        else:
            from recipes.tabletop_openvla.token_base import TokenTrainer

            trainer = TokenTrainer(*given, self.layers, **start, start=self.checkpoint)
        trainer.train(self.until, self.batch, self.keep, self.peak, self.full_every)


@dataclass(frozen=True)
class Distance:
    """Measure how far cached actions are from dense ones on held-out recordings."""

    data: Paths
    """Folder of demonstrations; may be repeated."""
    gates: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(name='gate')]
    """Gate, effects or effects-when-new; may be repeated."""
    reuses: Annotated[tuple[float, ...], tyro.conf.UseAppendAction, tyro.conf.arg(name='reuse')]
    """What it is asked for; may be repeated."""
    checkpoint: str = 'tabletop'
    """Model that the gates belong to."""
    recordings: int = 30
    """Held-out recordings to use."""
    json: Path | None = None
    """File for the figures."""
    execute_steps: int = 4
    """Actions of a chunk that the robot carries out."""

    def __call__(self) -> None:
        """Measure."""
        from recipes.distance import run_distance

        run_distance(**vars(self))


@dataclass(frozen=True)
class Adaptive:
    """Measure what a share that adapts to each step gains over a fixed one of the same mean."""

    data: Paths
    """Folder of demonstrations; may be repeated."""
    gates: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(name='gate')]
    """learned[@FOLDER], effects (knows what tokens do) or effects-weighed; may be repeated."""
    reuses: Annotated[tuple[float, ...], tyro.conf.UseAppendAction, tyro.conf.arg(name='reuse')]
    """Mean reuse that it is asked for; may be repeated."""
    checkpoint: str = 'tabletop'
    """Model that the gates belong to."""
    recordings: int = 40
    """Recordings to use, the last ones; a quarter of them calibrates effects."""
    json: Path | None = None
    """File for the figures."""
    execute_steps: int = 4
    """Actions of a chunk that the robot carries out."""

    def __call__(self) -> None:
        """Measure."""
        from recipes.adaptive import run_adaptive

        run_adaptive(**vars(self))


RECIPES = {
    'demos': Demos,
    'towers': Towers,
    'sight': Sight,
    'base': Base,
    'distance': Distance,
    'adaptive': Adaptive,
}


def parse(arguments: Sequence[str] | None = None) -> Callable[[], None]:
    """Return the recipe that is asked for, with its options: call it to run it."""
    return tyro.extras.subcommand_cli_from_dict(
        RECIPES, prog='python -m recipes', description=__doc__, args=arguments
    )


def main() -> None:
    """Run one recipe; exit code 2 after a mistake that the user can mend, told in one line."""
    try:
        parse()()
    except (ValueError, OSError) as error:
        print(f'recipes: {" ".join(str(error).split())}', file=sys.stderr)
        sys.exit(2)


if __name__ == '__main__':
    main()
