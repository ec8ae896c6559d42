#!/bin/bash
# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
# How `libero-goal` was made, from `libero-spatial`; needs requirements-libero.txt. Two
# hours of two cores.
suite=libero_goal
source "$(dirname "$0")/../libero/rounds.sh"

frames ga 1000 400000 0,1,2,3,4
frames gb 1000 410000 5,6,7,8,9
tower libero-spatial 500 ga gb
base 1500 5 0.001 0.5 ga gb

frames g2a 600 440000 0,1,2,3,4 $student
frames g2b 600 450000 5,6,7,8,9 $student
base 3000 5 0.0008 0.7 ga gb g2a g2b g2a g2b

frames g3a 700 460000 3,7 $student  # two it never solved, with two others
frames g3b 700 470000 6,5 $student
base 5000 5 0.0008 0.7 ga gb g2a g2b g3a g3b g3a g3b
# run/libero_goal/model is the checkpoint that ships

frames g4a 400 480000 0,1,2,3,4 $student
frames g4b 400 490000 5,6,7,8,9 $student
gates 24 g2a g2b g4a g4b  # each task alike
