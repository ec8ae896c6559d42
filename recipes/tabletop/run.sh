#!/bin/bash
# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
# How `tabletop` was made; docs/reproduce.md tells what differs from the run behind the shipped file.
# Every command goes on where it was stopped. About two hours on two cores.
set -e
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
two="torchrun --standalone --nproc_per_node 2 -m"

python -m recipes demos --out data/a --frames 7500 --seed 10000000
python -m recipes demos --out data/b --frames 7500 --seed 11000000
ab="--data data/a --data data/b"
python -m recipes towers $ab --out run --steps 1500 --batch 12 --seed 0

base="$two recipes base $ab --out run/base --towers run/towers.pt --seed 0 --batch 8"
$base --until 4200 --keep 80 --peak 0.0012
$base --until 4620 --keep 128 --peak 0.0008 --full-every 2

# one round of DAgger: the first model acts, the expert says what to do
python -m recipes demos --student run/base/model --out data/student/a --frames 4000 --seed 30000000
python -m recipes demos --student run/base/model --out data/student/b --frames 4000 --seed 31000000
student="--data data/student/a --data data/student/b"
$two recipes base $student --out run/dagger --checkpoint run/base/model --seed 0 \
  --until 800 --batch 8 --keep 128 --peak 0.0004 --full-every 2
# run/dagger/model is the checkpoint that ships

python -m recipes demos --student tabletop --out data/new/a --frames 3000 --seed 40000000
python -m recipes demos --student tabletop --out data/new/b --frames 3000 --seed 41000000
$two vla_cache_ros.cli train gate $student --data data/new/a --data data/new/b --out run/gate --seed 0
# run/gate/gate is its folder `gate`
