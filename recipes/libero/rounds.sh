# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
# Rounds of demonstrations and training, which the scripts of the suites source; they set `suite`,
# `model` where a suite has more than one, and `domain` where the suite is of another --env.
set -e
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export OMP_NUM_THREADS=1
: "${model:=$suite}" "${domain:=libero}"
two="torchrun --standalone --nproc_per_node 2 -m"
student="--gate dense --gate motion --reuse 0.66 --student run/$model/model"

# frames NAME FRAMES SEED TASKS [OPTION ...]: TASKS as 0,1,2
frames() {
  python -m recipes demos --env "$domain" --suite "$suite" --out "data/$1" --frames "$2" --seed "$3" \
    $(echo "--tasks $4" | sed 's/,/ --tasks /g') "${@:5}"
}

# data NAME ...: options that name their folders
data() { printf -- '--data data/%s ' "$@"; }

# tower CHECKPOINT UPDATES NAME ...: its tower learns on; its decoder is what `base` begins with
tower() {
  $two recipes towers --env libero --checkpoint "$1" $(data "${@:3}") --out "run/${model}_tower" \
    --steps "$2"
  begin="--towers run/${model}_tower/towers.pt --checkpoint $1"
}

# base UNTIL FULL_EVERY PEAK STALE NAME ...: the next round, in run/MODEL
base() {
  $two recipes base --env libero --out "run/$model" --until "$1" --batch 8 --keep 96 --seed 0 \
    --full-every "$2" --peak "$3" --stale "$4" $(data "${@:5}") $begin
}

# gate CHECKPOINT OUT WALKS STAGE1 [OPTION ...]: up to version d487bef the predictor learned faster,
# up to 414baa6 slow steps counted more for the scores; so of the gates that ship only the one of
# libero-10 comes out of today's code
gate() {
  $two vla_cache_ros.cli train gate --checkpoint "$1" --out "run/$2" --walks "$3" --stage1 "$4" \
    --seed 0 --target 0.62 --first-share 1 --execute-steps 8 "${@:5}"
}

# gates WALKS NAME ...: run/MODEL_gates/language ships; the other is to be tried on other suites
gates() {
  gate "run/$model/model" "${model}_gates/language" "$1" 3000 $(data "${@:2}")
  gate "run/$model/model" "${model}_gates/blind" "$1" 3000 $(data "${@:2}") --no-language
}
