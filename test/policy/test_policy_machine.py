# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""In any order of steps, gates and faults a policy uses nothing of before what made it forget."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from cache_record import Record
from gate_samples import FINGERPRINT
from gate_samples import network
from gate_samples import write_gate
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize
from hypothesis.stateful import invariant
from hypothesis.stateful import rule
from hypothesis.stateful import RuleBasedStateMachine
import numpy as np
import pytest
from tiny_model import write_checkpoint
from vla_cache_ros.caching.episode_cache import Invalidation
from vla_cache_ros.caching.gates import GATES
from vla_cache_ros.caching.gates import make_gate
from vla_cache_ros.caching.patches import patchify
from vla_cache_ros.policy import Policy
from vla_cache_ros.types import Observation
from vla_cache_ros.vla.checkpoint import load_checkpoint
from vla_cache_ros.vla.files.errors import InputError
from vla_cache_ros.vla.files.errors import NonFiniteOutputError
from vla_cache_ros.vla.image_path import ImagePath

LAYERS = 2
SIZES = [(224, 224), (224, 224), (224, 224), (48, 64)]  # of each observation's images
INSTRUCTIONS = ['pick up the red cube', 'put the cube on the green plate']
CAUSES = [cause.value for cause in Invalidation]
PROPRIO = np.linspace(-0.5, 0.5, 8).astype(np.float32)
# a gate whose episodes begin with all tokens, and one whose first steps leave some out
GATE_KINDS = [*GATES, 'learned, half at first']


@cache
def scene(causal):
    """Return a checkpoint, the images that it may see, their patches, and learned gates."""
    cameras = 1 if causal else 2
    with TemporaryDirectory() as folder:
        vla = load_checkpoint(write_checkpoint(Path(folder), causal, layers=LAYERS))
    still = np.random.default_rng(0).integers(0, 256, (cameras, 224, 224, 3), dtype=np.uint8)
    views = []
    for index, (height, width) in enumerate(SIZES):
        images = still[:, :height, :width].copy()
        images[:, 20:70, 5 + 40 * index : 45 + 40 * index] = 250
        views.append(tuple(images))
    patches = [patchify(np.stack([ImagePath()(image) for image in images])) for images in views]
    return vla, views, patches


@cache
def gate_folder(cameras, share):
    folder = TemporaryDirectory()
    write_gate(Path(folder.name), network(cameras=cameras), first_share=share)
    return folder


def gate_of(kind, cameras):
    name, _, half = kind.partition(',')
    folder = Path(gate_folder(cameras, 0.5 if half else 1.0).name)
    return make_gate(
        name, reuse=0.5, layers=LAYERS, folder=folder, fingerprint=FINGERPRINT, cameras=cameras
    )


class Replay:
    """Give the plans that another gate gave."""

    name, probe_layers = 'replay', ()

    def reset(self):
        pass

    def plan(self, pixels, cache):
        return self.next


