#!/bin/bash
# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
# How `tabletop-pi` was made, from the frames of recipes/tabletop/run.sh; docs/measured/models.md
# tells what differs from the run behind the shipped file. Every command goes on where it was
# stopped.
set -e
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
data="--data data/a --data data/b --data data/tabletop"
two="torchrun --standalone --nproc_per_node 2 -m"

# what a good model comes to, besides what the disturbed expert does
python -m recipes demos --student tabletop --out data/tabletop --frames 4000 --seed 30000000
$two recipes towers $data --model tabletop-pi --out run --steps 520 --batch 12 --seed 0

base="$two recipes base --model tabletop-pi --towers run/towers.pt --batch 8 --seed 0 --out run/pi"
$base $data --until 4600 --keep 80 --peak 0.0012  # was stopped at update 3850
$base $data --until 4400 --keep 128 --peak 0.0008 --full-every 2

# one round of DAgger: the first model acts, the expert says what to do
python -m recipes demos --student run/pi/model --out data/pi/a --frames 3500 --seed 32000000
python -m recipes demos --student run/pi/model --out data/pi/b --frames 3500 --seed 33000000
student="--data data/pi/a --data data/pi/b"
$base $data $student $student --until 5000 --keep 128 --peak 0.0008 --full-every 2
# run/pi/model is the checkpoint that ships

$two vla_cache_ros.cli train gate --checkpoint tabletop-pi $student --data data/tabletop \
  --walks 16 --out run/gate --seed 0
# run/gate/gate is its folder `gate`
