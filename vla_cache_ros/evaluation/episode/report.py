# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Report on a gate at work: film strip, video, page and figures of one episode or of several.

The strip, the video and the plots over time are of the first episode. Knows no gate beyond its
name and what its plans say.
"""

from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm
from vla_cache_ros.evaluation.closed_loop import summarize
from vla_cache_ros.evaluation.episode.figures import phase_figures
from vla_cache_ros.evaluation.episode.figures import phase_line
from vla_cache_ros.evaluation.episode.figures import trace_record
from vla_cache_ros.evaluation.episode.plots import phase_plot
from vla_cache_ros.evaluation.episode.plots import time_plots
from vla_cache_ros.evaluation.episode.strip import draw_strip
from vla_cache_ros.evaluation.episode.trace import GatedActor
from vla_cache_ros.evaluation.episode.trace import record_episode
from vla_cache_ros.evaluation.episode.trace import Trace
from vla_cache_ros.reports.files import begin_folder
from vla_cache_ros.reports.files import check_folder
from vla_cache_ros.reports.files import write_json
from vla_cache_ros.reports.hardware import footer
from vla_cache_ros.reports.page import embedded
from vla_cache_ros.reports.page import write_page
from vla_cache_ros.reports.video import Frame
from vla_cache_ros.reports.video import write_video

OUTPUTS = ('strip.png', 'episode.mp4', 'report.html', 'report.json', 'phases.svg')


def run_report(
    checkpoint: str, gate: str, reuse: float | None, episodes: int, seed: int, out: Path
) -> dict[str, Any]:
    """
    Watch `episodes` episodes of the embedded robot from `seed` on and write `OUTPUTS` to `out`.

    phases.svg is written for more than one episode. Returns what report.json holds. Raises
    ValueError for bad arguments before anything is loaded, OSError where `out` can't be written.
    """
    if episodes < 1:
        raise ValueError(f'episodes: expected at least 1, got {episodes}')
    check_folder(out)
    # imported here: with another policy and environment, write_outputs needs neither
    from vla_cache_ros.environments.tabletop.robot import CAMERAS
    from vla_cache_ros.environments.tabletop.robot import CONTROL_FREQUENCY
    from vla_cache_ros.environments.tabletop.robot import Tabletop
    from vla_cache_ros.policy import Policy

    policy = Policy.from_pretrained(checkpoint, gate=gate, reuse=reuse, seed=seed)
    dense = Policy.from_pretrained(checkpoint, gate='dense')
    begin_folder(out, OUTPUTS)
    env = Tabletop(policy.num_images)
    try:
        for actor in (policy, dense):  # what a first call allocates counts for neither
            actor.act(env.reset(seed))
        traces = watch(policy, dense, env, range(seed, seed + episodes))
    finally:
        env.close()
    figures = write_outputs(
        out, traces, gate, CAMERAS[: policy.num_images], CONTROL_FREQUENCY, reuse=reuse, seed=seed,
        checkpoint=str(checkpoint), execute_steps=env.execute_steps,
    )  # fmt: skip
    print('\n'.join(_summary(figures)))
    for name in OUTPUTS:
        if (out / name).exists():
            print(out / name)
    return figures


def watch(policy: GatedActor, dense: Any, env: Any, seeds: Sequence[int]) -> list[Trace]:
    """Record one episode per seed, the first one with its pictures."""
    traces: list[Trace] = []
    with tqdm(seeds, unit='episode') as bar:
        for seed in bar:
            traces.append(record_episode(policy, dense, env, seed, film=not traces))
            done = sum(trace.episode.success for trace in traces)
            bar.set_postfix_str(f'{done}/{len(traces)} succeeded')
    return traces


def write_outputs(
    out: Path,
    traces: Sequence[Trace],
    gate: str,
    cameras: Sequence[str],
    frequency: float,
    **facts: Any,
) -> dict[str, Any]:
    """
    Write strip, video, page and figures of watched episodes into a folder.

    cameras: their names. frequency: control steps a second, which are the frames of the video.
    facts: further fields of report.json. Returns its content.
    """
    first = traces[0]
    figures = summarize([trace.episode for trace in traces], gate, **facts)
    figures['per_episode'] = [trace_record(trace, len(cameras)) for trace in traces]
    phases = ''
    if len(traces) > 1:
        figures['phases'] = phase_figures(traces)
        phases = phase_plot(figures['phases'], gate)
        (out / 'phases.svg').write_text(phases, encoding='utf-8')
    write_json(out / 'report.json', figures)
    draw_strip(first, cameras).save(out / 'strip.png', optimize=True)
    write_video(video_frames(first), out / 'episode.mp4', frequency)
    write_page(
        out / 'report.html',
        'evaluation/episode/report.html',
        title=f'“{first.instruction}”',
        first=first,
        gate=gate,
        cameras=cameras,
        figures=figures,
        summary=_summary(figures),
        plots=time_plots(first),
        phases=phases,
        strip=embedded(out / 'strip.png'),
        video=embedded(out / 'episode.mp4'),
        footer=footer(figures),
    )
    return figures


def video_frames(trace: Trace) -> Iterator[Frame]:
    """Yield every control step of a filmed episode, with the overlay of its latest inference."""
    starts = np.array([inference.step for inference in trace.inferences])
    for step, images in enumerate(trace.pictures):
        inference = trace.inferences[int(np.searchsorted(starts, step, side='right')) - 1]
        result = ''
        if step == len(trace.pictures) - 1:
            result = 'success' if trace.episode.success else 'not done'
        yield Frame(
            images,
            trace.instruction,
            inference.report.gate,
            inference.active,
            inference.report.reuse,
            inference.report.latency_ms.get('total'),
            result,
        )


def _summary(figures: dict[str, Any]) -> list[str]:
    records = [record for episode in figures['per_episode'] for record in episode['trace']]
    off = [record['translation_difference_mm'] for record in records]
    differences = [record['action_difference'] for record in records]
    lines = [
        f'gate {figures["gate"]}: {figures["successes"]} of {figures["episodes"]} succeeded, '
        f'{figures["inferences"]} inferences',
        f'reuse {figures["reuse_mean"]:.1%}, full refreshes included',
        f'executed actions differ from dense by {np.mean(differences):.4f} (normalised), '
        f'{np.mean(off):.2f} mm an action',
    ]
    for kind, phases in figures.get('phases', {}).items():
        lines.append(f'reuse, {kind}: {phase_line(phases)}')
    return lines