class PolicyMachine(RuleBasedStateMachine):
    """Act, forget and break; a fresh policy is given the same from each invalidation on."""

    @initialize(causal=st.booleans(), kind=st.sampled_from(GATE_KINDS), towers=st.booleans())
    def begin(self, causal, kind, towers):
        self.causal, self.towers = causal, towers
        self.vla, self.views, self.patches = scene(causal)
        self.policy = Policy(self.vla, gate_of(kind, self.cameras), reuse_towers=towers)
        self.record = Record(256 * self.cameras, LAYERS)
        self.instruction = self.shape = self.twin = None

    @property
    def cameras(self):
        return 1 if self.causal else 2

    def observe(self, view, instruction, **changes):
        return Observation(**{'images': self.views[view], 'instruction': instruction}, **changes)

    def look(self, view):
        """Note that images of another size are no continuation."""
        if self.shape not in (None, SIZES[view]):
            self.record.invalidate('resolution_changed')
        self.shape = SIZES[view]

    def instruct(self, instruction):
        if self.instruction not in (None, instruction) and self.record.valid and not self.causal:
            self.record.invalidate('new_instruction')
        self.instruction = instruction

    @rule(view=st.sampled_from([0, 1, 2, 3]), instruction=st.sampled_from(INSTRUCTIONS))
    def act(self, view, instruction):
        seen = self.observe(view, instruction, proprio=PROPRIO)
        self.look(view)
        plans, decide = [], self.policy.gate.plan

        def plan(*arguments):
            plans.append(decide(*arguments))
            return plans[0]

        with patch.object(self.policy.gate, 'plan', plan):
            chunk, report = self.policy.act(seen)
        self.instruct(instruction)
        if not self.record.valid:
            self.twin = Policy(self.vla, Replay(), reuse_towers=self.towers)
        taken = self.record.taken(plans[0])
        step = self.record.step
        reuse, ages = self.record.apply(taken, view)
        assert (report.step, report.refresh) == (step, taken.refresh)
        assert report.reuse == pytest.approx(reuse)
        assert np.array_equal(report.active, taken.active)
        assert np.array_equal(report.ages, ages)
        self.twin.gate.next = plans[0]
        again, reported = self.twin.act(seen)
        assert np.array_equal(chunk.actions, again.actions)
        assert reported.reuse == report.reuse
        if taken.active.all() and not taken.layers:
            dense = Policy(self.vla, make_gate('dense')).act(seen)[0]
            assert np.abs(chunk.normalized - dense.normalized).max() < 1e-5

    @rule(view=st.sampled_from([0, 1, 3]), instruction=st.sampled_from(INSTRUCTIONS))
    def say_nothing_finite(self, view, instruction):
        self.look(view)
        head = self.vla.model.action_head
        target = (self.vla.model, 'logits') if head is None else (head, 'forward')
        said = getattr(*target)
        with patch.object(*target, lambda *arguments: said(*arguments) * float('nan')):
            with pytest.raises(NonFiniteOutputError):
                self.policy.act(self.observe(view, instruction, proprio=PROPRIO))
        self.instruct(instruction)
        self.record.invalidate('non_finite_output')

    @rule(view=st.sampled_from([0, 1, 3]), error=st.sampled_from([MemoryError, SystemExit]))
    def fail_in_the_projector(self, view, error):
        instruction = self.instruction or INSTRUCTIONS[0]
        self.look(view)
        with patch.object(self.vla.model, 'project', side_effect=error('on purpose')):
            with pytest.raises(error):
                self.policy.act(self.observe(view, instruction, proprio=PROPRIO))
        self.instruct(instruction)
        self.record.invalidate('step_failed')

    @rule(cause=st.sampled_from(CAUSES))
    def reset(self, cause):
        self.policy.reset(cause)
        self.record.invalidate(cause)
        self.shape = None

    @rule(cause=st.sampled_from(['gap_too_long', 'clock_jumped_back', 'camera_count_changed']))
    def invalidate(self, cause):
        self.policy.invalidate(cause)
        self.record.invalidate(cause)

    @rule(kind=st.sampled_from(GATE_KINDS))
    def change_gate(self, kind):
        self.policy.gate = gate_of(kind, self.cameras)

    @rule(kind=st.sampled_from(['cameras', 'dtype', 'words', 'long', 'proprio', 'cause']))
    def misfit(self, kind):
        images, words, state = self.views[0], INSTRUCTIONS[0], PROPRIO
        if kind == 'cause':
            with pytest.raises(ValueError, match='cause: expected one of'):
                self.policy.invalidate('boredom')
            return
        if kind == 'cameras':
            images = images * 2
        elif kind == 'dtype':
            images = (images[0] / 255, *images[1:])
        elif kind == 'words':
            words = ' '
        elif kind == 'long':
            words = 'cube ' * 2500
        elif self.causal:
            return
        else:
            state = PROPRIO[1:]
        with pytest.raises(InputError):
            self.policy.act(Observation(images, words, state))

    @invariant()
    def holds_what_the_record_says(self):
        if hasattr(self, 'record'):
            self.record.check(self.policy.cache, self.patches)
            assert self.policy.invalidations == self.record.invalidations


TestPolicy = PolicyMachine.TestCase
TestPolicy.settings = settings(
    max_examples=30,
    stateful_step_count=10,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
