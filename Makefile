# Copyright 2026 The vla_cache_ros authors
# SPDX-License-Identifier: Apache-2.0
# Everything runs in .venv: no root, no ROS install, no GPU.

PYTHON ?= python3
VENV   ?= .venv
# the wheels of ROS 2: Jazzy's, or requirements-kilted.txt
ROS    ?= requirements-ros.txt
BIN    := $(VENV)/bin
# vla-eval and this package, without ROS
HARNESS ?= .venv-vla-eval

# times as many inputs for each property as in `make test`
EXAMPLES ?= 1

# the tests of the cache, of what bounds and stops the arm, and of what is read from a folder
ROOMS  := test/caching test/policy test/vla test/control/test_safety.py \
	test/control/test_limits.py test/control/test_motion_properties.py \
	test/control/test_message_properties.py test/control/test_drift.py \
	test/ros/test_injection_checkpoint.py

# of engine.py only what makes a step a transaction
MUTANTS := control.safety.* control.limits.* caching.plans.* caching.provenance.* \
	caching.episode_cache.* caching.engine.*step__* caching.engine.*_check__*

# processes of `make test`, each with one thread
WORKERS ?= 2
# options of `vla-cache demo`, for example ARGS='--episodes 10 --gate random'
ARGS   ?=
# control steps of `make soak`, and how often `make kill` kills
STEPS  ?= 3000
TIMES  ?= 100
# seconds for each target of `make fuzz`
FUZZ_SECONDS ?= 20

# LeRobot's own pins: an environment of its own
PYTHON12 ?= python3.12
LEROBOT  ?= .venv-lerobot

# `make gpu` runs in an environment that has torch for the GPU, not in $(VENV)
.PHONY: demo gpu fleet soak kill overrun takeover overlay churn serve-overhead test test-all test-libero test-simpler test-lerobot test-vla-eval vla-eval-live properties coverage mutation fuzz lint format clean

demo: $(VENV)/.ros  ## drive the simulated arm over ROS 2, dense and cached
	$(BIN)/vla-cache demo $(ARGS)

gpu:  ## exactness and times of the recorded step on a GPU; ARGS='--minutes 9'
	PYTHONPATH=. $(PYTHON) test/gpu/run_gpu.py $(ARGS)

soak: $(VENV)/.ros  ## robot and policy over ROS, disturbed at random: does anything grow or break
	$(BIN)/python test/endurance/soak.py --steps $(STEPS) --out soak_out

kill: $(VENV)/.ros  ## either process killed at random moments: does the arm stop, and go on
	$(BIN)/python test/endurance/kill.py --times $(TIMES) --out kill_out

overrun: $(VENV)/.ros  ## a model slowed in steps: what the node gives up, and when, minutes
	$(BIN)/python test/endurance/overrun.py --out overrun_out

takeover: $(VENV)/.ros  ## a person takes the arm over 200 times: does the policy keep out, minutes
	$(BIN)/python test/endurance/takeover.py --out takeover_out $(ARGS)

overlay: $(VENV)/.ros  ## does watching slow the inference: with and without overlays, minutes
	$(BIN)/python test/endurance/overlay_cost.py --out overlay_out

churn: $(VENV)/.test  ## thousands of clients of a server, good and bad: does it grow or miscount, minutes
	PYTHONPATH=test/support $(BIN)/python test/endurance/churn.py --out churn_out $(ARGS)

serve-overhead: $(VENV)/.test  ## what a server adds to a step over the loopback, minutes
	PYTHONPATH=test/support $(BIN)/python test/endurance/serve_overhead.py --out serve_out $(ARGS)

fleet: $(VENV)/.test  ## bags here and on two Ray nodes, one killed; what ten thousand take, minutes
	$(BIN)/python test/endurance/fleet.py --out fleet_out $(ARGS)

test: lint  ## style, then every test but the slow ones, on WORKERS processes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope -m 'not slow'

test-all: test  ## then the slow ones, one at a time, since many keep time
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow

test-libero: $(VENV)/.test $(VENV)/.libero  ## the 40 tasks in LIBERO's simulator and their experts, minutes
	$(BIN)/python -m pytest test/environments/test_libero.py $(wildcard test/recipes/test_libero_*.py)

test-simpler: $(VENV)/.test $(VENV)/.simpler  ## what needs mani-skill, see docs/reference/environments.md
	$(BIN)/python -m pytest test/environments/test_simpler.py

test-vla-eval: $(HARNESS)/.stamp  ## vla-eval against our model server, in an environment of its own
	$(HARNESS)/bin/python -m pytest test/serving/test_vla_eval.py \
		test/serving/test_vla_eval_conventions.py test/endurance/test_vla_eval_live.py

