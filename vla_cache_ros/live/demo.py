# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Show over a running ROS 2 graph what the cache saves: the same instructions, dense and cached.

Starts the processes, runs the episodes, and turns what came back into figures, video and page.
Knows no tensor and no message; the figures are summed up as `evaluate` sums them up.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import math
from pathlib import Path
import shutil
import time
from typing import Any
from typing import Self

from tqdm import tqdm
from vla_cache_ros.bags.reader import Bag
from vla_cache_ros.caching.gates import split_gate
from vla_cache_ros.evaluation.closed_loop import Episode
from vla_cache_ros.evaluation.closed_loop import summarize
from vla_cache_ros.live.bag_frames import frames
from vla_cache_ros.live.bag_frames import Span
from vla_cache_ros.live.demo_page import comparison
from vla_cache_ros.live.demo_page import write_page
from vla_cache_ros.live.graph import COMMANDS
from vla_cache_ros.live.graph import Graph
from vla_cache_ros.live.graph import IMAGES
from vla_cache_ros.live.graph import LOAD_TIMEOUT
from vla_cache_ros.live.graph import POLICY
from vla_cache_ros.live.graph import REPORTS
from vla_cache_ros.live.graph import ROBOT
from vla_cache_ros.live.graph import START_TIMEOUT
from vla_cache_ros.live.operator import GraphError
from vla_cache_ros.live.processes import nodes
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.statistics import percentiles
from vla_cache_ros.reports.video import write_video
from vla_cache_ros.vla.checkpoint import is_causal
from vla_cache_ros.vla.checkpoint import resolve

STEP_TIMEOUT = 0.5  # s of wall clock per control step, on average; slower is given up
VIDEO_RATE = 10.0  # frames a second: the arm's control rate
OUTPUTS = ('report.json', 'report.html', 'demo.mp4')


class DemoGraph(Graph):
    """Take the policy through its life and the robot through episodes."""

    def __enter__(self) -> Self:
        """Wait for the robot."""
        self.wait(lambda: bool(self.status), f'{ROBOT}/episode_status', START_TIMEOUT)
        return self

    def configure(self, **values: object) -> None:
        """
        Load the policy with these parameters and wait until all have found one another.

        Raises ValueError if the node refuses them.
        """
        self.set_parameters(POLICY, **values)
        self.transition(POLICY, 'configure', LOAD_TIMEOUT)
        cameras = len(values.get('image_topics', IMAGES))
        for topic in (*IMAGES[:cameras], REPORTS):
            self.wait_for_subscribers(topic, 2)  # policy and recorder; recorder and this

    def run_episode(self, seed: int) -> tuple[int, int, float]:
        """
        Run one episode from its seed until success or the task's step limit.

        Return its begin and end (ns of the ROS clock) and the seconds of wall clock from the
        instruction to success or the limit; `status` and `reports` are of this episode then.
        """
        before = self.status['episode']
        self.ask_for_episode(seed)
        self.wait(
            lambda: self.status['episode'] > before, f'episode of seed {seed}', START_TIMEOUT
        )
        self.reports.clear()
        self.instruct(self.status['instruction'])
        begin, began = time.time_ns(), time.monotonic()
        self.transition(POLICY, 'activate')
        self.wait(lambda: bool(self.reports), 'the first inference', START_TIMEOUT)
        self._wait_for_end()
        seconds = time.monotonic() - began
        self.transition(POLICY, 'deactivate')
        self.settle(0.5)  # the last step report, and a still picture for the video
        return begin, time.time_ns(), seconds

    def _wait_for_end(self) -> None:
        limit = self.status['max_steps']
        try:
            self.wait(
                lambda: self.status['success'] or self.status['steps'] >= limit,
                'the end of the episode',
                limit * STEP_TIMEOUT,
            )
        except GraphError:
            if self.status['error']:
                raise GraphError(f'{ROBOT}: {self.status["error"]}') from None
            # else the machine is too slow for the arm to get anywhere: an episode not done


@dataclass
class Run:
    """Hold what one gate did: episodes, their spans in the bag, and ms per inference."""

    gate: str
    episodes: list[Episode] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    image_to_command: list[float] = field(default_factory=list)
    overhead: list[float] = field(default_factory=list)

    def add(self, graph: DemoGraph, begin: int, end: int, seconds: float) -> None:
        """Take the episode that the graph has run."""
        status, reports = graph.status, graph.reports
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
                seconds=seconds,
            )
        )
        result = 'success' if status['success'] else 'not done'
        self.spans.append(Span(begin, end, status['instruction'], self.gate, result))
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
    view: str | None = None,
) -> dict[str, Any]:
    """
    Run `episodes` instructions dense, the same ones with `gate`, and write everything to `out`.

    execution: the parameter of that name; a wrong one is refused by the node. view: Rerun file
    to show the run in beside the bag, '' for a viewer, None for neither.
    Returns what report.json holds. Raises ChildProcessError, with the end of a log, when a
    process died or did not do what it was asked (all are ended by then), and ValueError where
    `out/bag` is not a bag and would be lost.
    """
    if view is not None:
        import vla_cache_ros.live.view  # noqa: F401 - a lack of rerun is one line, and now
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
    _drive(runs, checkpoint, chosen, range(seed, seed + episodes), out, view)

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
    view: str | None,
) -> None:
    with nodes(out / 'log') as processes:
        # What stands for cameras, arm and disk has machines of its own beside a real robot.
        processes.start_node('recorder', {'bag_path': out / 'bag'}, niceness=19)
        processes.start_node('sim_robot_node', {}, niceness=19)
        processes.start_node('vla_node', {'model_path': checkpoint})
        if view is not None:
            values = {'path': view} if view else {}
            processes.start_node('view', values, 'vla_cache_ros.live.view', niceness=19)
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
                    run.add(graph, *graph.run_episode(seed))
                    done = sum(episode.success for episode in run.episodes)
                    bar.set_postfix_str(f'{done}/{len(run.episodes)} succeeded')
                    bar.update()
                graph.transition(POLICY, 'cleanup', START_TIMEOUT)


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
