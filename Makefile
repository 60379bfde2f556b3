# Everything runs in .venv. PYTHON names the interpreter that makes it (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt
# Tests run in so many processes; with more than one thread each they would wait for each other.
JOBS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal
FUZZ_MINUTES ?= 60
# What make gpu-pack packs beside this machine's SoundFonts and kits: packages/partita-synthesis/docs/gpu.md.
GPU_PACK ?=
PLUGINS := $(wildcard packages/*)
EDITABLE_PLUGINS := $(addprefix --editable ,$(PLUGINS))

.PHONY: demo test quick test-matrix fuzz check docs release-check bench gpu-pack clean

demo: $(VENV)/demo.stamp  ## separate a real song and show where the stems are
	$(BIN)/python scripts/demo.py

test: $(VENV)/test.stamp  ## run all tests
	$(PYTEST)

quick: $(VENV)/test.stamp  ## run units and models, but nothing slow, no pictures, no synthesis
	$(PYTEST) -q -m "not slow" --ignore tests/unit/reports tests/unit tests/conformance/test_models.py

test-matrix: $(VENV)/demo.stamp  ## test the oldest and newest dependencies on the oldest and newest Python
	$(BIN)/python scripts/test_matrix.py

fuzz: $(VENV)/test.stamp  ## damage files of every kind; what fails is kept in fuzz-failures
	PYTHONPATH=tests:examples $(BIN)/python -m fuzz --minutes $(FUZZ_MINUTES) --seed $$(date +%s)

check: $(VENV)/dev.stamp  ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/docs.stamp  ## build the documentation site: build/site/index.html
	$(BIN)/python scripts/docs_site

release-check: $(VENV)/release.stamp  ## build and check what a release consists of: dist
	$(BIN)/python scripts/release_check.py

bench: $(VENV)/test.stamp  ## measure the speeds that partita aims for, in under 20 minutes
	$(BIN)/python benchmarks/goals.py

gpu-pack: $(VENV)/test.stamp  ## pack sounds and wheels for some minutes on a GPU
	$(BIN)/python packages/partita-synthesis/scripts/gpu_pack.py gpu-pack $(GPU_PACK)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: $(VENV)/bin/python pyproject.toml $(addsuffix /pyproject.toml,$(PLUGINS)) constraints.txt
	$(INSTALL) --editable . $(EDITABLE_PLUGINS)
	@touch $@

$(VENV)/test.stamp: $(VENV)/demo.stamp requirements-peers.txt requirements-demucs4.txt
	$(INSTALL) --editable ".[test]" $(EDITABLE_PLUGINS)
	$(INSTALL) --no-deps --requirement requirements-peers.txt
	$(INSTALL) --no-deps --upgrade --target $(VENV)/peers/demucs4 --requirement requirements-demucs4.txt
	@touch $@

$(VENV)/dev.stamp: $(VENV)/demo.stamp
	$(INSTALL) --editable ".[dev]" $(EDITABLE_PLUGINS)
	@touch $@

$(VENV)/docs.stamp: $(VENV)/demo.stamp
	$(INSTALL) --editable ".[docs]" $(EDITABLE_PLUGINS)
	@touch $@

$(VENV)/release.stamp: $(VENV)/demo.stamp
	$(INSTALL) --editable ".[release]" $(EDITABLE_PLUGINS)
	@touch $@

clean:
	rm -rf $(VENV) .matrix build demo separated
