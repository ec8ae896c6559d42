#!/bin/bash
# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
# How `tabletop-openvla` was made, after recipes/tabletop/run.sh, whose frames and first model it
# takes; docs/reproduce.md tells what differs from the run behind the shipped file.
set -e
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
data="--data data/a --data data/b --data data/student/a --data data/student/b"
data="$data --data data/new/a --data data/new/b"
recipe="torchrun --standalone --nproc_per_node 2 -m recipes"

$recipe sight $data --out run/sight --until 1300 --batch 16 --peak 0.001 --full-from 950 --seed 0
$recipe sight $data --out run/sight --until 3000 --batch 16 --peak 0.0012 --full-from 2500 --seed 0

openvla="$recipe base --model tabletop-openvla --towers run/sight/towers.pt $data"
openvla="$openvla --out run/openvla --batch 16 --keep 96 --seed 0"
$openvla --layers 8 --until 4500 --peak 0.002  # was stopped at update 3600
$openvla --layers 8 --until 5600 --peak 0.0015
$openvla --layers 8 --until 6200 --peak 0.0008 --full-every 2
$openvla --layers 32 --until 6780 --peak 0.001 --full-every 4
# run/openvla/model is the checkpoint that ships
