# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Start the model server, or say what it lacks: `python -m vla_cache_ros.serving.vla_eval`."""

import sys

from vla_cache_ros.extras import missing

if __name__ == '__main__':
    try:
        from vla_cache_ros.serving.vla_eval.server import main
    except ModuleNotFoundError as error:
        print(missing(error), file=sys.stderr)
        sys.exit(2)
    sys.exit(main())
