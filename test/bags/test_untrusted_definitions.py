# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Message definitions that came with a recording become no code and take no hours."""

from pathlib import Path
import sys

from bag_samples import joints
from bag_samples import START
from bag_samples import STORE
from headroom import headroom
import pytest
from rosbags.interfaces import MessageDefinition
from rosbags.interfaces import MessageDefinitionFormat as Format
from vla_cache_ros.bags.records import Deserializer
from vla_cache_ros.bags.records import Record


def deserialized(definition, format_=Format.MSG, kind='a/msg/B', data=bytes([0, 1]) + bytes(10)):
    record = Record('/topic', kind, MessageDefinition(format_, definition), 0, data)
    with headroom(200):
        return Deserializer()(record)


IDL = 'module a { module msg { %s struct B { long x; }; }; };'
SEPARATED = '\n' + '=' * 80 + '\nMSG: '


@pytest.mark.parametrize(
    ('definition', 'format_', 'words'),
    [
        (IDL % 'const long X = ((1));', Format.IDL, 'constants are numbers'),
        (IDL % 'const long X = (1);', Format.IDL, 'constants are numbers'),
        (IDL % 'const long X = 1 << 34359738368;', Format.IDL, 'constants are numbers'),
        (IDL % 'const long X = 9*9*9*9;', Format.IDL, 'constants are numbers'),
        (IDL % ('// a\n' * 3000), Format.IDL, 'at most 2048 lines'),
        ('string[4294967295] x\n', Format.MSG, 'at most 16384 fields'),
        (f'C[65535] x{SEPARATED}a/C\nD[65535] y{SEPARATED}a/D\nuint8 z\n', Format.MSG, 'fields'),
        ('B b\n', Format.MSG, 'Recursion'),
        ('uint8 a\n' * 5000, Format.MSG, 'at most 2048 lines'),
        ('uint8 a\n' + ' ' * 300_000, Format.MSG, 'at most 262144 characters'),
        ('uint8[' + '9' * 5000 + '] a\n', Format.MSG, 'Exceeds the limit'),
    ],
)
def test_a_definition_that_would_take_hours_or_gigabytes_is_refused(definition, format_, words):
    with pytest.raises(ValueError, match=words) as caught:
        deserialized(definition, format_)
    assert '\n' not in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    'old', ['string[] name', 'float64[] position', 'std_msgs/Header', 'int32 sec']
)
def test_a_definition_that_gives_known_types_other_fields_is_refused(old):
    kind = 'sensor_msgs/msg/JointState'
    whole, _ = STORE.generate_msgdef(kind, ros_version=2)
    message = STORE.serialize_cdr(joints(START, 0.5), kind)
    assert list(deserialized(whole, kind=kind, data=bytes(message)).position) == [0.5, 0.5]
    other = {'int32 sec': 'uint32 sec', 'std_msgs/Header': 'std_msgs/String'}.get(old, f'{old}s')
    with pytest.raises(ValueError, match='expected the fields that ROS 2 gives it'):
        deserialized(whole.replace(old, other), kind=kind, data=bytes(message))


def test_definitions_as_ros_writes_them_are_still_understood():
    remarks = '# what it is\n' * 5000
    assert deserialized(f'{remarks}uint8 A=1\nuint8 x\n', data=b'\0\1\0\0\7').x == 7
    idl = (
        'module a { module msg { module B_Constants { const uint8 A = 1; };'
        '@verbatim (language="comment", text="a (b) << c")\n'
        'struct B { @unit (value="m") uint8 x; }; }; };'
    )
    assert deserialized(idl, Format.IDL, data=b'\0\1\0\0\7').x == 7


@pytest.mark.parametrize(
    'kind',
    [
        'a/msg/B"""\nopen("ran", "w")\n',
        "a/msg/B'): (open('ran','w')",
        'B\nMSG: os/system',
        '..',
        '',
    ],
)
@pytest.mark.parametrize(
    'definition',
    [
        'uint8 x\n',
        'string A=""" + open("ran", "w") + """\nuint8 x\n',
        "string A='''\\\nuint8 x\n",
        'uint8 x=open("ran","w")\n',
        'uint8[open("ran","w")] x\n',
        'uint8 x;open("ran","w")\n',
    ],
)
def test_nothing_of_a_definition_becomes_code(tmp_path, monkeypatch, kind, definition):
    monkeypatch.chdir(tmp_path)
    for name, format_ in ((kind, Format.MSG), ('a/msg/B', Format.MSG), (kind, Format.NONE)):
        try:
            deserialized(definition, format_, kind=name, data=b'\0\1\0\0\7')
        except ValueError as error:
            assert '\n' not in str(error)
    assert not Path('ran').exists() and 'ran' not in sys.modules
