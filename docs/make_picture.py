# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Make the README's moving picture from a demo's bag: one scene, dense and then cached.

    python docs/make_picture.py --demo demo_out --out docs/demo.gif

Plays at the speed of the run. Measures nothing: what is written below the cameras comes from the
step reports in the bag.
"""

import argparse
from collections.abc import Sequence
import json
from pathlib import Path

import numpy as np
from PIL import Image
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.live.bag_frames import frames
from vla_cache_ros.live.bag_frames import Span
from vla_cache_ros.reports.video import draw

IMAGES = ('/image_raw', '/wrist/image_raw')
REPORTS = '/vla_node/step_report'
STATUS = '/sim_robot_node/episode_status'
RATE = 10.0  # frames a second
WIDTH = 672  # px: what a page shows without scaling it again
COLOURS = 255
REST = 900_000_000  # ns that the last picture of an episode stays


def episodes(bag: Bag, seed: int) -> list[Span]:
    """
    Return the episodes of a seed, in the order in which they were driven.

    Raises ValueError if the bag has none that ended well: there is nothing to show.
    """
    spans: list[Span] = []
    begin, gate = 0, ''
    done = True
    for message in bag.messages([REPORTS, STATUS]):
        content = json.loads(message.message.data)
        if message.topic == REPORTS:
            gate = content['gate']
            if content['step'] == 0:
                begin, done = message.time, False
        elif content['success'] and not done:
            done = True
            if content['seed'] == seed:
                end = message.time + REST
                spans.append(Span(begin, end, content['instruction'], gate, 'success'))
    if not spans:
        raise ValueError(f'{bag.path}: expected an episode of seed {seed} that succeeded')
    return spans


def write_gif(pictures: Sequence[np.ndarray], path: Path) -> None:
    """Write uint8 RGB pictures [H, W, 3] with one palette for all: another one each flickers."""
    images = [Image.fromarray(picture) for picture in pictures]
    height = round(images[0].height * WIDTH / images[0].width)
    images = [image.resize((WIDTH, height), Image.Resampling.LANCZOS) for image in images]
    samples = np.concatenate([np.asarray(image) for image in images[:: len(images) // 8]])
    palette = Image.fromarray(samples).quantize(COLOURS, Image.Quantize.MEDIANCUT)
    plain = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    plain[0].save(
        path, save_all=True, append_images=plain[1:], duration=round(1000 / RATE), loop=0
    )


def main() -> None:
    """Read the options and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--demo', type=Path, default=Path('demo_out'), help='folder of a demo')
    parser.add_argument('--out', type=Path, default=Path('docs/demo.gif'))
    parser.add_argument('--seed', type=int, default=2, help='scene to show')
    options = parser.parse_args()
    bag = Bag(options.demo / 'bag')
    spans = episodes(bag, options.seed)
    pictures = [draw(frame) for frame in frames(bag, IMAGES, REPORTS, spans, RATE)]
    write_gif(pictures, options.out)
    size = options.out.stat().st_size / 1e6
    print(f'{options.out}: {len(pictures)} pictures, {len(pictures) / RATE:.1f} s, {size:.2f} MB')


if __name__ == '__main__':
    main()
