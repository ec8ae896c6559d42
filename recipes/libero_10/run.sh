#!/bin/bash
# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
# How `libero-10` was made, from `libero-goal`; needs requirements-libero.txt. Four and a half
# hours of two cores, and three quarters of an hour for the third gate. Not exact: the second
# model's third round began by mistake while t6a and t6b were still being collected. Updates 6,001
# to 6,800 were of ta tb t2a t2b t3a t3b t5a t5b.
suite=libero_10
model=libero_10_first
source "$(dirname "$0")/../libero/rounds.sh"

frames ta 1200 500000 0,1,2,3,4
frames tb 1200 510000 5,6,7,8,9
tower libero-goal 500 ta tb
base 2000 5 0.001 0.5 ta tb

frames t2a 900 520000 0,1,2,3,4 $student
frames t2b 900 530000 5,6,7,8,9 $student
base 4500 5 0.0008 0.7 ta tb t2a t2b t2a t2b

frames t3a 1100 540000 0,3,4 $student  # what it solved least
frames t3b 1100 550000 8,9,2,6 $student
base 7500 5 0.0008 0.7 ta tb t2a t2b t3a t3b t3a t3b

# that tower was too coarse: arms stayed beside what they were to grasp
model=libero_10
source recipes/libero/rounds.sh
tower libero-goal 3500 ta tb t2a t2b t3a t3b
begin="--towers run/libero_10_tower/towers.pt --checkpoint run/libero_10_first/model"
base 3000 5 0.001 0.7 ta tb t2a t2b t3a t3b

frames t5a 900 560000 0,1,2,3,4 $student
frames t5b 900 570000 5,6,7,8,9 $student
base 6000 5 0.0008 0.7 ta tb t3a t3b t5a t5b t5a t5b

frames t6a 1500 580000 2,8,9 $student
frames t6b 1500 590000 3,4,6,7 $student
base 9500 5 0.0008 0.7 ta tb t3a t3b t5a t5b t6a t6b t6a t6b

frames t7a 600 600000 0,1,2,3,4 $student
frames t7b 600 610000 5,6,7,8,9 $student
base 11000 5 0.0006 0.7 ta tb t3a t3b t5a t5b t6a t6b t7a t7b t7a t7b
# run/libero_10/model is the checkpoint that ships

gates 24 t5a t5b t7a t7b  # each task alike

# a second gate, of more frames, by the code of version c8276f3
frames t8a 800 86000000 0,1,2,3,4 $student
frames t8b 800 87000000 5,6,7,8,9 $student
frames t8c 800 88000000 0,1,2,3,4 $student
frames t8d 800 89000000 5,6,7,8,9 $student
gate "run/$model/model" "${model}_gates/second" 48 4000 $(data t8a t8b t8c t8d)

# the gate that ships is a third one, of frames under the second too
second="--gate dense --gate learned@run/${model}_gates/second/gate --reuse 0.66"
frames t9a 2400 90000000 0,1,2,3,4 $second --student "run/$model/model"
frames t9b 2400 91000000 5,6,7,8,9 $second --student "run/$model/model"
gate "run/$model/model" "${model}_gates/third" 112 8000 $(data t8a t8b t8c t8d t9a t9b)
