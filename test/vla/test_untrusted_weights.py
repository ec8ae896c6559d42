# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A `.pt` file that a stranger wrote gives tensors or one line: no code, no memory, no wait."""

import os
from pathlib import Path
import pickle
import struct
import subprocess
import sys
import warnings
import zipfile

from damaged_checkpoint import members_of
from damaged_checkpoint import rewrite
from headroom import headroom
import pytest
import torch
from vla_cache_ros.vla.files.errors import CheckpointError
from vla_cache_ros.vla.files.pickled import MOST
from vla_cache_ros.vla.files.pickled import PICKLE
from vla_cache_ros.vla.files.weights import read_modules
from vla_cache_ros.vla.files.weights import read_state_dict

PLAIN = {'module.a': torch.arange(6.0).reshape(2, 3), 'b': torch.zeros(2, dtype=torch.bfloat16)}


def with_pickle(path, data):
    """Write a file of torch.save whose pickle is another."""
    torch.save(PLAIN, path)
    members = members_of(path)
    return rewrite(path, {k: data if k.endswith('data.pkl') else v for k, v in members.items()})


def fault(path, read=read_state_dict, megabytes=200):
    with headroom(megabytes), pytest.raises(CheckpointError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and '\n' not in message and len(message) < 1000
    assert 'Memory' not in message and 'alloc' not in message
    return message


def test_files_of_tensors_are_read_however_they_were_saved(tmp_path):
    path = tmp_path / 'a.pt'
    parameter = torch.nn.Parameter(torch.zeros(2))
    torch.save({**PLAIN, 'c': parameter, 'd': torch.tensor(1), 'e': torch.ones(2) > 0}, path)
    assert set(read_state_dict(path)) == {'a', 'b', 'c', 'd', 'e'}
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    torch.save(model.state_dict(), path)  # an OrderedDict with metadata
    assert torch.equal(read_state_dict(path)['0.weight'], model[0].weight)
    torch.save({'model': {'one': model.state_dict(), 'two': PLAIN}}, path)
    assert set(read_modules(path)) == {'one', 'two'}
    rewrite(path, members_of(path))
    assert set(read_modules(path)) == {'one', 'two'}


class Command:
    """Pickles to a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


CALLS = [
    (os.system, 'touch ran'),
    (eval, '__import__("os").system("touch ran")'),
    (exec, 'open("ran", "w")'),
    (getattr, os.system, '__call__'),
    (subprocess.Popen, ['touch', 'ran']),
    (torch.load, 'other.pt'),
    (torch.hub.load, 'owner/name', 'model'),
    (torch.jit.load, 'other.pt'),
    (torch.serialization.add_safe_globals, [os.system]),
    (Path, 'ran'),
    (bytearray, 3),
    (set, [1]),
    (complex, 1.0),
    (torch.device, 'cpu'),
]


@pytest.mark.parametrize('call', CALLS, ids=[getattr(call[0], '__name__', '') for call in CALLS])
@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_no_call_from_a_file_is_made(tmp_path, monkeypatch, call, protocol):
    monkeypatch.chdir(tmp_path)
    bad = pickle.dumps({'a': Command(*call)}, protocol=protocol)
    path = with_pickle(tmp_path / 'a.pt', bad)
    for read in (read_state_dict, read_modules):
        assert 'expected a complete file of tensors' in fault(path, read)
    path.write_bytes(bad)  # the format before zip files
    assert 'does not end as a zip file of torch.save' in fault(path)
    assert not (tmp_path / 'ran').exists()


def reduce(name, argument):
    """Return a pickle that calls a name of builtins or torch with an integer."""
    module, _, function = name.rpartition('.')
    call = f'c{module}\n{function}\n'.encode() + b'\x8a\x08' + struct.pack('<q', argument)
    return b'\x80\x02}X\x01\0\0\0a' + call + b'\x85Rs.'


def nested(levels, width):
    """Return a pickle of tuples of tuples, of which there are few: a key that takes forever."""
    data = b'\x80\x02)q\x00'
    for level in range(levels):
        data += b'(' + b'h' + bytes([level]) + (b'h' + bytes([level])) * (width - 1) + b't'
        data += b'q' + bytes([level + 1])
    return data + b'}h' + bytes([levels]) + b'K\x01s.'


LONGEST = ('deep lists', 'many objects')  # to go through
ASKING = {
    'a bytearray': (reduce('builtins.bytearray', 2**33), "found 'builtins.bytearray'"),
    'a tensor class': (reduce('torch.FloatTensor', 2**33), "found 'torch.FloatTensor'"),
    'a sparse tensor': (
        reduce('torch._utils._rebuild_sparse_tensor', 1),
        "found 'torch._utils._rebuild_sparse_tensor'",
    ),
    'a quantised tensor': (
        reduce('torch._utils._rebuild_qtensor', 1),
        "found 'torch._utils._rebuild_qtensor'",
    ),
    'a subclass': (
        reduce('torch._utils._rebuild_wrapper_subclass', 1),
        "found 'torch._utils._rebuild_wrapper_subclass'",
    ),
    'tuples in tuples': (nested(60, 2), f'at most {MOST} objects'),
    'wide tuples in tuples': (nested(6, 200), f'at most {MOST} objects'),
    'deep lists': (b'\x80\x02' + b']' * 10**6 + b'a' * (10**6 - 1) + b'.', 'expected'),
    'many objects': (b'\x80\x02](' + b'}' * (MOST + 1) + b'e.', f'at most {MOST} objects'),
    'a large pickle': (b'\x80\x02' + b'0' * PICKLE + b'.', f'at most {PICKLE} bytes'),
    'an empty stack': (b'\x80\x02a.', 'expected a complete file'),
    'no memo': (b'\x80\x02h\x05.', 'expected a complete file'),
    'a list as key': (b'\x80\x02}]K\x01s.', 'expected a complete file'),
    'no end': (b'\x80\x02}(', 'expected a complete file'),
    'nothing': (b'', 'expected a complete file'),
    'a long string': (b'\x80\x02X\xff\xff\xff\xffa.', 'expected a complete file'),
    'a long number': (b'\x80\x02\x8b\xff\xff\xff\x7fa.', 'expected a complete file'),
    'an extension': (b'\x80\x02\x82\x01.', 'expected a complete file'),
    'another stack global': (b'\x80\x04\x8c\x02os\x8c\x06system\x93.', 'expected a complete'),
    'an integer as name': (b'\x80\x02}K\x01K\x02s.', 'expected a dict of tensors'),
}


@pytest.mark.parametrize(
    'name',
    [pytest.param(name, marks=pytest.mark.slow if name in LONGEST else ()) for name in ASKING],
)
def test_a_pickle_that_asks_for_memory_or_time_is_refused(tmp_path, name):
    data, words = ASKING[name]
    assert words in fault(with_pickle(tmp_path / 'a.pt', data))


def edit_pickle(path, old, new):
    members = members_of(path)
    (name,) = (member for member in members if member.endswith('data.pkl'))
    assert old in members[name]
    members[name] = members[name].replace(old, new, 1)
    return rewrite(path, members)


@pytest.mark.parametrize('read', [read_state_dict, read_modules])
def test_a_tensor_larger_than_its_storage_is_refused(tmp_path, read):
    path = tmp_path / 'a.pt'
    tensors = {'a': torch.arange(4.0)}
    torch.save({'model': {'m': tensors}} if read is read_modules else tensors, path)
    edit_pickle(path, b'K\x00K\x04\x85', b'K\x00J\x00\x00\x00\x40\x85')
    fault(path, read)
    wide = {'a': torch.zeros(1).expand(2**20, 2**20)}  # a view: torch does load it
    torch.save({'model': {'m': wide}} if read is read_modules else wide, path)
    assert 'found 4398046511104' in fault(path, read)
    same = torch.zeros(2**18)
    views = {str(i): same[:] for i in range(200)}
    torch.save({'model': {'m': views}} if read is read_modules else views, path)
    assert 'bytes in all, found 209715200' in fault(path, read, megabytes=300)


def test_a_storage_larger_than_the_file_is_refused(tmp_path):
    path = tmp_path / 'a.pt'
    torch.save({'a': torch.arange(4.0)}, path)
    edit_pickle(path, b'K\x04tq', b'J\x00\x00\x00\x40tq')
    assert 'does not match expected size' in fault(path)


def test_compressed_members_are_refused_whatever_they_become(tmp_path):
    path = tmp_path / 'a.pt'
    torch.save({'a': torch.zeros(2**26)}, path)
    members = members_of(path)
    rewrite(path, members, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20
    del members
    assert 'expected members that are not compressed' in fault(path)


def test_a_zip_that_two_readers_could_read_differently_is_refused(tmp_path):
    path = tmp_path / 'a.pt'
    torch.save(PLAIN, path)
    whole = path.read_bytes()
    other = rewrite(tmp_path / 'b.pt', {'b/data.pkl': pickle.dumps(1, protocol=2)}).read_bytes()
    for data in (
        whole + other,
        whole + b'\0',
        b'\0' + whole,
        whole[:-2] + b'\x05\x00aaaaa',
        whole[:-34] + struct.pack('<Q', 5) + whole[-26:],
        whole[:-50] + struct.pack('<Q', 5) + whole[-42:],
        whole[: len(whole) // 2],
        b'',
        b'PK',
    ):
        path.write_bytes(data)
        assert 'expected a complete file of tensors' in fault(path)
    members = {'a/data.pkl': b'\x80\x02}.', 'b/data.pkl': b'\x80\x02}.'}
    assert 'expected one data.pkl' in fault(rewrite(path, members))


def test_no_other_layout_or_kind_of_tensor_is_taken(tmp_path):
    path = tmp_path / 'a.pt'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        odd = [
            torch.eye(3).to_sparse(),
            torch.eye(3).to_sparse_csr(),
            torch.quantize_per_tensor(torch.zeros(3), 1.0, 0, torch.qint8),
            torch.zeros(3, device='meta'),
            torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
            'text',
            [torch.zeros(2)],
        ]
        for value in odd:
            torch.save({'a': value}, path)
            fault(path)


def test_a_folder_or_a_pipe_is_no_file(tmp_path):
    assert 'expected a regular file' in fault(tmp_path)
    os.mkfifo(tmp_path / 'pipe.pt')
    assert 'expected a regular file' in fault(tmp_path / 'pipe.pt')
    assert sys.modules.get('ran') is None
