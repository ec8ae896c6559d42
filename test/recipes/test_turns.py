# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Policies take turns, an episode each."""

from recipes.turns import InTurns


class Named:
    """Stand for a policy that says its name."""

    num_images = 1

    def __init__(self, name):
        self.name, self.episodes = name, 0

    def reset(self):
        self.episodes += 1

    def act(self, observation):
        return self.name, observation


def test_each_episode_is_the_next_policys_and_only_that_one_begins():
    policies = [Named('dense'), Named('motion')]
    actor, seen = InTurns(policies), []
    for episode in range(3):
        actor.reset()
        seen += [actor.act(episode), actor.act(episode)]
    assert [name for name, _ in seen] == ['dense'] * 2 + ['motion'] * 2 + ['dense'] * 2
    assert [policy.episodes for policy in policies] == [2, 1]
