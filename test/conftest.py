# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several tests share."""

import shutil

from gate_samples import write_gate
from paths import DATA
from property_counts import pytest_collection_modifyitems  # noqa: F401 - hooks, for all tests
from property_counts import pytest_runtest_call  # noqa: F401
from property_counts import pytest_terminal_summary  # noqa: F401
import pytest
import vla_cache_ros.environments.tabletop  # noqa: F401 - says how MuJoCo renders, before MuJoCo comes

GOLDENS = DATA / 'goldens'


@pytest.fixture
def folder(tmp_path):
    """Return the folder of a small learned gate."""
    return write_gate(tmp_path / 'gate')


@pytest.fixture
def policy():
    """Return a policy that needs no model."""
    from fake_policy import FakePolicy

    return FakePolicy()


@pytest.fixture
def graph(policy):
    """Yield vla_node on a live graph of its own, with the fake policy."""
    from ros_graph import Graph
    from ros_graph import VLA_PARAMETERS
    from vla_cache_ros.ros.vla_node import VLANode

    with Graph(VLANode, lambda _: policy, parameters=VLA_PARAMETERS) as graph:
        yield graph


@pytest.fixture
def start():
    """Yield what starts programs as processes of their own, none of which outlives the test."""
    from ros_processes import starting

    with starting() as start:
        yield start


@pytest.fixture(scope='session')
def causal():
    """Return the golden OpenVLA model."""
    from vla_cache_ros.vla.checkpoint import load_checkpoint

    return load_checkpoint(GOLDENS / 'openvla', need_tokenizer=False).model


@pytest.fixture(scope='session')
def oft():
    """Return the golden OpenVLA-OFT model."""
    from vla_cache_ros.vla.checkpoint import load_checkpoint

    return load_checkpoint(GOLDENS / 'oft', need_tokenizer=False).model


@pytest.fixture(scope='session')
def film(tmp_path_factory):
    """Return the golden OpenVLA-OFT model with FiLM."""
    from vla_cache_ros.vla.checkpoint import load_checkpoint

    folder = tmp_path_factory.mktemp('film')
    for path in (*(GOLDENS / 'oft').iterdir(), *(GOLDENS / 'oft' / 'film').iterdir()):
        if path.is_file() and path.suffix != '.npz':
            shutil.copy(path, folder)
    return load_checkpoint(folder, need_tokenizer=False).model


@pytest.fixture(params=['causal', 'oft'])
def model(request):
    """Return each of the two in turn."""
    return request.getfixturevalue(request.param)
