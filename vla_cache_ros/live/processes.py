# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Run nodes as child processes in a ROS domain of their own, and leave none behind.

Knows how to start, watch and end a process and where its log is; not what it does.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys

from vla_cache_ros.live.isolation import isolated_domain
from vla_cache_ros.share import share_file

PARAMETERS = 'config/tabletop.yaml'
DRIVERS = ('sim_robot_node', 'gz_arm_node')
TAIL_LINES = 15
_PATIENCE = 5.0  # s a process may take to end after SIGINT before it is killed


def end_process(process: subprocess.Popen) -> None:
    """Interrupt a process unless it has ended; kill it if it does not end within 5 s."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class ProcessDied(ChildProcessError):
    """Say which process ended by itself, how, and what it logged last."""


class Processes:
    """
    Own a set of Python modules that run as processes; a context manager that ends them all.

    folder: emptied; then takes each process's output as <name>.log. environment: variables on
    top of this process's own.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]):
        """Remember where to log; nothing is started yet."""
        self._folder = folder
        self._environment = {**os.environ, 'PYTHONUNBUFFERED': '1', **environment}
        self._running: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> 'Processes':
        """Make the log folder; from here on SIGTERM unwinds this process as Ctrl-C does."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._handler = signal.signal(signal.SIGTERM, _unwind)
        return self

    def __exit__(self, *_: object) -> None:
        """End all processes, newest first."""
        for name in list(reversed(self._running)):
            self.end(name)
        signal.signal(signal.SIGTERM, self._handler)

    def start(
        self, name: str, module: str, arguments: Sequence[str] = (), niceness: int = 0
    ) -> None:
        """Start `python -m module` with arguments; a nice one leaves the processor to others."""
        with self.log(name).open('wb') as sink:
            # Its own group: Ctrl-C reaches this process alone, which then ends the nodes in
            # order, so that the arm gets its stop before the driver goes. Not its own session:
            # Linux weighs sessions against each other and niceness only within one.
            self._running[name] = subprocess.Popen(
                ['nice', '-n', str(niceness), sys.executable, '-m', module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=self._environment,
                process_group=0,
            )

    def start_node(
        self, name: str, values: Mapping[str, object], module: str = '', niceness: int = 0
    ) -> None:
        """Start a node of this package, or of a module, with values laid over PARAMETERS."""
        arguments = ['--ros-args', '--params-file', str(share_file(PARAMETERS))]
        for key, value in values.items():
            text = str(value).lower() if isinstance(value, bool) else value
            arguments += ['-p', f'{key}:={text}']
        room = 'ros.drivers' if name in DRIVERS else 'ros'
        self.start(name, module or f'vla_cache_ros.{room}.{name}', arguments, niceness)

    def check(self) -> None:
        """Raise ProcessDied, with the tail of its log, if a process has ended."""
        for name, process in self._running.items():
            code = process.poll()
            if code is not None:
                raise ProcessDied(f'{name} ended with {_say(code)}; {self.tail(name)}')

    def tail(self, name: str) -> str:
        """Return the last lines that a process logged, and where."""
        lines = self.log(name).read_text(encoding='utf-8', errors='replace').splitlines()
        text = '\n'.join(f'    {line}' for line in lines[-TAIL_LINES:]) or '    (no output)'
        return f'the end of {self.log(name)}:\n{text}'

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self._folder / f'{name}.log'

    def pid(self, name: str) -> int:
        """Return the process id of a running process."""
        return self._running[name].pid

    def end(self, name: str) -> None:
        """Interrupt one process; kill it if it does not end within 5 s."""
        end_process(self._running.pop(name))

    def kill(self, name: str) -> None:
        """Kill one process, which gets no chance to do anything about it."""
        process = self._running.pop(name)
        process.kill()
        process.wait()


@contextmanager
def nodes(log: Path) -> Iterator[Processes]:
    """
    Yield processes that log to a folder and share a ROS domain, which this process joins too.

    What the policy, alive, did not do as it was asked is raised with the end of its log.
    """
    with (
        isolated_domain() as domain,
        Processes(log, {**domain, 'ROS_LOG_DIR': str(log / 'ros')}) as processes,
    ):
        os.environ.update(domain)
        try:
            yield processes
        except ProcessDied:
            raise
        except ChildProcessError as error:
            raise ChildProcessError(f'{error}; {processes.tail("vla_node")}') from None


def _unwind(number: int, _: object) -> None:
    sys.exit(128 + number)


def _say(code: int) -> str:
    return f'exit code {code}' if code >= 0 else f'signal {signal.Signals(-code).name}'
