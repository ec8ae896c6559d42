# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Take the picture of the overlays: drive the simulated arm, pause it, keep what was published.

    python docs/make_overlay.py --out docs/overlay.png
"""

import argparse
from pathlib import Path
import tempfile

import numpy as np
from PIL import Image as Picture
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool
from vla_cache_ros.live.demo import DemoGraph
from vla_cache_ros.live.graph import IMAGES
from vla_cache_ros.live.graph import POLICY
from vla_cache_ros.live.graph import START_TIMEOUT
from vla_cache_ros.live.processes import nodes

GAP = 12  # px between two pictures


def main() -> None:
    """Read the options, run and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--out', type=Path, default=Path('docs/overlay.png'))
    parser.add_argument('--seed', type=int, default=2, help='scene to show')
    parser.add_argument('--step', type=int, default=6, help='inference to show')
    options = parser.parse_args()
    newest = {}
    with tempfile.TemporaryDirectory() as folder, nodes(Path(folder) / 'log') as processes:
        processes.start_node('sim_robot_node', {})
        processes.start_node('vla_node', {'model_path': 'tabletop', 'gate': 'learned'})
        with DemoGraph(processes.check) as graph:
            for topic in IMAGES:
                overlay = f'{POLICY}/overlay{topic}'
                graph.hear(Image, overlay, lambda m, topic=topic: newest.update({topic: m}))
            graph.ask_for_episode(options.seed)
            graph.wait(lambda: graph.status['seed'] == options.seed, 'the scene', START_TIMEOUT)
            graph.start(graph.status['instruction'])
            graph.wait(lambda: len(graph.reports) > options.step, 'the step', START_TIMEOUT)
            graph.settle(0.2)
            shown = [newest[topic] for topic in IMAGES]
            graph.call(SetBool, f'{POLICY}/pause', SetBool.Request(data=True))
            graph.settle(1.0)
            shown.append(newest[IMAGES[0]])
    views = [np.frombuffer(m.data, np.uint8).reshape(m.height, m.width, 3) for m in shown]
    space = np.full((views[0].shape[0], GAP, 3), 255, np.uint8)
    row = np.hstack([views[0], space, views[1], space, views[2]])
    Picture.fromarray(row).save(options.out, optimize=True)
    print(f'{options.out}: {options.out.stat().st_size / 1e3:.0f} kB')


if __name__ == '__main__':
    main()
