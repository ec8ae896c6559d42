# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The `vla-cache` command: parse arguments, hand over, turn a user's mistake into one line.

A verb is a dataclass whose fields are its options; it imports what it runs when it is called, so
that `--help` is quick and a verb that needs no ROS runs without it. Computes nothing.
"""

from collections.abc import Sequence
from importlib import import_module
import logging
import os
import sys
import textwrap
import traceback
from typing import Any

import tyro
from vla_cache_ros import __version__
from vla_cache_ros.extras import missing

ABOUT = 'Vision-language-action models on robot arms, with a persistent visual token cache.'
VERBS = {  # -> module here, dataclass
    'evaluate': 'evaluate.Evaluate',
    'compare': 'compare.Compare',
    'report': 'report.Report',
    'bench': 'bench.Bench',
    'demo': 'demo.Demo',
    'record': 'record.Record',
    'export': 'export.Export',
    'serve': 'serve.Serve',
    'verify': 'verify.Verify',
    'train gate': 'training.TrainGate',
    'drill stream': 'drill.Stream',
    'drill recorder': 'drill.Recorder',
    'drill drift': 'drill.Drift',
    'drill growth': 'drill.Growth',
    'paper': 'paper.Paper',
}
TRACEBACK_VARIABLE = 'VLA_CACHE_TRACEBACK'
_CONFIG = (
    tyro.conf.UseAppendAction,
    tyro.conf.OmitArgPrefixes,
    tyro.conf.DisallowNone,
    tyro.conf.HelptextFromCommentsOff,
)


def parse(arguments: Sequence[str]) -> Any:
    """
    Return the verb that is asked for, with its options: call it to run it.

    Prints help or version and exits where no verb is asked for. Raises ValueError for an unknown
    verb; exits with code 2, and names the option, where one is wrong.
    """
    for words in (1, 2):
        name = ' '.join(arguments[:words])
        if name in VERBS:
            # A parser each: one of all verbs would load them all, and name no verb in its errors.
            line = arguments[words:]
            return tyro.cli(_verb(name), prog=f'vla-cache {name}', args=line, config=_CONFIG)
    if arguments[:1] == ['--version']:
        print(__version__)
        sys.exit()
    group = [word for word in arguments if word not in ('-h', '--help')]
    names = [name for name in VERBS if name.split()[:-1] == group or not group]
    if not names:
        raise ValueError(f'expected one of {", ".join(VERBS)}, got {" ".join(group)!r}')
    print(f'usage: vla-cache [--version] VERB [--help] ...\n\n{ABOUT}\n')
    for name in names:
        about = textwrap.shorten(_verb(name).__doc__, 80, placeholder=' ...')
        print(f'  {name:<15}{about}')
    sys.exit()


def _verb(name: str) -> Any:
    module, _, kind = VERBS[name].partition('.')
    return getattr(import_module(f'vla_cache_ros.cli.{module}'), kind)


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command line, `sys.argv` if no arguments are given; return the exit code.

    0 after success, 1 where a check did not hold or the program is wrong, 2 after a mistake that
    the user can mend, 130 after Ctrl-C.
    """
    logging.basicConfig(format='vla-cache: %(message)s')
    logging.getLogger('vla_cache_ros').setLevel(logging.INFO)
    try:
        return 1 if parse(sys.argv[1:] if arguments is None else arguments)() is False else 0
    except ChildProcessError as error:  # its message ends with lines of a log: keep them
        print(f'vla-cache: {error}', file=sys.stderr)
        return 1
    except (ValueError, OSError, ModuleNotFoundError) as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            traceback.print_exc()
        print(f'vla-cache: {_one_line(error)}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _one_line(error: Exception) -> str:
    text = missing(error) if isinstance(error, ModuleNotFoundError) else str(error)
    return ' '.join(text.split()) or type(error).__name__
