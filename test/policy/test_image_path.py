# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Live, along a bag and in the benchmark the same frames are the same pixels to gate and model."""

from collections import Counter
from dataclasses import replace
import json

import bag_samples
from bag_samples import START
from bag_samples import string
from bag_samples import write_bag
from controller_world import World
import numpy as np
import pytest
from sensor_msgs.msg import Image
from tiny_model import write_checkpoint
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.bags.steps import Cadence
from vla_cache_ros.bags.topics import BagTopics
from vla_cache_ros.bags.walk import walk
from vla_cache_ros.environments import Setup
from vla_cache_ros.environments.libero import IMAGE_PATH
from vla_cache_ros.environments.libero import Libero
from vla_cache_ros.policy import Policy
from vla_cache_ros.vla.image_steps import center_crop
from vla_cache_ros.vla.images import ImagePreprocessor

FRAMES = 3


def frames():
    """Return frames [256, 256, 3] as LIBERO renders them, with edges and noise."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:256, :256]
    base = np.stack([x, y, 255 - (x + y) // 2], -1).astype(int)
    made = []
    for index in range(FRAMES):
        picture = base.copy()
        picture[40 + 9 * index : 90, 30:120] = (200, 30, 40)
        made.append(np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8))
    return made


def live(images):
    """Return what the control loop hands to the policy for images on a camera's topic."""
    world = World(image_topics=('image_raw',))
    for index, image in enumerate(images):
        world.time += 10**9
        message = Image(height=256, width=256, encoding='rgb8', step=768, data=image.tobytes())
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(world.time, 10**9)
        world.controller.inputs.take_image('image_raw', message, 0.0)
        world.controller.halt()  # the next image is due
        world.controller._after = world.time
        world.controller.consider()
        world.worker.slot()
        world.controller.collect()
        assert len(world.policy.observations) == index + 1
    return world.policy.observations


def along_bag(images, folder):
    """Return the observations of a bag with the images."""
    messages = [(START, '/instruction', string('go'))]
    for index, image in enumerate(images):
        stamp = START + (index + 1) * 10**9 // 2
        message = bag_samples.of(
            'sensor_msgs/msg/Image', header=bag_samples.header(stamp), height=256, width=256,
            encoding='bgr8', is_bigendian=0, step=768, data=image[..., ::-1].reshape(-1),
        )  # fmt: skip
        messages.append((stamp, '/image_raw', message))
    bag = Bag(write_bag(folder, messages))
    topics = BagTopics(images=('/image_raw',))
    return [step.observation for step in walk(bag, topics, Cadence(0.5), Counter())]


def in_benchmark(images, policy):
    """Return the observations of LIBERO's environment, whose simulator renders the images."""
    setup, observations = Setup.of(policy), []
    for image in images:
        env = object.__new__(Libero)
        env._cameras, env._raw, env._proprio = ('agentview',), setup.raw_images, False
        env._seen, env._last = {'agentview'}, {'agentview_image': image}
        env.execute_steps, env.task = 8, type('Task', (), {'language': 'go'})
        observations.append(env.observe())
    return observations


def seen(policy, observations):
    """Return the pixels [frames, 224, 224, 3] that gate and model get in steps of the policy."""
    pixels, encoded = [], []
    plan, encode = policy.gate.plan, policy._engine.encode
    policy.gate.plan = lambda image, cache: pixels.append(image) or plan(image, cache)
    policy._engine.encode = lambda image, _: encoded.append(image) or encode(image)
    state = policy.statistics.proprio.low if policy.proprio_size else None
    policy.reset()
    for observation in observations:
        policy.act(replace(observation, proprio=state))
    policy.gate.plan, policy._engine.encode = plan, encode
    np.testing.assert_array_equal(pixels, encoded)
    return np.stack(pixels)[:, 0]


def test_the_shipped_libero_model_sees_the_benchmarks_pixels_live_and_along_a_bag(tmp_path):
    images, policy = frames(), Policy.from_pretrained('libero-object', gate='motion')
    wanted = np.stack([IMAGE_PATH(image) for image in images])
    assert np.abs(wanted[0].astype(int) - images[0][::-1, ::-1][16:240, 16:240]).max() > 50
    np.testing.assert_array_equal(seen(policy, in_benchmark(images, policy)), wanted)
    np.testing.assert_array_equal(seen(policy, live(images)), wanted)
    np.testing.assert_array_equal(seen(policy, along_bag(images, tmp_path / 'bag')), wanted)


