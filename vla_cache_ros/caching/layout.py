# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Give every token of the decoder a slot, an address that is fixed for the whole episode.

    bos? | one span for each camera | proprio? | actions | stop? | text, padded | spare

The text stands last so that its padding is a tail: cutting it off needs no mask. The spare slot
takes what no one shall see. Rotary positions
are another matter: they run through the reference's order (text before actions) without gaps.
Knows nothing of the model's weights or of what is cached.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace
import math

import numpy as np
from vla_cache_ros.vla.config import PATCHES_PER_IMAGE
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.files.errors import InputError

TEXT_CAPACITY = 64  # of a prompt as long as a published instruction's; a longer one gets more
ALIGNMENT = 32  # slots; fused kernels want masks and strides in multiples of 8 at the least


@dataclass(frozen=True)
class SlotLayout:
    """
    Hold the spans of one model's slots.

    cameras: images at each step. actions: action slots. proprio, stop: whether there is one slot
    for the robot state and one for the stop token. text_capacity: longest prompt, without BOS.
    tokens: of each camera. lead: slots before the cameras, one for BOS where the prompt does not
    stand behind them as a whole. state_last: whether the state's position is after the text.
    """

    cameras: int
    actions: int
    proprio: bool = False
    stop: bool = False
    text_capacity: int = TEXT_CAPACITY
    tokens: int = PATCHES_PER_IMAGE
    lead: int = 1
    state_last: bool = False

    @classmethod
    def for_model(
        cls, config: VLAConfig, action_dim: int, text_capacity: int = TEXT_CAPACITY
    ) -> SlotLayout:
        """
        Return the layout of a model; `action_dim` counts the tokens of one that decodes such.

        A causal model with a head has no action slots: the head reads the last of the text. Nor
        has one whose expert reads the slots.
        """
        oft, flow = config.oft, config.flow
        if flow is not None:
            # a state in words makes each prompt another length
            capacity = flow.prompt_tokens if flow.state_in_prompt else text_capacity
            return cls(
                cameras=flow.num_images,
                actions=0,
                proprio=flow.state_slot,
                text_capacity=capacity,
                tokens=config.tokens,
                lead=0,
                state_last=flow.state_slot,
            )
        if oft is None:
            actions = action_dim if config.decodes_tokens else 0
            return cls(cameras=1, actions=actions, text_capacity=text_capacity)
        return cls(
            cameras=oft.num_images,
            actions=oft.chunk * oft.action_dim,
            proprio=oft.use_proprio,
            stop=True,
            text_capacity=text_capacity,
        )

    @property
    def visual_tokens(self) -> int:
        """Return the number of visual slots over all cameras."""
        return self.cameras * self.tokens

    @property
    def visual(self) -> range:
        """Return the visual slots, camera after camera, each in raster order."""
        return range(self.lead, self.lead + self.visual_tokens)

    def camera(self, index: int) -> range:
        """Return the slots of one camera."""
        start = self.lead + index * self.tokens
        return range(start, start + self.tokens)

    @property
    def proprio_slots(self) -> range:
        """Return the slot of the robot state, or an empty range."""
        return range(self.visual.stop, self.visual.stop + int(self.proprio))

    @property
    def action_slots(self) -> range:
        """Return the action slots."""
        return range(self.proprio_slots.stop, self.proprio_slots.stop + self.actions)

    @property
    def stop_slots(self) -> range:
        """Return the slot of the stop token, or an empty range."""
        return range(self.action_slots.stop, self.action_slots.stop + int(self.stop))

    @property
    def text(self) -> range:
        """Return the slots of the prompt after BOS, unused ones included."""
        return range(self.stop_slots.stop, self.stop_slots.stop + self.text_capacity)

    @property
    def spare(self) -> int:
        """Return the slot that padding rows write to; no row sees it."""
        return self.text.stop

    @property
    def size(self) -> int:
        """Return the number of slots; none after the spare one is ever used (see ALIGNMENT)."""
        return -(-(self.spare + 1) // ALIGNMENT) * ALIGNMENT

    def check_text(self, tokens: int, most: int | None = None) -> None:
        """Raise InputError for more tokens after BOS than `most`, or than slots if None."""
        most = self.text_capacity if most is None else most
        if not 1 <= tokens <= most:
            raise InputError(
                f'instruction: expected a prompt of 1 to {most} tokens, found {tokens}; shorten it'
            )

    def with_text(self, tokens: int) -> SlotLayout:
        """Return the layout with room for so many tokens; nothing but the spare slot moves."""
        doublings = max(0, math.ceil(math.log2(tokens / self.text_capacity)))
        return replace(self, text_capacity=self.text_capacity << doublings)

    def used(self, tokens: int) -> int:
        """Return the slots in use with a prompt of so many tokens: always the first ones."""
        return self.text.start + tokens

    def positions(self, tokens: int) -> np.ndarray:
        """
        Return the rotary position of each slot in use, int64 `[used(tokens)]`.

        The order is the reference's: bos, images, proprio, text, actions, stop; `state_last` puts
        proprio at the end.
        """
        self.check_text(tokens)
        before = (self.proprio_slots if self.state_last else self.action_slots).start
        tail = self.text.start - before  # actions and stop
        positions = np.arange(self.used(tokens))
        positions[before : self.text.start] += tokens
        positions[self.text.start :] -= tail
        return positions
