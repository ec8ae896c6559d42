#!/bin/bash
# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
# Whether a share that adapts to each step is worth more than a fixed one, on frames that no model
# and no gate has learned from; docs/measured/libero.md tells what came of it. Forty minutes of two
# cores.
source "$(dirname "$0")/rounds.sh"

# unseen NAME SUITE FRAMES SEED: dense episodes of the shipped model
unseen() {
  suite=libero_$2
  dense="--gate dense --student libero-$2"
  frames "$1a" "$3" "$4" 0,1,2,3,4 $dense
  frames "$1b" "$3" $(($4 + 1000000)) 5,6,7,8,9 $dense
}

# adaptive NAME SUITE RECORDINGS REUSE FILE GATE ...
adaptive() {
  python -m recipes adaptive --checkpoint "libero-$2" $(data "$1a" "$1b") --recordings "$3" \
    --reuse "$4" --execute-steps 8 --json "run/$5.json" $(printf -- '--gate %s ' "${@:6}")
}

unseen us spatial 300 80000000
unseen ug goal 300 82000000
unseen ut 10 600 84000000

# what there is to gain
adaptive us spatial 40 0.7 spatial_effects effects effects-weighed
adaptive ug goal 40 0.7 goal_effects effects effects-weighed
adaptive ut 10 24 0.7 10_effects effects effects-weighed

# what the gates that ship gain of it
adaptive us spatial 1000 0.65 spatial_regressed learned
adaptive ug goal 1000 0.75 goal_regressed learned
adaptive ut 10 1000 0.6 10_regressed learned
