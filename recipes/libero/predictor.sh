#!/bin/bash
# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
# Whether a share that adapts to each step is worth more than a fixed one, on frames that no model
# and no gate learned from; what came of it is in docs/measured/libero.md. Needs what
# libero_10/run.sh leaves in data/ and run/. Half an hour of two cores.
source "$(dirname "$0")/rounds.sh"

# unseen NAME SUITE FRAMES SEED: of the model that ships, dense
unseen() {
  suite=libero_$2
  frames "$1a" "$3" "$4" 0,1,2,3,4 --gate dense --student "libero-$2"
  frames "$1b" "$3" $(($4 + 1000000)) 5,6,7,8,9 --gate dense --student "libero-$2"
}

# adaptive NAME SUITE RECORDINGS GATE ...
adaptive() {
  python -m recipes adaptive --checkpoint "libero-$2" $(data "$1a" "$1b") --recordings "$3" \
    --reuse 0.7 --execute-steps 8 --json "run/libero_$2_adaptive.json" \
    $(printf -- '--gate %s ' "${@:4}")
}

unseen us spatial 300 80000000
unseen ug goal 300 82000000
unseen ut 10 600 84000000

gate libero-10 libero_10_gates/relaxed 48 4000 $(data t8a t8b t8c t8d) \
  --predictor relaxed --stage2 240

adaptive us spatial 40 effects effects-weighed learned
adaptive ug goal 40 effects effects-weighed learned
adaptive ut 10 24 effects effects-weighed learned \
  learned@run/libero_10_gates/language/gate learned@run/libero_10_gates/relaxed/gate
