# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Show over a running ROS 2 graph what the cache saves: the same instructions, dense and cached.

Starts the processes, has the episodes run, and turns what came back into figures, video and page.
Knows no tensor and no message: the graph is behind `demo_graph`, and the figures are summed up as
`evaluate` sums them up.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import math
from pathlib import Path
import shutil
from typing import Any

from tqdm import tqdm
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.caching.gates import split_gate
from vla_cache_ros.evaluation.closed_loop import Episode
from vla_cache_ros.evaluation.closed_loop import summarize
from vla_cache_ros.live.bag_frames import frames
from vla_cache_ros.live.bag_frames import Span
from vla_cache_ros.live.demo_graph import DemoGraph
from vla_cache_ros.live.demo_graph import GraphEpisode
from vla_cache_ros.live.demo_page import comparison
from vla_cache_ros.live.demo_page import write_page
from vla_cache_ros.live.graph import COMMANDS
from vla_cache_ros.live.graph import IMAGES
from vla_cache_ros.live.graph import REPORTS
from vla_cache_ros.live.processes import nodes
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.statistics import percentiles
from vla_cache_ros.reports.video import write_video
from vla_cache_ros.vla.checkpoint import is_causal
from vla_cache_ros.vla.checkpoint import resolve

VIDEO_RATE = 10.0  # frames a second: the arm's control rate
OUTPUTS = ('report.json', 'report.html', 'demo.mp4')


@dataclass
class Run:
    """Hold what one gate did: episodes, their spans in the bag, and ms per inference."""

    gate: str
    episodes: list[Episode] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    image_to_command: list[float] = field(default_factory=list)
    overhead: list[float] = field(default_factory=list)

    def add(self, seen: GraphEpisode) -> None:
        """Take one episode as the graph gave it."""
        status, reports = seen.status, seen.reports
        self.episodes.append(
            Episode(
                seed=status['seed'],
                task=status['task'],
                success=status['success'],
                steps=status['steps'],
                reuse=tuple(report['reuse'] for report in reports),
                latency_ms=tuple(report['latency_ms'] for report in reports),
                refreshes=tuple(report['refresh'] for report in reports),
                passes=tuple(report['passes'] for report in reports),
                seconds=seen.seconds,
            )
        )
        result = 'success' if status['success'] else 'not done'
        self.spans.append(Span(seen.begin, seen.end, status['instruction'], self.gate, result))
        self.image_to_command.extend(report['image_to_command_ms'] for report in reports)
        self.overhead.extend(report['overhead_ms'] for report in reports)

    def figures(self, **extra: Any) -> dict[str, Any]:
        """Return the fields of `evaluate`, plus `ros`."""
        worst = max(self.image_to_command, default=math.nan)
        ros = {
            'image_to_command_ms': {**percentiles(self.image_to_command), 'worst': worst},
            'overhead_ms': percentiles(self.overhead),
        }
        return summarize(self.episodes, self.gate, ros=ros, **extra)


def run_demo(
    checkpoint: str,
    gate: str,
    reuse: float | None,
    episodes: int,
    seed: int,
    out: Path,
    execution: str = 'synchronous',
) -> dict[str, Any]:
    """
    Run `episodes` instructions dense, the same ones with `gate`, and write everything to `out`.

    execution: the parameter of that name; a wrong one is refused by the node.
    Returns what report.json holds. Raises ChildProcessError, with the end of a log, when a
    process died or did not do what it was asked (all are ended by then), and ValueError where
    `out/bag` is not a bag and would be lost.
    """
    folder = resolve(checkpoint)  # a wrong name shall not cost the start of three processes
    split_gate(gate, reuse)
    _make_room(out)
    runs = [Run(name) for name in dict.fromkeys(('dense', gate))]
    # dense and cached shall be compared at one rate and reuse, on a slow machine too
    chosen = {'execution': execution, 'degrade': False}
    chosen |= {} if reuse is None else {'reuse': reuse}
    cameras = 2
    if is_causal(folder):  # one camera, one action at a time
        cameras, chosen = 1, {**chosen, 'image_topics': ['image_raw'], 'execute_steps': 1}
    _drive(runs, checkpoint, chosen, range(seed, seed + episodes), out)

    print('rendering the video from the bag ...', flush=True)
    bag, video = Bag(out / 'bag'), out / 'demo.mp4'
    spans = [span for run in runs for span in run.spans]
    pictures = frames(bag, IMAGES[:cameras], REPORTS, spans, VIDEO_RATE)
    write_video(pictures, video, VIDEO_RATE)
    facts = {'seed': seed, 'checkpoint': checkpoint, 'execution': execution}
    report = runs[-1].figures(reuse=reuse, **facts)
    report['dense'] = runs[0].figures(**facts)
    report['ros']['images'] = sum(bag.counts[topic] for topic in IMAGES)
    report['ros']['commands'] = bag.counts[COMMANDS]
    write_json(out / 'report.json', report)
    write_page(out / 'report.html', report, {run.gate: run.episodes for run in runs}, video)
    print(comparison(report).text())
    print(f'\nvideo   {video}\nreport  {out / "report.html"}\nbag     {bag.path}')
    return report


def _drive(
    runs: Sequence[Run],
    checkpoint: str,
    chosen: Mapping[str, Any],
    seeds: Sequence[int],
    out: Path,
) -> None:
    with nodes(out / 'log') as processes:
        # What stands for cameras, arm and disk has machines of its own beside a real robot.
        processes.start_node('recorder', {'bag_path': out / 'bag'}, niceness=19)
        processes.start_node('sim_robot_node', {}, niceness=19)
        processes.start_node('vla_node', {'model_path': checkpoint})
        total = len(runs) * len(seeds)
        with (
            DemoGraph(processes.check) as graph,
            tqdm(total=total, unit='episode', desc='starting') as bar,
        ):
            for run in runs:
                bar.set_description(f'{run.gate}: loading')
                graph.configure(gate=run.gate, **chosen)
                bar.set_description(run.gate)
                for seed in seeds:
                    run.add(graph.run_episode(seed))
                    done = sum(episode.success for episode in run.episodes)
                    bar.set_postfix_str(f'{done}/{len(run.episodes)} succeeded')
                    bar.update()
                graph.cleanup()


def _make_room(out: Path) -> None:
    bag = out / 'bag'
    if bag.exists() and not list(bag.glob('*.mcap')):
        raise ValueError(
            f'{bag}: expected nothing or the bag of an earlier demo; choose another --out'
        )
    shutil.rmtree(bag, ignore_errors=True)
    for name in OUTPUTS:  # a failed run shall not stand beside an earlier one's figures
        (out / name).unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
