# Needs Python 3.10 and make. The first target to run makes .venv from requirements.lock.
#   make PYTHON=/path/to/python3.10   which interpreter (default: the first 3.10 that is found)
#   make UV=/path/to/uv               which uv (default: the one on the path, else one put in .uv)
#   make evaluate ARGS="-n 100"       more arguments for the command behind a target
SHELL := /bin/sh
.SHELLFLAGS := -euc
.ONESHELL:
.DEFAULT_GOAL := help

export CHECKOUT := $(CURDIR)
# Without compiled modules each process would take five seconds longer to import its libraries.
unexport PYTHONDONTWRITEBYTECODE
# Set-up never downloads an interpreter and stays in this folder.
export UV_PYTHON_DOWNLOADS := never
export PIP_ROOT_USER_ACTION := ignore

UV_PIN := uv==0.13.9
IS_3_10 := import sys; sys.version_info[:2] == (3, 10) or sys.exit(1)
RUN := .venv/bin/python -m
FACERELIEF := .venv/bin/facerelief
IMAGE := facerelief:dev
# A stamp holds the folder it was made in: a moved checkout gets a new environment.
PACKAGES := .venv/.packages-stamp
PROJECT := .venv/.project-stamp
SPARK := .spark/.stamp
ifneq ($(shell cat $(PACKAGES) 2>/dev/null),$(CURDIR))
$(PACKAGES): FORCE
endif
ifneq ($(shell cat $(PROJECT) 2>/dev/null),$(CURDIR))
$(PROJECT): FORCE
endif
ifneq ($(shell cat $(SPARK) 2>/dev/null),$(CURDIR))
$(SPARK): FORCE
endif

.PHONY: help setup demo web web-page test test-all check format model train synthesize spark synthesize-distributed evaluate golden bench bench-serving soak pipeline kubeflow kubeflow-local lock clean FORCE
FORCE:

help: ## List the targets
	@echo "make TARGET, where TARGET is one of"
	awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-22s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(PROJECT) ## Make .venv with the pinned packages and this project

demo: $(PROJECT) ## Turn docs/images/demo.jpg into a 3D face under out/demo
	@$(FACERELIEF) reconstruct docs/images/demo.jpg -o out/demo --overwrite $(ARGS)
	echo "Written to out/demo:"
	ls out/demo

web: $(PROJECT) ## Show the page that turns photos into heads (docs/web.md; Ctrl-C ends it)
	@$(FACERELIEF) web $(ARGS)

web-page: ## Bundle the page's scripts again from serving/web/page_source (wants Node.js and npm)
	@cd serving/web/page_source
	npm ci --silent
	npm run --silent build

test: $(PROJECT) ## Run the tests that are not slow, a small end-to-end run among them
	@$(RUN) pytest -m "not slow" -n logical --maxprocesses 4 --dist loadgroup $(ARGS)

test-all: $(PROJECT) ## Run every test
	@$(RUN) pytest -m "" $(ARGS)

check: $(PROJECT) ## Check format, lint, types and the direction of imports
	@$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) pytest -q tests/test_architecture.py

format: $(PROJECT) ## Format the code and fix what the linter can
	@$(RUN) ruff format .
	$(RUN) ruff check --fix .

model: $(PROJECT) ## Build the default face model again from its CC0 sources
	@$(FACERELIEF) model $(ARGS)

train: $(PROJECT) ## Train the network from nothing (wants a GPU: docs/training.md)
	@$(FACERELIEF) train $(ARGS)

synthesize: $(PROJECT) ## Write 64 synthetic faces and a contact sheet under out/synthesize
	@$(FACERELIEF) synthesize -n 64 --seed 1 -o out/synthesize $(ARGS)

spark: $(SPARK) ## Install Spark and build Beam's runner for it under .spark (wants Java and Maven)

synthesize-distributed: $(PROJECT) $(SPARK) ## Write 256 synthetic faces on a Spark cluster on this machine (docs/scaling.md)
	@$(RUN) pipeline.spark synthesize -n 256 --seed 1 -o out/synthesize-distributed \
	  --workers 2 --shard-samples 32 $(ARGS)

evaluate: $(PROJECT) ## Print the errors in mm on held-out synthetic faces
	@$(FACERELIEF) evaluate $(ARGS)

golden: $(PROJECT) ## Write the pictures that the tests compare with again (look at them before committing)
	@UPDATE_GOLDEN=1 $(RUN) pytest -m "" -k golden $(ARGS)

bench: $(PROJECT) ## Measure the time of each part
	@$(FACERELIEF) bench $(ARGS)

bench-serving: $(PROJECT) ## Measure the model server under load and write docs/measurements/serving.md
	@$(RUN) pipeline.evaluation.bench_serving $(ARGS)

soak: $(PROJECT) ## Overload a model server for 10 minutes with right and wrong requests (ARGS="--minutes N")
	@TF_CPP_MIN_LOG_LEVEL=3 $(RUN) pipeline.evaluation.soak $(ARGS)

