# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node says what is done with pictures, and which camera has lost its colours."""

import json
import re

import numpy as np
import pytest
from ros_graph import CAMERAS
from ros_graph import Graph
from ros_graph import picture
from ros_graph import VLA_PARAMETERS
from std_msgs.msg import String
from vla_cache_ros.control.image_parameters import image_names
from vla_cache_ros.control.vla_parameters import VLAParameters
from vla_cache_ros.ros.loading import load_policy
from vla_cache_ros.ros.qos import LATCHED
from vla_cache_ros.ros.vla_node import VLANode
from vla_cache_ros.vla.image_path import ImagePath


def coloured():
    made = picture()
    made.data = np.tile(np.array([90, 120, 60], np.uint8), 64 * 48).tobytes()
    return made


def test_the_image_path_is_said_at_load_and_published(graph, policy):
    told = []
    graph.outside.create_subscription(String, 'vla_node/run_info', told.append, LATCHED)
    assert graph.transition('configure')
    assert graph.wait(lambda: graph.logged('images: as they come') and told)
    assert json.loads(told[-1].data)['policy']['images'] == policy.description['images']


def test_a_gray_camera_is_said_once_and_stays_in_diagnostics_until_it_has_colours(graph):
    graph.outside.pictures = {CAMERAS[0]: coloured(), CAMERAS[1]: picture(encoding='mono8')}
    graph.healthy_start()
    line, health = f'pictures without colour: {CAMERAS[1]}', graph.outside.health
    assert graph.wait(lambda: health and line in health[-1]['message'])
    assert health[-1]['pictures without colour'] == CAMERAS[1]
    before = len(graph.outside.reports)
    assert graph.wait(lambda: len(graph.outside.reports) > before + 3)
    said = [text for text in graph.outside.log if 'pictures without colour' in text]
    assert len(said) == 1 and said[0].startswith(CAMERAS[1])
    graph.outside.pictures[CAMERAS[1]] = coloured()
    assert graph.wait(lambda: health[-1]['pictures without colour'] == 'none')
    assert 'colour' not in health[-1]['message']
    assert graph.wait(graph.outside.moving)


def test_images_of_no_order_are_taken_once_the_order_is_named(policy):
    for order, flip in (('rgb8', 1), ('bgr8', -1)):
        parameters = VLA_PARAMETERS | {'encoding_8uc3': order}
        with Graph(VLANode, lambda _: policy, parameters=parameters) as graph:
            for topic in CAMERAS:
                graph.outside.pictures[topic] = coloured()
                graph.outside.pictures[topic].encoding = '8UC3'
            graph.healthy_start()
            seen = policy.observations[-1].images[0]
            assert seen[5, 5].tolist() == [90, 120, 60][::flip]


@pytest.mark.parametrize(
    ('wrong', 'line'),
    [
        ({'image_rotation': (45.0,)}, 'image_rotation: expected multiples of 90, .*got .45.0'),
        ({'image_rotation': (0.0, 90.0, 0.0)}, 'image_rotation: expected .*got .0.0, 90.0, 0.0'),
        ({'image_transport': ('raw', 'raw', 'raw')}, 'image_transport: expected one, or one for'),
    ],
)
def test_lists_that_do_not_fit_the_cameras_are_refused(wrong, line):
    both = VLAParameters(image_topics=CAMERAS, image_rotation=(0.0, 180.0))
    assert both.contradiction() == ''
    assert re.match(line, VLAParameters(image_topics=CAMERAS, **wrong).contradiction())


def test_names_of_images_follow_each_cameras_transport():
    assert image_names(['a', 'b'], ['raw', 'compressed']) == ['a', 'b/compressed']
    assert image_names(['a', 'b'], ['compressed']) == ['a/compressed', 'b/compressed']


def test_parameters_go_before_what_the_checkpoint_states():
    stated = load_policy(VLAParameters(model_path='libero-object')).images.walked
    assert stated == (ImagePath(180, jpeg=True, resize_filter='lanczos3', center_crop=0.9),)
    parameters = VLAParameters(
        model_path='libero-object',
        image_rotation=(0.0,),
        resize_mode='crop',
        resize_filter='bicubic',
        center_crop=1.0,
    )
    assert load_policy(parameters).images.walked == (ImagePath(0, jpeg=True, resize_mode='crop'),)
