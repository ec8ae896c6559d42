#!/bin/bash
# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
# How `libero-object` was made, from a model of two cameras in run/two_cameras: the folder
# vla_cache_ros/checkpoints/libero-object of commit 9bb2aa8. Needs requirements-libero.txt.
set -e
cd "$(dirname "$0")/../.."
export OMP_NUM_THREADS=1
demos="python -m recipes demos --env libero_object --suite libero_object --frames 2000"
two="torchrun --standalone --nproc_per_node 2 -m"
base="$two recipes base --env libero_object --seed 0 --batch 8 --keep 128"

$demos --out data/xa --seed 50000000
$demos --out data/xb --seed 51000000
x="--data data/xa --data data/xb"
$base --checkpoint run/two_cameras $x --out run/seventh \
  --until 1200 --full-every 3 --peak 0.001 --stale 0.5

$demos --student run/seventh/model --out data/ya --seed 52000000
$demos --student run/seventh/model --out data/yb --seed 53000000
y="--data data/ya --data data/yb"
$base --checkpoint run/seventh/model $x $y $y --out run/eighth \
  --until 1400 --full-every 3 --peak 0.0008 --stale 0.7

$demos --student run/eighth/model --out data/za --seed 54000000
$demos --student run/eighth/model --gate motion --reuse 0.66 --out data/zb --seed 55000000
z="--data data/za --data data/zb"
$base --checkpoint run/eighth/model $y $z $z --out run/ninth \
  --until 1600 --full-every 2 --peak 0.0008 --stale 0.8
# run/ninth/model is the checkpoint that ships

$two vla_cache_ros.cli train gate --checkpoint run/ninth/model $z --out run/gate --seed 0 \
  --target 0.62 --stage1 4000 --first-share 1 --walks 24 --execute-steps 8
# run/gate/gate is its folder `gate`
