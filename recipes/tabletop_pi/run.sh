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

base="$two recipes base --model tabletop-pi --towers run/towers.pt --batch 8 --seed 0"
$base $data --out run/base --until 4600 --keep 80 --peak 0.0012
$base $data --out run/base --until 5200 --keep 128 --peak 0.0008 --full-every 2
