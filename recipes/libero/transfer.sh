#!/bin/bash
# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
# How gates without language were made that act for the model of another suite. Needs the frames and
# the gates that the suites' run.sh leave in data/ and run/.
suite=libero_object
domain=libero_object
source "$(dirname "$0")/rounds.sh"
student="--gate dense --gate motion --reuse 0.66 --student libero-object"
spatial="--no-language $(data s3a s3b s5a s5b)"

frames oa 700 56000000 0,1,2,3,4 $student
frames ob 700 57000000 5,6,7,8,9 $student
gate libero-object libero_object_gates/blind 24 3000 --no-language $(data oa ob)

# only how much they reuse is fitted to the model of Spatial
gate libero-spatial libero_spatial_gates/own 16 0 $spatial \
  --from-gate run/libero_spatial_gates/blind/gate
gate libero-spatial libero_spatial_gates/from_object 16 0 $spatial \
  --from-gate run/libero_object_gates/blind/gate

# of all the suites but Spatial, one after the other
gate libero-goal libero_goal_gates/after_object 24 3000 --no-language \
  $(data g2a g2b g4a g4b) --from-gate run/libero_object_gates/blind/gate
gate libero-10 libero_10_gates/after_object_goal 24 3000 --no-language \
  $(data t5a t5b t7a t7b) --from-gate run/libero_goal_gates/after_object/gate
gate libero-spatial libero_spatial_gates/from_others 16 0 $spatial \
  --from-gate run/libero_10_gates/after_object_goal/gate
