# The two lines that a fresh machine needs are `make demo` and `make test`; both install into .venv first.
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
STORE  ?= runs
export PYTHONWARNINGS := ignore
# Some images forbid Python to keep its compiled modules: each of the hundreds of processes of a test run compiles them again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test long check faults clusters bench evidence docs wheel clean

demo: $(STAMP)
	$(BIN)/siftloom demo --store $(STORE)

PARALLEL = -n logical --maxprocesses 4 --dist loadscope --no-loadscope-reorder

test: $(STAMP)
	$(BIN)/python -m pytest -m "not long and not faults and not clusters" $(PARALLEL)

# What `make test` leaves out because it takes longer than all the rest: before a release, and after work on the engine or a training.
long: $(STAMP)
	$(BIN)/python -m pytest -m long $(PARALLEL)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/basedpyright --level error

# `make faults FAULTS=200` draws more faults at random.
FAULTS ?= 20
faults: $(STAMP)
	$(BIN)/python -m pytest -m faults --timeout 2400
	$(BIN)/python -m tests.faults.random_faults --count $(FAULTS)

clusters: $(STAMP)
	$(BIN)/python -m pytest -m clusters --timeout 2400

bench: $(STAMP)
	$(BIN)/python -m benchmarks.engine
	$(BIN)/python -m benchmarks.dedup --small
	$(BIN)/python -m benchmarks.lost --small
	$(BIN)/python -m benchmarks.training --small

# All experiments of docs/evidence, small: that each can be made again. `python -m benchmarks.evidence` makes the records.
evidence: $(STAMP)
	$(BIN)/python -m benchmarks.evidence --small --into runs/evidence

docs: $(STAMP)
	$(BIN)/pip install --quiet -e ".[docs]"
	$(BIN)/mkdocs build --strict --site-dir site

# Without isolation it needs no network; an old build/ would bring files along that are no longer in the tree.
wheel: $(STAMP)
	rm -rf build
	$(BIN)/python -m pip wheel . --quiet --no-deps --no-build-isolation --wheel-dir dist

# One rule installs; it runs again when the dependencies change. pip would compile every module of every package, which takes
# longer than the rest of an installation; Python compiles those that are imported, once.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt -e ".[dev]"
	touch $(STAMP)

clean:
	rm -rf build dist site *.egg-info
