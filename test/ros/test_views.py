# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""vla_node shows what its model sees and where its actions lead, to whoever looks."""

import cv2
import numpy as np
import pytest
from ros_graph import CAMERAS
from ros_graph import Graph
from ros_graph import VLA_PARAMETERS
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool
from vla_cache_ros.control.messages import stamp_of
from vla_cache_ros.overlay import ACCENT
from vla_cache_ros.overlay import LINE
from vla_cache_ros.overlay import SIZE
from vla_cache_ros.ros import views
from vla_cache_ros.ros.vla_node import VLANode

PATCH = SIZE // 16


def watch(graph, kind, topic):
    """Subscribe to a topic of the node; return the list that takes its messages."""
    found = []
    graph.outside.create_subscription(kind, f'vla_node/{topic}', found.append, 10)
    return found


def pixels(message):
    """Return the RGB pixels of an overlay."""
    assert message.encoding == 'rgb8' and message.step == 3 * message.width
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)


def test_reused_tokens_of_each_camera_are_shaded(graph):
    graph.outside.pictures['wrist/image_raw'].data = bytes([200]) * (48 * 64 * 3)
    overlays = [watch(graph, Image, f'overlay/{camera}') for camera in CAMERAS]
    graph.healthy_start()
    moving = [[], []]

    def inferred():
        for found, shown in zip(overlays, moving, strict=True):
            shown[:] = [m for m in found if not (pixels(m) == ACCENT).all(2).any()]
        return all(moving) and graph.outside.reports

    assert graph.wait(inferred)
    stamps = {stamp for report in graph.outside.reports for stamp in report['image_stamps']}
    for shown, value in zip(moving, (120, 200), strict=True):
        picture = pixels(shown[0])
        assert picture.shape == (SIZE + 2 * LINE, SIZE, 3)
        middles = picture[PATCH // 2 : SIZE : PATCH, PATCH // 2 : SIZE : PATCH, 0]
        assert (middles[:, ::2] == value).all()  # the fake policy recomputes every other token
        assert (middles[:, 1::2] < value - 20).all()
        assert stamp_of(shown[0]) in stamps


def test_nothing_is_drawn_while_nobody_looks(graph, policy, monkeypatch):
    drawn = []
    monkeypatch.setattr(views, 'draw_overlay', lambda *_, **__: drawn.append(1))
    policy.images.see = lambda _: drawn.append(1)
    graph.healthy_start()
    assert graph.wait(lambda: len(graph.outside.reports) >= 5)
    assert not drawn


def test_pictures_are_at_most_ten_a_second(graph, policy):
    assert graph.set_parameter('execute_steps', 1).successful
    assert graph.set_parameter('control_frequency', 50.0).successful
    found = watch(graph, Image, 'overlay/image_raw')
    graph.healthy_start()
    assert graph.wait(lambda: len(found) >= 3)
    begin, before = graph.outside.get_clock().now(), len(found)
    assert graph.wait(lambda: len(found) >= before + 60)
    seconds = 1e-9 * (graph.outside.get_clock().now() - begin).nanoseconds
    assert 60 / seconds < 11  # so many, since the first may have waited before it was seen
    assert len(graph.outside.reports) > len(found)


def test_compressed_overlay_is_the_same_picture(graph):
    raw = watch(graph, Image, 'overlay/image_raw')
    compressed = watch(graph, CompressedImage, 'overlay/image_raw/compressed')
    graph.healthy_start()
    assert graph.wait(lambda: {*map(stamp_of, raw)} & {*map(stamp_of, compressed)})
    stamp = ({*map(stamp_of, raw)} & {*map(stamp_of, compressed)}).pop()
    message = next(m for m in compressed if stamp_of(m) == stamp)
    bgr = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
    other = pixels(next(m for m in raw if stamp_of(m) == stamp))
    assert 'jpeg' in message.format
    assert np.abs(bgr[..., ::-1].astype(int) - other).mean() < 4


def test_stopped_arm_shows_the_newest_pictures_and_the_cause(graph, policy, monkeypatch):
    lines, draw = [], views.draw_overlay
    monkeypatch.setattr(
        views, 'draw_overlay', lambda *a, **k: lines.append((a[2], k['alarm'])) or draw(*a, **k)
    )
    graph.healthy_start()
    found = watch(graph, Image, 'overlay/image_raw')
    assert graph.wait(lambda: found)
    assert lines[-1][0][1] == 'fake   oldest 1 steps' and not lines[-1][1]
    assert graph.call(SetBool, 'vla_node/pause', SetBool.Request(data=True)).success
    assert graph.wait(lambda: lines[-1] == (['episode 1', 'stopped: paused'], True))
    graph.outside.pictures['image_raw'].data = bytes([70]) * (48 * 64 * 3)
    assert graph.wait(lambda: pixels(found[-1])[SIZE // 2, SIZE // 2, 0] == 70)
    assert graph.transition('deactivate') and graph.transition('cleanup')
    assert graph.node.count_publishers('vla_node/overlay/image_raw') == 0


def test_camera_that_never_came_is_shown_as_a_grey_square_with_the_cause(graph, policy):
    graph.outside.pictures['image_raw'] = None
    found = watch(graph, Image, 'overlay/image_raw')
    assert graph.transition('configure') and graph.transition('activate')
    assert graph.wait(lambda: found and (pixels(found[-1]) == ACCENT).all(2).any())
    assert (pixels(found[-1])[10 : SIZE - 10, 10 : SIZE - 10] == 60).all()


def test_picture_that_cannot_be_drawn_leaves_the_arm_moving(graph, policy):
    policy.images.see = lambda _: [][0]
    watch(graph, Image, 'overlay/image_raw')
    graph.healthy_start()
    assert graph.wait(lambda: graph.logged('~/overlay: IndexError'))
    assert graph.wait(graph.outside.moving)


def test_chunk_is_a_path_from_the_measured_pose_in_the_frame_of_the_actions(graph):
    path = pytest.importorskip('nav_msgs.msg').Path
    found = watch(graph, path, 'chunk')
    graph.healthy_start()
    assert graph.wait(lambda: found)
    message = found[-1]
    assert message.header.frame_id == 'base_link' and len(message.poses) == 9
    points = [(p.pose.position.x, p.pose.position.y, p.pose.position.z) for p in message.poses]
    steps = np.arange(9)[:, None] * [0.01, 0.0, -0.02]
    np.testing.assert_allclose(points, [0.5, 0.0, 0.0] + steps, atol=1e-9)
    stamps = [stamp_of(pose) for pose in message.poses]
    assert stamps[0] == stamp_of(message) and set(np.diff(stamps)) == {10**8}


def test_chunk_is_left_out_and_said_where_its_messages_are_not_installed(policy, monkeypatch):
    monkeypatch.setattr(views, 'Path', None)
    with Graph(VLANode, lambda _: policy, parameters=VLA_PARAMETERS) as graph:
        graph.healthy_start()
        assert graph.logged('~/chunk is left out: nav_msgs is not installed')
        assert graph.node.count_publishers('vla_node/chunk') == 0
