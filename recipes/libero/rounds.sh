# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
# Rounds of demonstrations and training, which the scripts of the suites source; they set `suite`.
set -e
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export OMP_NUM_THREADS=1
two="torchrun --standalone --nproc_per_node 2 -m"
student="--gate dense --gate motion --reuse 0.66 --student run/$suite/model"

# frames NAME FRAMES SEED TASKS [OPTION ...]: TASKS as 0,1,2
frames() {
  python -m recipes demos --env libero --suite "$suite" --out "data/$1" --frames "$2" --seed "$3" \
    $(echo "--tasks $4" | sed 's/,/ --tasks /g') "${@:5}"
}

# data NAME ...: options that name their folders
data() { printf -- '--data data/%s ' "$@"; }

# tower CHECKPOINT NAME ...: its tower goes on learning, and its decoder is what `base` begins with
tower() {
  $two recipes towers --env libero --checkpoint "$1" $(data "${@:2}") --out "run/${suite}_tower" \
    --steps 500
  begin="--towers run/${suite}_tower/towers.pt --checkpoint $1"
}

# base UNTIL FULL_EVERY PEAK STALE NAME ...: the next round, in run/SUITE
base() {
  $two recipes base --env libero --out "run/$suite" --until "$1" --batch 8 --keep 96 --seed 0 \
    --full-every "$2" --peak "$3" --stale "$4" $(data "${@:5}") $begin
}

# gates WALKS NAME ...: what ships is the gate in run/SUITE_gates/language; the other is to be tried
# on other suites
gates() {
  gate="$two vla_cache_ros.cli train gate --checkpoint run/$suite/model $(data "${@:2}") --seed 0
    --target 0.62 --stage1 3000 --walks $1 --first-share 1 --execute-steps 8"
  $gate --out "run/${suite}_gates/language"
  $gate --out "run/${suite}_gates/blind" --no-language
}
