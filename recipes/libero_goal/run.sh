#!/bin/bash
# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
# How `libero-goal` was made, from `libero-spatial`; needs requirements-libero.txt. An
# hour and ten minutes of two cores.
set -e
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
two="torchrun --standalone --nproc_per_node 2 -m"

# frames NAME FRAMES SEED TASKS [OPTION ...]: TASKS as 0,1,2
frames() {
  python -m recipes demos --env libero --suite libero_goal --out "data/$1" --frames "$2" \
    --seed "$3" $(echo "--tasks $4" | sed 's/,/ --tasks /g') "${@:5}"
}

# base UNTIL PEAK STALE FOLDER ...: goes on in run/goal
base() {
  $two recipes base --env libero --out run/goal --until "$1" --batch 8 --keep 96 --full-every 5 \
    --peak "$2" --stale "$3" --seed 0 $(printf -- '--data data/%s ' "${@:4}") $begin
}

student="--gate dense --gate motion --reuse 0.66 --student run/goal/model"

frames ga 1000 400000 0,1,2,3,4
frames gb 1000 410000 5,6,7,8,9
$two recipes towers --env libero --checkpoint libero-spatial --data data/ga --data data/gb \
  --out run/tower --steps 500
begin="--towers run/tower/towers.pt --checkpoint libero-spatial"
base 1500 0.001 0.5 ga gb

frames g2a 600 440000 0,1,2,3,4 $student
frames g2b 600 450000 5,6,7,8,9 $student
base 3000 0.0008 0.7 ga gb g2a g2b g2a g2b
# run/goal/model is the checkpoint that ships

gate="$two vla_cache_ros.cli train gate --checkpoint run/goal/model --data data/g2a --data data/g2b
  --seed 0 --target 0.62 --stage1 3000 --walks 12 --first-share 1 --execute-steps 8"
$gate --out run/gates/language  # its folder `gate` ships
$gate --out run/gates/blind --no-language  # to try on other suites
