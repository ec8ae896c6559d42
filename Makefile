# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
# Everything runs in .venv: no root, no ROS install, no GPU.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

# options of `vla-cache demo`, for example ARGS='--episodes 10 --gate random'
ARGS   ?=
FUZZ_SECONDS ?= 20

.PHONY: demo test test-libero test-simpler fuzz lint format clean

demo: $(VENV)/.ros  ## drive the simulated arm over ROS 2, dense and cached
	$(BIN)/vla-cache demo $(ARGS)

test: lint  ## style, then every test
	$(BIN)/python -m pytest

test-libero: $(VENV)/.test $(VENV)/.libero  ## the 40 tasks in LIBERO's simulator, minutes
	$(BIN)/python -m pytest test/test_libero.py

test-simpler: $(VENV)/.test $(VENV)/.simpler  ## what needs mani-skill, see docs/simpler.md
	$(BIN)/python -m pytest test/test_simpler.py

fuzz: $(VENV)/.fuzz  ## the parsers that take bytes, FUZZ_SECONDS each; see docs/security.md
	$(BIN)/python test/fuzz_parsers.py --out fuzz_out --seconds $(FUZZ_SECONDS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo_out fuzz_out

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# A failed install leaves no stamp behind, so the next make starts it again.
$(VENV)/.ros: requirements.txt requirements-ros.txt setup.py | $(VENV)/bin/python
	@echo 'installing into $(VENV): about 2 GB, some minutes the first time'
	$(BIN)/python -m pip install -q -r requirements.txt -r requirements-ros.txt
	$(BIN)/python -m pip install -q --no-deps -e .
	touch $@

$(VENV)/.test: requirements-test.txt $(VENV)/.ros
	$(BIN)/python -m pip install -q -r requirements-test.txt
	touch $@

$(VENV)/.fuzz: requirements-fuzz.txt $(VENV)/.test
	$(BIN)/python -m pip install -q -r requirements-fuzz.txt
	touch $@

$(VENV)/.libero: requirements-libero.txt $(VENV)/.ros
	@echo 'installing LIBERO into $(VENV): 2 GB'
	$(BIN)/python -m pip install -q -r requirements.txt -r requirements-libero.txt
	touch $@

$(VENV)/.simpler: requirements-simpler.txt $(VENV)/.ros
	@echo 'installing mani-skill into $(VENV): 0.4 GB; for Vulkan and assets see docs/simpler.md'
	$(BIN)/python -m pip install -q -r requirements.txt -r requirements-simpler.txt
	touch $@