vla-eval-live: $(HARNESS)/.libero  ## LIBERO-Object while the world goes on, an hour; goes on where cut off
	OMP_NUM_THREADS=1 PYTHONPATH=test/endurance $(HARNESS)/bin/python \
		test/endurance/vla_eval_live.py --out vla_eval_out $(ARGS)

test-lerobot: $(VENV)/.ros $(LEROBOT)/.lerobot  ## lerobot opens our data sets and runs our policies, minutes
	PYTHONPATH=. VLA_CACHE_PYTHON=$(CURDIR)/$(BIN)/python $(LEROBOT)/bin/python -m pytest -q \
		-p no:cacheprovider test/datasets/test_with_lerobot.py test/plugin

properties: $(VENV)/.test  ## tests that try many inputs; EXAMPLES=20 tries twenty times as many
	VLA_CACHE_EXAMPLES=$(EXAMPLES) VLA_CACHE_PROPERTIES=runs/properties.json \
		$(BIN)/python -m pytest -q -m hypothesis

coverage: $(VENV)/.test  ## lines and branches of cache, safety filter and loader, minutes
	VLA_CACHE_EXAMPLES=0.2 $(BIN)/coverage run -m pytest -q $(ROOMS)
	$(BIN)/coverage json -q -o runs/covered.json
	$(BIN)/coverage report -m --skip-covered
	$(BIN)/python test/support/coverage_table.py runs/covered.json

mutation: $(VENV)/.test  ## is each small change to safety filter and cache noticed? minutes
	OMP_NUM_THREADS=1 VLA_CACHE_EXAMPLES=0.3 $(BIN)/mutmut run --max-children 1 \
		$(MUTANTS:%='vla_cache_ros.%')
	$(BIN)/python test/support/mutation_table.py mutants

fuzz: $(VENV)/.fuzz  ## the parsers that take bytes, FUZZ_SECONDS each; see docs/explanation/security.md
	$(BIN)/python test/support/fuzz_parsers.py --out fuzz_out --seconds $(FUZZ_SECONDS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(LEROBOT) $(HARNESS) vla_eval_out demo_out gpu_out soak_out kill_out overrun_out takeover_out overlay_out churn_out serve_out fuzz_out runs mutants

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# A failed install leaves no stamp behind, so the next make starts it again.
$(VENV)/.ros: requirements.txt $(ROS) setup.py | $(VENV)/bin/python
	@echo 'installing into $(VENV): about 2 GB, some minutes the first time'
	$(BIN)/python -m pip install -q -r requirements.txt -r $(ROS)
	$(BIN)/python -m pip install -q --no-deps -e .
	touch $@

$(VENV)/.test: requirements-test.txt requirements-openpi.txt $(VENV)/.ros
	$(BIN)/python -m pip install -q -r requirements-test.txt
	$(BIN)/python -m pip install -q --no-deps --upgrade --target $(VENV)/openpi -r requirements-openpi.txt
	touch $@

$(VENV)/.fuzz: requirements-fuzz.txt $(VENV)/.test
	$(BIN)/python -m pip install -q -r requirements-fuzz.txt
	touch $@

$(VENV)/.libero: requirements-libero.txt $(VENV)/.ros
	@echo 'installing LIBERO into $(VENV): 2 GB'
	$(BIN)/python -m pip install -q -r requirements.txt -r requirements-libero.txt
	touch $@

$(VENV)/.simpler: requirements-simpler.txt $(VENV)/.ros
	@echo 'installing mani-skill into $(VENV): 0.4 GB; for Vulkan and assets see docs/reference/environments.md'
	$(BIN)/python -m pip install -q -r requirements.txt -r requirements-simpler.txt
	touch $@

$(HARNESS)/.stamp: requirements.txt requirements-vla-eval.txt setup.py
	@echo 'installing vla-eval into $(HARNESS): about 2 GB'
	$(PYTHON) -m venv $(HARNESS)
	$(HARNESS)/bin/python -m pip install -q -r requirements.txt -r requirements-vla-eval.txt
	$(HARNESS)/bin/python -m pip install -q --no-deps -e .
	touch $@

$(HARNESS)/.libero: requirements-libero.txt $(HARNESS)/.stamp
	@echo 'installing LIBERO into $(HARNESS): 2 GB'
	$(HARNESS)/bin/python -m pip install -q -r requirements.txt -r requirements-libero.txt
	touch $@

$(LEROBOT)/.lerobot: requirements-lerobot.txt lerobot_policy_vla_cache/pyproject.toml
	@echo 'installing LeRobot into $(LEROBOT): about 5 GB'
	$(PYTHON12) -m venv $(LEROBOT)
	$(LEROBOT)/bin/python -m pip install -q -r requirements-lerobot.txt
	$(LEROBOT)/bin/python -m pip install -q --no-deps ./lerobot_policy_vla_cache
	touch $@
