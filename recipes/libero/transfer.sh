#!/bin/bash
# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
# How gates without language were made that act for the model of another suite. Needs the frames and
# the gates that the suites' run.sh leave in data/ and run/.
set -e
source "$(dirname "$0")/rounds.sh"
student="--gate dense --gate motion --reuse 0.66 --student libero-object"
object="python -m recipes demos --env libero_object --suite libero_object --frames 700 $student"
$object --out data/oa --seed 56000000 --tasks 0 --tasks 1 --tasks 2 --tasks 3 --tasks 4
$object --out data/ob --seed 57000000 --tasks 5 --tasks 6 --tasks 7 --tasks 8 --tasks 9
spatial=$(data s3a s3b s5a s5b)

# blind CHECKPOINT OUT WALKS STAGE1 [OPTION ...]
blind() {
  $two vla_cache_ros.cli train gate --checkpoint "$1" --out "run/$2" --walks "$3" --stage1 "$4" \
    --no-language --seed 0 --target 0.62 --first-share 1 --execute-steps 8 "${@:5}"
}

blind libero-object libero_object_gates/blind 24 3000 $(data oa ob)
# only how much they reuse is fitted to the model of Spatial
blind libero-spatial libero_spatial_gates/own 16 0 $spatial \
  --from-gate run/libero_spatial_gates/blind/gate
blind libero-spatial libero_spatial_gates/from_object 16 0 $spatial \
  --from-gate run/libero_object_gates/blind/gate

# of all the suites but Spatial, one after the other
blind libero-goal libero_goal_gates/after_object 24 3000 $(data g2a g2b g4a g4b) \
  --from-gate run/libero_object_gates/blind/gate
blind libero-10 libero_10_gates/after_object_goal 24 3000 $(data t5a t5b t7a t7b) \
  --from-gate run/libero_goal_gates/after_object/gate
blind libero-spatial libero_spatial_gates/from_others 16 0 $spatial \
  --from-gate run/libero_10_gates/after_object_goal/gate
