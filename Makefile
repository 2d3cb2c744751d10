# Needs Python 3.10 to 3.13, make and git; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip sync --quiet --require-hashes
LOCK := --quiet --upgrade --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-header --no-annotate

# With ENCODER=fastembed:NAME_OR_FOLDER, what it needs is installed, and the model is fetched unless it is there.
OF_ENCODER := $(if $(ENCODER),$(VENV)/.fastembed)
WITH_ENCODER := $(if $(ENCODER),$(BIN)/label-studio-al encoders --fetch "$$ENCODER" && AL_ENCODER="$$ENCODER")

.DEFAULT_GOAL := help
.PHONY: help demo serve test chaos fuzz soak soak-labels lint docs reference screenshots bench lock docker-check release-check clean

# Else each of some hundred processes compiles the package and its environment anew.
test chaos fuzz soak soak-labels release-check: export PYTHONDONTWRITEBYTECODE =

help:  ## What can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/'

demo: $(VENV)/.run $(OF_ENCODER)  ## Label Studio with the loop connected, ready to label
	@$(WITH_ENCODER) $(BIN)/label-studio-al demo $(ARGS)

serve: $(VENV)/.run $(OF_ENCODER)  ## The backend for your own Label Studio (ENCODER=fastembed:NAME)
	@$(WITH_ENCODER) $(BIN)/label-studio-al serve $(ARGS)

test: $(VENV)/.dev  ## Every test, with a real Label Studio
	@$(BIN)/python -m pytest --numprocesses 3 --no-loadscope-reorder $(ARGS)

chaos: $(VENV)/.dev  ## Hundreds of schedules of faults, on SQLite and PostgreSQL (an hour)
	@$(BIN)/python -m tests.chaos --schedules 200 --database sqlite $(ARGS)
	@$(BIN)/python -m tests.chaos --schedules 50 --database postgresql $(ARGS)

fuzz: $(VENV)/.dev  ## 20,000 requests that nobody would send on purpose
	@AL_FUZZ_REQUESTS=20000 $(BIN)/python -m pytest tests/fuzz $(ARGS)

soak: $(VENV)/.dev  ## A day of 20,000 labels, with a clock of its own
	@AL_SOAK_LABELS=20000 $(BIN)/python -m pytest tests/soak/test_day.py -s $(ARGS)

soak-labels: $(VENV)/.dev  ## 5,000 labels beside pushes and kills, counted on both sides, on SQLite and PostgreSQL
	@AL_SOAK_SUBMITS=5000 $(BIN)/python -m pytest tests/soak/test_labels.py -s $(ARGS)

lint: $(VENV)/.dev  ## Style and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

docs: $(VENV)/.dev  ## The documentation as a site: .site/index.html
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict $(ARGS)

reference: $(VENV)/.dev  ## The pages and pictures of docs/ that are made from code
	@$(BIN)/python -m docs.tools.reference && $(BIN)/python -m docs.tools.pictures

screenshots: $(VENV)/.dev  ## The screenshots of docs/images, from a real run (needs Chromium)
	@$(BIN)/python -m docs.tools.screenshots $(ARGS)

bench: $(VENV)/.dev  ## The table of docs/benchmarks.md
	@$(BIN)/python -m benchmarks.live_loop $(ARGS)

docker-check: $(VENV)/.dev  ## The image's steps and the Compose file's services, without Docker (root, debootstrap)
	@$(BIN)/python -m tests.docker

release-check: $(VENV)/.dev  ## Wheel and sdist, and the demo from the wheel in an empty environment
	@$(BIN)/python .ci/release.py

lock: $(BIN)/uv  ## Pin the newest releases of everything
	@$(BIN)/uv pip compile $(LOCK) pyproject.toml --excludes requirements/without.txt -o requirements/run.txt
	@$(BIN)/uv pip compile $(LOCK) pyproject.toml --group dev -c requirements/run.txt -o requirements/dev.txt
	@printf 'huggingface-hub\nonnxruntime\npillow\ntokenizers\n' | $(BIN)/uv pip compile $(LOCK) - -c requirements/dev.txt -o requirements/fastembed.txt
	@printf 'editables\nhatchling\n' | $(BIN)/uv pip compile $(LOCK) - -c requirements/dev.txt -o requirements/build.txt

clean:  ## Remove the environment
	rm -rf $(VENV)

$(BIN)/uv: requirements/uv.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 13) else f"Python 3.10 to 3.13 is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "The venv module is missing: install it (Debian: apt install python3-venv)" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

# A marker is made last, so that a half-finished install is finished by the next make.
$(VENV)/.run: $(BIN)/uv requirements/run.txt pyproject.toml
	@if [ ! -e $(VENV)/.dev ]; then echo "Installing into $(VENV)"; $(UV) requirements/run.txt requirements/build.txt requirements/uv.txt; fi
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# Installed into .run's environment, whose "sync" removes it again: so it comes after that.
$(VENV)/.fastembed: $(VENV)/.run requirements/fastembed.txt
	@$(BIN)/uv pip install --quiet --require-hashes -r requirements/fastembed.txt
	@touch $@

$(VENV)/.dev: $(BIN)/uv requirements/dev.txt pyproject.toml
	@echo "Installing into $(VENV)"
	@$(UV) --compile-bytecode requirements/dev.txt requirements/uv.txt
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
