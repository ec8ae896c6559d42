# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the node opens to the network, and whether docs/explanation/security.md says it all."""

from dataclasses import fields
import os
from pathlib import Path
import re
import socket
from xml.etree import ElementTree

from fake_policy import FakePolicy
from joint_arm import JOINT_PARAMETERS
from joint_arm import joint_policy
from paths import ROOT
from ros_graph import Graph
from ros_graph import VLA_PARAMETERS
from ros_processes import arguments
from ros_processes import LIVE
from ros_processes import NODE
from ros_processes import Outside
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.ros.duplicate_node import COMMANDS
from vla_cache_ros.ros.vla_node import VLANode

DOCS = ROOT / 'docs'
TCP_LISTEN, UNIX_LISTEN = '0A', 0x10000
# Of DDS: the first, and how many for a domain. Below, from 7000 on, Fast DDS opens one more for
# each participant on the machine.
PORTS = (7400, 250)


def sockets(process):
    """Return (kind, local port, whether it listens) of a process's sockets."""
    inodes = set()
    for link in Path(f'/proc/{process}/fd').iterdir():
        try:
            inodes |= set(re.findall(r'socket:\[(\d+)\]', os.readlink(link)))
        except FileNotFoundError:
            pass  # closed meanwhile
    found = set()
    for kind in ('tcp', 'tcp6', 'udp', 'udp6', 'raw', 'raw6'):
        for line in Path(f'/proc/{process}/net/{kind}').read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                port = int(fields[1].rpartition(':')[2], 16)
                found.add((kind[:3], port, fields[3] == TCP_LISTEN))
    for line in Path(f'/proc/{process}/net/unix').read_text().splitlines()[1:]:
        fields = line.split()
        if fields[6] in inodes:
            found.add(('unix', 0, bool(int(fields[3], 16) & UNIX_LISTEN)))
    return found


def test_a_socket_that_listens_would_be_found():
    with socket.create_server(('127.0.0.1', 0)) as server:
        assert ('tcp', server.getsockname()[1], True) in sockets(os.getpid())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(('127.0.0.1', 0))
        assert ('udp', other.getsockname()[1], False) in sockets(os.getpid())


def test_nothing_listens_but_dds(start):
    with Outside() as graph:
        process = start(NODE, *arguments(**LIVE))
        graph.healthy_start()
        found, domain = sockets(process.pid), int(os.environ['ROS_DOMAIN_ID'])
    assert not [one for one in found if one[2]], 'a socket that accepts connections'
    assert {kind for kind, _, _ in found} <= {'udp', 'unix'}
    first = PORTS[0] + PORTS[1] * domain
    ephemeral = int(Path('/proc/sys/net/ipv4/ip_local_port_range').read_text().split()[0])
    ports = {port for kind, port, _ in found if kind == 'udp'}
    assert any(first <= port < first + PORTS[1] for port in ports)
    others = {port for port in ports if not first <= port < first + PORTS[1]}
    assert all(port >= ephemeral or 7000 <= port < PORTS[0] for port in others), others


def documented():
    """Return (direction, name) -> the condition that docs/explanation/security.md gives."""
    text = (DOCS / 'explanation' / 'security.md').read_text(encoding='utf-8')
    table = text.split('<!-- graph: begin -->')[1].split('<!-- graph: end -->')[0]
    rows = re.findall(
        r'^\| (publish|subscribe|reply) \| `([^`]+)` \| (.*?)\|$', table, re.MULTILINE
    )
    return {(direction, name): condition.strip() for direction, name, condition in rows}


def allowed(enclave):
    """Return (direction, name) that the policy allows to an enclave."""
    root = ElementTree.parse(DOCS / 'security_policy.xml').getroot()
    (found,) = (one for one in root.iter('enclave') if one.get('path').endswith(enclave))
    names = set()
    for rule in found.find('profiles/profile'):
        (direction,) = rule.attrib
        names |= {(direction, one.text) for one in rule}
    return names


def graph_names(policy=None, **parameters):
    """Return (direction, name) of a configured node."""
    policy = policy or FakePolicy()
    with Graph(VLANode, lambda _: policy, parameters={**VLA_PARAMETERS, **parameters}) as graph:
        assert graph.transition('configure')
        outside, node = graph.outside, ('vla_node', '/')
        names = set()

        def complete():
            for direction, ask in (
                ('publish', outside.get_publisher_names_and_types_by_node),
                ('subscribe', outside.get_subscriber_names_and_types_by_node),
                ('reply', outside.get_service_names_and_types_by_node),
                ('request', outside.get_client_names_and_types_by_node),
            ):
                names.update((direction, name) for name, _ in ask(*node))
            return ('subscribe', '/instruction') in names and ('publish', '/rosout') in names

        assert graph.wait(complete)
        complete()
    return names


def test_the_list_of_names_is_that_of_the_running_node():
    twist = graph_names()
    assert allowed('vla_node') == twist
    pose = graph_names(output='pose', gripper_output='none', use_sim_time=True)
    joints = graph_names(joint_policy(), **JOINT_PARAMETERS)
    # of packages that are not installed everywhere
    elsewhere = {
        ('publish', '/joint_trajectory'), ('subscribe', '/tf'), ('subscribe', '/tf_static'),
    }  # fmt: skip
    assert set(documented()) == twist | pose | joints | elsewhere
    for name in (twist ^ pose) | (twist ^ joints) | elsewhere:
        assert documented()[name], f'{name} is not always there'
    assert joints - twist == {('publish', '/joint_position_commands')}
    assert twist - pose == {('publish', '/delta_twist_cmds'), ('publish', '/gripper/commands')}
    assert pose - twist == {('publish', '/target_pose'), ('subscribe', '/clock')}


def test_the_operator_is_allowed_what_the_node_offers_and_no_command_to_the_arm():
    node, operator = allowed('vla_node'), allowed('operator')
    assert {name for direction, name in operator if direction == 'request'} <= {
        name for direction, name in node if direction == 'reply'
    }
    published = {name for direction, name in operator if direction == 'publish'}
    commands = {f'/{topic}' for topic in COMMANDS}
    assert not published & {*commands, '/gripper/commands', '/image_raw'}


def test_what_is_live_can_make_the_arm_no_faster_than_5_m_s_and_change_no_model():
    live = {one.name for one in fields(VLAParameters) if one.metadata['live']}
    assert 'dry_run' in live and not live & {'workspace', 'model_path', 'gate'}
    limits = {one.name: one.metadata['high'] for one in fields(VLAParameters)}
    assert limits['max_linear_velocity'] == 5.0 and limits['max_joint_velocity'] == 20.0
    assert all(
        name == 'dry_run'
        or re.search('timeout|velocity|acceleration|slop|gap|drift|frozen|gripper', name)
        for name in live
    )
