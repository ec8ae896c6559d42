# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The layouts of Foxglove and RViz show what a running vla_node hears, says and offers."""

import json
import re

from paths import ROOT
import pytest
from vla_cache_ros.control.vla_parameters import VLAParameters
import yaml

FOXGLOVE = json.loads((ROOT / 'config' / 'foxglove_layout.json').read_text(encoding='utf-8'))
RVIZ = yaml.safe_load((ROOT / 'config' / 'vla.rviz').read_text(encoding='utf-8'))
PANELS = FOXGLOVE['configById']
OTHERS = {'/robot_description', '/vla_node'}  # of a driver; the name of a status


def placed(layout):
    """Return the panels of a Foxglove layout, in order."""
    if isinstance(layout, str):
        return [layout]
    return placed(layout['first']) + placed(layout['second'])


def of(kind):
    """Return the settings of the Foxglove panels of a kind."""
    return [panel for name, panel in PANELS.items() if name.startswith(f'{kind}!')]


def topics(value):
    """Return every topic that a value of either file names, however deep."""
    if isinstance(value, dict):
        return set().union(*map(topics, [*value, *value.values()]))
    if isinstance(value, list):
        return set().union(*map(topics, value))
    found = re.match(r'(/[\w/]+)', value) if isinstance(value, str) else None
    return {found[1]} if found else set()


@pytest.fixture
def running(graph):
    """Return the graph, its node configured."""
    assert graph.transition('configure')
    return graph


@pytest.mark.parametrize('content', [FOXGLOVE, RVIZ], ids=['foxglove', 'rviz'])
def test_every_topic_is_one_of_the_node(running, content):
    pytest.importorskip('nav_msgs.msg')
    node = running.node
    named = topics(content) - OTHERS
    assert len(named) >= 4
    found = [*node.get_topic_names_and_types(), *node.get_service_names_and_types()]
    assert named <= {name for name, _ in found}


def test_panels_that_publish_or_call_do_so_with_the_node_s_types(running):
    kinds = dict(running.node.get_topic_names_and_types())
    for panel in of('Publish'):
        assert panel['datatype'] in kinds[panel['topicName']]
        assert set(json.loads(panel['value'])) == {'data'}
    services = {panel['serviceName'] for panel in of('CallService')}
    assert services == {'/vla_node/pause', '/vla_node/reset', '/vla_node/estop_reset'}


def test_every_panel_has_one_place():
    assert sorted(placed(FOXGLOVE['layout'])) == sorted(PANELS)


def test_curves_are_of_figures_that_diagnostics_tell(graph):
    graph.healthy_start()
    told = graph.outside.health
    assert graph.wait(lambda: told and 'act_ms p50' in told[-1])
    keys = set(re.findall(r'key==\\"([^"\\]+)', json.dumps(PANELS)))
    assert 'stop causes' in keys and len(keys) >= 4
    assert keys <= set(told[-1])


def test_rviz_shows_both_overlays_and_the_path():
    shown = [one for one in RVIZ['Visualization Manager']['Displays'] if one['Enabled']]
    kinds = [one['Class'].rpartition('/')[2] for one in shown]
    assert kinds.count('Image') == 2 and {'Path', 'TF'} <= set(kinds)
    frame = RVIZ['Visualization Manager']['Global Options']['Fixed Frame']
    assert frame == VLAParameters().frame_id == PANELS['3D!scene']['fixedFrame']