def test_a_centre_crop_that_is_asked_for_is_the_same_everywhere(tmp_path):
    folder = write_checkpoint(tmp_path / 'model', cameras=1)
    images, plain = frames(), Policy.from_pretrained(folder)
    policy = Policy.from_pretrained(folder, images={'center_crop': 0.9})
    wanted = np.stack([center_crop(image, 0.9) for image in plain.images.see(images)])
    assert (wanted != plain.images.see(images)).mean() > 0.5
    for observations in (live(images), along_bag(images, tmp_path / 'bag')):
        np.testing.assert_array_equal(seen(policy, observations), wanted)


def test_in_the_benchmark_a_checkpoint_that_states_nothing_gets_the_suites_own_path(tmp_path):
    policy = Policy.from_pretrained(write_checkpoint(tmp_path / 'model', cameras=1))
    found = seen(policy, in_benchmark(frames(), policy))
    np.testing.assert_array_equal(found, [IMAGE_PATH(image) for image in frames()])


def test_a_shadow_step_sees_what_the_step_saw(tmp_path):
    folder = write_checkpoint(tmp_path / 'model', cameras=1)
    (observation, *_) = in_benchmark(frames(), Policy.from_pretrained(folder))
    chunks = []
    for share in (1.0, 0.6):
        policy = Policy.from_pretrained(folder, images={'center_crop': share})
        given = replace(observation, proprio=policy.statistics.proprio.low)
        chunk, _ = policy.act(given)
        np.testing.assert_allclose(policy.shadow(given, 0).normalized, chunk.normalized, atol=1e-6)
        chunks.append(chunk.normalized)
    assert np.abs(chunks[0] - chunks[1]).max() > 1e-4


def test_what_is_assumed_and_what_is_stated_is_said(tmp_path):
    folder = write_checkpoint(tmp_path / 'model')
    said = Policy.from_pretrained(folder).description['images']
    assert said.startswith('squash to 224 (bicubic), no centre crop: assumed')
    assert 'image_aug needs center_crop 0.9' in said
    changes = {'rotation': (180, 0), 'center_crop': 0.9, 'resize_mode': 'pad'}
    said = Policy.from_pretrained(folder, images=changes).description['images']
    assert said == (
        'camera 0: turned by 180 degrees, pad to 224 (bicubic), centre crop 0.9; '
        'camera 1: pad to 224 (bicubic), centre crop 0.9'
    )
    said = Policy.from_pretrained('libero-object').description['images']
    assert said == 'turned by 180 degrees, JPEG, squash to 224 (lanczos3), centre crop 0.9'
    for name in ('tabletop', 'tabletop-openvla'):
        said = Policy.from_pretrained(name).description['images']
        assert said == 'squash to 224 (bicubic), no centre crop'


def test_without_the_packages_of_the_benchmark_its_path_is_refused_by_name(monkeypatch):
    images = ImagePreprocessor((), (), (IMAGE_PATH,))
    monkeypatch.setattr('vla_cache_ros.vla.images.find_spec', lambda _: None)
    with pytest.raises(ValueError, match=r"simplejpeg.*pip install 'vla_cache_ros\[libero\]'"):
        images.for_cameras(1, None)


@pytest.mark.parametrize(
    ('stated', 'line'),
    [
        ({'center_crop': True}, 'center_crop: expected 0.01 to 1, found True'),
        ({'center_crop': 0}, 'center_crop: expected 0.01 to 1, found 0'),
        ({'rotation': 45}, 'rotation: expected 0, 90, 180, 270, found 45'),
        ({'resize_mode': 'stretch'}, "resize_mode: expected squash, pad, crop, found 'stretch'"),
        ({'jpeg': 1}, 'jpeg: expected true or false, found 1'),
        ({'zoom': 2}, "image_path: .*unexpected keyword argument 'zoom'"),
        (['squash'], "image_path: expected an object, found 'squash'"),
        ([{}, {}, {}], 'image_path: expected one, or 2, one for each camera, found 3'),
    ],
)
def test_a_path_that_is_none_is_refused_at_load(tmp_path, stated, line):
    folder = write_checkpoint(tmp_path)
    path = folder / 'preprocessor_config.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {'image_path': stated}))
    with pytest.raises(ValueError, match=line):
        Policy.from_pretrained(folder)