pipeline: $(PROJECT) ## Run the whole pipeline here, profile small, under out/pipeline (docs/pipeline.md)
	@$(FACERELIEF) pipeline $(ARGS)

kubeflow: $(PROJECT) ## Compile the pipeline for Kubeflow (IMAGE=registry/name:tag, docs/kubeflow.md)
	@$(RUN) kubeflow.compile --image $(IMAGE) $(ARGS)

kubeflow-local: $(PROJECT) ## Run the compiled pipeline here, without a cluster, under out/kubeflow
	@$(RUN) kubeflow.compile --image $(IMAGE) --profile small --here out/kubeflow -o out/kubeflow/pipeline.yaml $(ARGS)
	$(RUN) kubeflow.run_ir_locally out/kubeflow/pipeline.yaml --root out/kubeflow/run --retries 0

clean: ## Remove caches and build products (.venv, .uv, .spark and out stay)
	@rm -rf build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -not -path './.uv/*' -not -path './.spark/*' -prune -exec rm -rf {} +

# Shell functions for the recipes below.
define FUNCTIONS
fail() { echo "facerelief: $$*" >&2; exit 1; }

# Prints the path of a Python 3.10: PYTHON if given, else the first one found.
find_python() {
  for candidate in "$${PYTHON:-python3.10}" python3 python \
      "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.10*/bin/python; do
    "$$candidate" -c '$(IS_3_10); print(sys.executable)' 2>/dev/null && return
    [ -z "$${PYTHON:-}" ] || break
  done
  [ -z "$${PYTHON:-}" ] || fail "PYTHON=$$PYTHON is not a Python 3.10."
  fail "Python 3.10 is needed and was not found: install it, or name it with 'make PYTHON=/path/to/python3.10'."
}

# Prints the command of a uv that runs, after putting one in .uv where there is none.
find_uv() {
  for candidate in "$${UV:-uv}" "$$CHECKOUT/.uv/bin/uv"; do
    "$$candidate" --version >/dev/null 2>&1 && { echo "$$candidate"; return; }
    [ -z "$${UV:-}" ] || fail "UV=$$UV does not run."
  done
  rm -rf .uv
  if "$$1" -m pip --version >/dev/null 2>&1; then
    "$$1" -m pip install --quiet --disable-pip-version-check --target .uv $(UV_PIN) >&2 ||
      fail "pip could not install $(UV_PIN), which installs the packages."
  else
    { "$$1" -m venv .uv && .uv/bin/python -m pip install --quiet $(UV_PIN); } >&2 ||
      fail "$$1 could not install $(UV_PIN): it needs pip or venv."
  fi
  echo "$$CHECKOUT/.uv/bin/uv"
}
endef

$(PACKAGES): requirements.lock
	@$(FUNCTIONS)
	# An environment of another folder or another Python, or one left half made, is made anew.
	if [ -e $@ ] && [ "$$(cat $@)" != "$$CHECKOUT" ]; then rm -rf .venv; fi
	if [ -e .venv/.unfinished ]; then rm -rf .venv; fi
	.venv/bin/python -c '$(IS_3_10)' 2>/dev/null || rm -rf .venv
	if [ -e .venv/pyvenv.cfg ]; then python=.venv/bin/python; else python=$$(find_python); fi
	uv=$$(find_uv "$$python")
	[ -e .venv/pyvenv.cfg ] || "$$uv" venv --quiet --python "$$python" .venv
	echo "Installing the packages of requirements.lock into .venv ..."
	touch .venv/.unfinished
	"$$uv" pip sync --quiet --python .venv/bin/python requirements.lock
	rm .venv/.unfinished
	echo "$$CHECKOUT" > $@

$(PROJECT): $(PACKAGES) pyproject.toml setup.py requirements.in requirements-dev.in
	@$(FUNCTIONS)
	uv=$$(find_uv .venv/bin/python)
	"$$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
	echo "$$CHECKOUT" > $@

$(SPARK): pipeline/spark/requirements.txt | $(PROJECT)
	@$(FUNCTIONS)
	$(RUN) pipeline.spark check >/dev/null
	uv=$$(find_uv .venv/bin/python)
	echo "Installing Spark into .spark ..."
	rm -rf .spark/python
	"$$uv" pip install --quiet --python .venv/bin/python --no-deps --target .spark/python \
	  --requirement pipeline/spark/requirements.txt
	echo "$$CHECKOUT" > $@

lock: $(PACKAGES) ## Resolve requirements*.in and constraints.txt into requirements.lock
	@$(FUNCTIONS)
	uv=$$(find_uv .venv/bin/python)
	"$$uv" pip compile --quiet --python .venv/bin/python --custom-compile-command "make lock" --no-emit-index-url $(ARGS) \
	  --constraints constraints.txt --output-file requirements.lock requirements.in requirements-dev.in
