# The words that people and CI share; `make` alone lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
LOCKED := --no-deps --only-binary :all: --require-hashes
TORCH := $(VENV)/lib/python*/site-packages/torch-*.dist-info/METADATA
STAMP := $(VENV)/.installed
DATASET := ml/scenarios/datasets/demo
RUN := ml/models/runs/demo
FUZZ_TARGETS := wire_format parameters
FUZZ_SECONDS ?= 60

.PHONY: help setup lock demo bench check check-slow fuzz lint types test docs clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## Make the virtual environment in .venv

$(STAMP): pyproject.toml requirements.lock requirements-cuda.lock
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is not installed. Install Python 3.11, or name another with PYTHON=python3.12." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# pip takes a published torch before one in a folder of wheels, so the folder is asked first.
	@sed -n '/^torch==/,/[^\\]$$/p' requirements.lock > $(VENV)/torch.lock
	@$(PIP) install $(LOCKED) --no-index -r $(VENV)/torch.lock 2>/dev/null || true
	$(PIP) install $(LOCKED) -r requirements.lock
	@if grep -qsE '^Requires-Dist: (cuda|nvidia|triton)' $(TORCH); then $(PIP) install $(LOCKED) -r requirements-cuda.lock; fi
	$(PIP) install --no-deps --no-build-isolation -e .
	@$(PIP) check
	@$(BIN)/python -m ml.scripts.doctor --seconds 0
	@touch $@

lock: ## Rewrite the hashes after a change of constraints.txt
	@test -x $(BIN)/uv || { echo "error: $(BIN)/uv is missing. Run 'make setup' first." >&2; exit 1; }
	$(BIN)/python -m ml.scripts.write_locks

demo: $(STAMP) ## Generate a dataset, train, evaluate, and compare with the packaged policy
	@rm -rf $(DATASET) $(RUN)
	$(BIN)/python -m ml.scripts.gen_scenarios --base_dir ml/scenarios/base --output_dir $(DATASET) --seed 42 --train_count 90 --eval_count 90
	$(BIN)/python -m ml.training.train_convoy --dataset_dir $(DATASET) --total_timesteps 20000 --eval_episodes 90 --output_dir $(RUN) --run_id demo
	$(BIN)/python -m ml.evaluation.run --model $(RUN) packaged --episodes 90 --skip_baselines

bench: $(STAMP) ## Measure every speed that the project promises
	$(BIN)/python benchmarks/environment_steps.py
	$(BIN)/python benchmarks/environment_stages.py
	$(BIN)/python benchmarks/environment_reset.py
	$(BIN)/python benchmarks/reset_memory.py
	$(BIN)/python benchmarks/radio_steps.py
	$(BIN)/python benchmarks/learner_steps.py
	$(BIN)/python benchmarks/vector_steps.py
	$(BIN)/python benchmarks/evaluation_episodes.py
	$(BIN)/python benchmarks/deaf_episodes.py
	$(BIN)/python benchmarks/training_steps.py
	$(BIN)/python benchmarks/training_growth.py
	$(BIN)/python benchmarks/startup_times.py

check: lint types test ## Everything that must pass: lint, types, tests

lint: $(STAMP) ## Style and layout of the code
	$(BIN)/ruff check ml benchmarks examples fuzz experiments
	$(BIN)/ruff format --check ml benchmarks examples fuzz experiments

types: $(STAMP) ## Static types
	$(BIN)/mypy

test: $(STAMP) ## All tests
	$(BIN)/pytest --numprocesses 2 --dist worksteal

check-slow: $(STAMP) ## Tests of minutes: trainings killed at many moments
	$(BIN)/pytest -m slow_suite --numprocesses 2 --dist worksteal

fuzz: $(STAMP) ## Look for inputs that a reader does not survive, FUZZ_SECONDS for each target
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: atheris==3.0.0
	for target in $(FUZZ_TARGETS); do $(BIN)/python fuzz/run.py $$target $(FUZZ_SECONDS) || exit 1; done

docs: $(STAMP) ## Rewrite the generated pages of docs/
	@rm -rf $(DATASET)-docs
	$(BIN)/python -m ml.scripts.gen_scenarios --output_dir $(DATASET)-docs --seed 42 --train_count 9 --eval_count 270
	$(BIN)/python -m ml.evaluation.scripted_table --dataset_dir $(DATASET)-docs --episodes 270 --output_page docs/scripted_policies.md
	$(BIN)/python -m ml.scripts.write_docs --output_page docs/environment.md --fault_page docs/radio_faults.md

clean: ## Remove the virtual environment and the caches of Python and its tools
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find ml -name __pycache__ -type d -prune -exec rm -rf {} +
