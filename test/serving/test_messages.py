# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the wire carries is read back as it was said, and refused by name where it is odd."""

from dataclasses import fields
from dataclasses import replace

import numpy as np
import pytest
from served import METADATA
from vla_cache_ros.serving.messages import camera_keys
from vla_cache_ros.serving.messages import Metadata
from vla_cache_ros.serving.messages import read_actions
from vla_cache_ros.serving.messages import read_invalidations
from vla_cache_ros.serving.messages import read_metadata
from vla_cache_ros.serving.messages import read_report
from vla_cache_ros.serving.messages import to_report
from vla_cache_ros.serving.messages import to_request
from vla_cache_ros.serving.wire import pack
from vla_cache_ros.serving.wire import unpack
from vla_cache_ros.serving.wire import WireError
from vla_cache_ros.types import Observation
from vla_cache_ros.types import StepReport

ACTIVE = np.arange(512) % 3 == 0
REPORT = StepReport(4, 'learned', 0.6, ACTIVE, np.arange(512), 'age', {'total': 12.5}, 2)


def travelled(message):
    """Return a message that went through the wire."""
    return unpack(pack(message))


def test_metadata_come_back_as_they_were():
    assert read_metadata(travelled(METADATA.to_message())) == METADATA
    named = replace(METADATA, camera_names=('a', 'b'), reuse=None, largest_reuse=None)
    assert read_metadata(travelled(named.to_message())) == named


@pytest.mark.parametrize('name', [field.name for field in fields(Metadata)])
def test_metadata_that_lack_something_are_refused_by_name(name):
    message = METADATA.to_message()
    message['vla_cache'][name] = {'odd': 1}
    with pytest.raises(WireError, match=f'metadata: (expected )?{name}.*a map of 1'):
        read_metadata(travelled(message))


def test_another_server_is_told_apart():
    with pytest.raises(WireError, match='connect to vla-cache serve'):
        read_metadata({'action_space': 7})
    with pytest.raises(WireError, match='expected version 1 of the wire, got 2'):
        read_metadata(replace(METADATA, version=2).to_message())
    with pytest.raises(WireError, match='none, or one for each camera'):
        read_metadata(travelled(replace(METADATA, camera_names=('a',)).to_message()))


def test_a_report_comes_back_as_it_was():
    found = read_report(travelled({'report': to_report(REPORT)})['report'])
    for name, value in vars(REPORT).items():
        assert np.array_equal(getattr(found, name), value), name


@pytest.mark.parametrize('name', [field.name for field in fields(StepReport)])
def test_an_odd_report_is_refused_by_name(name):
    with pytest.raises(WireError, match=f'report: {name}: expected'):
        read_report(to_report(REPORT) | {name: b'odd'})


def test_a_report_has_an_age_for_each_token():
    with pytest.raises(WireError, match='as many ages as active tokens'):
        read_report(to_report(REPORT) | {'ages': np.zeros(3, np.int64)})


def test_actions_have_their_shape():
    assert read_actions('actions', np.ones((8, 7)), (8, 7)).sum() == 56
    for odd in (np.ones((7, 8)), np.ones((8, 7), np.float32), None, [[1.0] * 7] * 8):
        with pytest.raises(WireError, match=r'actions: expected float64 \[8, 7\], got'):
            read_actions('actions', odd, (8, 7))


def test_invalidations_are_counts():
    assert read_invalidations({'gap': 3}) == {'gap': 3}
    for odd in ({'gap': -1}, {'gap': True}, [3]):
        with pytest.raises(WireError, match='expected counts by cause'):
            read_invalidations(odd)


def test_cameras_have_the_names_of_openpi_or_those_of_the_checkpoint():
    prefix = 'observation/'
    names = ['image', 'wrist_image', 'wrist_image_2']
    for count in (1, 2, 3):
        assert camera_keys((), count) == tuple(prefix + name for name in names[:count])
    assert camera_keys(('front', 'side'), 2) == ('observation/front', 'observation/side')
    for odd in (('state',), ('a', 'a')):
        with pytest.raises(ValueError, match='names that differ and are not state'):
            camera_keys(odd, len(odd))


def test_a_request_holds_what_the_robot_perceives():
    pictures = (np.zeros((4, 4, 3), np.uint8), np.ones((5, 5, 3), np.uint8))
    message = to_request(Observation(pictures, 'go', np.arange(8.0)), METADATA.cameras)
    assert list(message) == [*METADATA.cameras, 'prompt', 'observation/state']
    assert message['observation/wrist_image'] is pictures[1]
    assert 'observation/state' not in to_request(Observation(pictures, 'go'), METADATA.cameras)


def test_metadata_may_leave_out_what_a_gate_cannot_be_asked():
    message = METADATA.to_message()
    del message['vla_cache']['reuse'], message['vla_cache']['largest_reuse']
    found = read_metadata(travelled(message))
    assert found == replace(METADATA, reuse=None, largest_reuse=None)
