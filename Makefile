# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
# Everything runs in .venv: no root, no ROS install, no GPU.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

EPISODES ?= 3
SEED     ?= 0
OUT      ?= demo_out
GATE     ?=

.PHONY: demo test lint format clean

demo: $(VENV)/.ros  ## drive the simulated arm over ROS 2, dense and cached
	$(BIN)/vla-cache demo --episodes $(EPISODES) --seed $(SEED) --out $(OUT) $(if $(GATE),--gate $(GATE))

test: $(VENV)/.test  ## lint, then every test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(OUT)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# A failed install leaves no stamp behind, so the next make starts it again.
$(VENV)/.ros: requirements.txt requirements-ros.txt setup.py | $(VENV)/bin/python
	$(BIN)/python -m pip install -r requirements.txt -r requirements-ros.txt
	$(BIN)/python -m pip install --no-deps -e .
	touch $@

$(VENV)/.test: requirements-test.txt $(VENV)/.ros
	$(BIN)/python -m pip install -r requirements-test.txt
	touch $@
