# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The parsers that take bytes, each as a function that a fuzzer calls, with inputs to begin with.

A target returns whatever comes of its bytes, or raises ValueError in one line; anything else is
a crash.
"""

from collections.abc import Callable
from dataclasses import dataclass
import json
from pathlib import Path
import struct

from bag_samples import mcap_record
from bag_samples import mcap_text
from bag_samples import MS
from bag_samples import named_joints
from bag_samples import read
from bag_samples import report
from bag_samples import START
from bag_samples import storage_file
from bag_samples import STORE
from bag_samples import string
from bag_samples import transform
from bag_samples import write_bag
from damaged_checkpoint import members_of
from damaged_checkpoint import rewrite
from encoded_pictures import WHOLE
from gate_samples import FINGERPRINT
from gate_samples import write_gate
import numpy as np
from rosbags.interfaces import MessageDefinition
from rosbags.interfaces import MessageDefinitionFormat as Format
from sensor_msgs.msg import CompressedImage
from served import METADATA
from served import request
from tiny_model import tiny_config
from tiny_model import tiny_statistics
import torch
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.records import Deserializer
from vla_cache_ros.bags.records import NO_DEFINITION
from vla_cache_ros.bags.records import Record
from vla_cache_ros.caching.gates.gate_folder import load_gate_folder
from vla_cache_ros.control.sensing.images import to_rgb
from vla_cache_ros.control.sensing.robot import PoseSource
from vla_cache_ros.control.sensing.robot import StateInput
from vla_cache_ros.control.sensing.states import StateLayout
from vla_cache_ros.control.sensing.transforms import TransformBuffer
from vla_cache_ros.control.step_report import read_report
from vla_cache_ros.serving import messages
from vla_cache_ros.serving.calls import read_call
from vla_cache_ros.serving.wire import pack
from vla_cache_ros.serving.wire import unpack
from vla_cache_ros.types import StepReport
from vla_cache_ros.vla.actions import DatasetStatistics
from vla_cache_ros.vla.config import VLAConfig
from vla_cache_ros.vla.files.json_file import read_json
from vla_cache_ros.vla.files.weights import read_safetensors
from vla_cache_ros.vla.files.weights import read_state_dict
from vla_cache_ros.vla.files.weights import weight_files
import zstandard


@dataclass(frozen=True)
class Target:
    """A parser, what it may begin with, and how long an input may be."""

    parse: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    longest: int


def make_targets(folder: Path) -> dict[str, Target]:
    """Return the targets by name; they write their files into the folder."""
    targets = {
        'step_report': Target(
            lambda data: read_report(data.decode('utf-8', 'replace')),
            (report(1, 2, [START], [START]).data.encode(),),
            4096,
        ),
        'image': Target(
            lambda data: to_rgb(CompressedImage(data=data), 'camera'), tuple(WHOLE), 8192
        ),
        'definition': Target(_define, DEFINITIONS, 4096),
        'joints': _state_target(named_joints(START, left=0.1, right=0.2), ['joint_states']),
        'transforms': _state_target(transform(START, 'base', 'tip', 0.1), ['tf', 'tf_static']),
    }
    return (
        targets
        | _json_targets(folder)
        | _weight_targets(folder)
        | _bag_targets(folder)
        | _wire_targets()
    )


def _state_target(message: object, topics: list[str]) -> Target:
    """Return a target that takes the bytes of such a message, and looks at the state after."""
    kind, store = message.__msgtype__, Deserializer()

    def parse(data):
        state = StateInput(
            StateLayout(('left', 'right')), PoseSource('base', 'tip', TransformBuffer())
        )
        for topic in topics:
            state.take(topic, store(Record(f'/{topic}', kind, NO_DEFINITION, 0, data)))
        return state.problems(START, 0.1), state.newest(0), state.pose()

    return Target(parse, (bytes(STORE.serialize_cdr(message, kind)),), 1024)


def _json_targets(folder: Path) -> dict[str, Target]:
    def through(name, function):
        path = folder / name
        path.parent.mkdir(exist_ok=True)

        def parse(data):
            path.write_bytes(data)
            return function(path)

        return parse

    gate = write_gate(folder / 'gate')
    described = (gate / 'gate.json').read_bytes()
    index = json.dumps({'weight_map': {'a': 'one.safetensors', 'b': 'two.safetensors'}})
    return {
        'config': Target(
            through('config.json', lambda path: VLAConfig.from_dict(read_json(path)).decoder()),
            (json.dumps(tiny_config(layers=1).to_dict()).encode(),),
            8192,
        ),
        'statistics': Target(
            through('statistics.json', lambda path: DatasetStatistics.select(read_json(path))),
            (json.dumps(tiny_statistics()).encode(),),
            4096,
        ),
        'index': Target(
            through('index/model.safetensors.index.json', lambda path: weight_files(path.parent)),
            (index.encode(),),
            4096,
        ),
        'gate': Target(
            through(
                'gate/gate.json',
                lambda path: load_gate_folder(path.parent, fingerprint=FINGERPRINT, cameras=2),
            ),
            (described,),
            4096,
        ),
    }


def _weight_targets(folder: Path) -> dict[str, Target]:
    tensors = folder / 'tensors.pt'
    torch.save({'a': torch.arange(4.0), 'b': torch.zeros(2, 2, dtype=torch.bfloat16)}, tensors)
    whole, members = tensors.read_bytes(), members_of(tensors)
    (pickle,) = (name for name in members if name.endswith('data.pkl'))
    header = (folder / 'gate' / 'gate.safetensors').read_bytes()

    def file(data):
        tensors.write_bytes(data)
        return read_state_dict(tensors)

    def pickled(data):
        return read_state_dict(rewrite(tensors, {**members, pickle: data}))

    def safetensors(data):
        path = folder / 'x.safetensors'
        path.write_bytes(data)
        return dict(read_safetensors(path))

    return {
        'safetensors': Target(safetensors, (header,), len(header)),
        'pt': Target(file, (whole,), 4096),
        'pt_pickle': Target(pickled, (members[pickle],), 2048),
    }


def _bag_targets(folder: Path) -> dict[str, Target]:
    messages = [(START + i * MS, '/instruction', string('go')) for i in range(3)]
    written = {
        name: write_bag(folder / name, messages, name, zstd=False) for name in ('mcap', 'sqlite3')
    }
    mcap, sqlite3 = (storage_file(one).read_bytes() for one in written.values())
    chunk = 8
    while mcap[chunk] != 6:
        chunk += 9 + int.from_bytes(mcap[chunk + 1 : chunk + 9], 'little')
    size = int.from_bytes(mcap[chunk + 41 : chunk + 49], 'little')
    content = mcap[chunk + 49 : chunk + 49 + size]

    def file(suffix):
        path = folder / f'x{suffix}'

        def parse(data):
            path.write_bytes(data)
            return read(Bag(path))

        return parse

    def chunks(data):
        packed = zstandard.compress(data)
        fields = struct.pack('<QQQI', START, START, len(data), 0) + mcap_text(b'zstd')
        fields += struct.pack('<Q', len(packed)) + packed
        return file('.mcap')(mcap[:chunk] + mcap_record(6, fields))

    def metadata(data):
        (written['mcap'] / 'metadata.yaml').write_bytes(data)
        return read(Bag(written['mcap']))

    described = (written['mcap'] / 'metadata.yaml').read_bytes()
    return {
        'mcap': Target(file('.mcap'), (mcap,), 8192),
        'mcap_chunk': Target(chunks, (content,), 4096),
        'sqlite': Target(file('.db3'), (sqlite3,), 65536),
        'bag_metadata': Target(metadata, (described,), 8192),
    }


def _wire_targets() -> dict[str, Target]:
    """Return what a stranger's client, and a stranger's server, may send."""
    report = StepReport(1, 'learned', 0.5, np.ones(4, bool), np.zeros(4, int), '', {'total': 1.0})
    answer = {'id': 1, 'report': messages.to_report(report), 'invalidations': {'gap': 1}}
    extra = {'id': 1, 'rest': np.ones((2, 7)), 'deadline_ms': 80.0}

    def answered(data):
        found = unpack(data).get(messages.KEY)
        found = found if isinstance(found, dict) else {}
        counts = messages.read_invalidations(found.get('invalidations'))
        return messages.read_report(found.get('report')), counts

    return {
        'request': Target(
            lambda data: read_call(unpack(data), METADATA),
            (pack(request(extra, size=4)), pack({messages.KEY: {'id': 2, 'call': 'reset'}})),
            4096,
        ),
        'metadata': Target(
            lambda data: messages.read_metadata(unpack(data)), (pack(METADATA.to_message()),), 4096
        ),
        'answer': Target(answered, (pack({messages.KEY: answer}),), 4096),
    }


DEFINITIONS = (
    b'm# remark\nuint8 A=1\nstring<=5[3] b\nfloat64[] c 1\nstd_msgs/Header h\n',
    b'muint8 x\n' + b'=' * 80 + b'\nMSG: a/C\nB[2] y\n',
    b'imodule a { module msg { module B_Constants { const uint8 A = 1; };\n'
    b'@verbatim (language="comment", text="x")\n'
    b'struct B { sequence<double, 3> x; string y; }; }; };',
)


def _define(data: bytes) -> object:
    kind = Format.IDL if data[:1] == b'i' else Format.MSG
    definition = MessageDefinition(kind, data[1:].decode('utf-8', 'replace'))
    return Deserializer()(Record('/t', 'a/msg/B', definition, 0, bytes([0, 1]) + bytes(62)))
