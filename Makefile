# Two commands: `make say` speaks in a fresh clone, `make test` runs what continuous integration runs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
TEXT   ?= Hello! I am a small voice, trained from scratch, and I live inside this package.
OUT    ?= speech.wav
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
export OMP_NUM_THREADS ?= 2
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: say serve test check format typecheck pytest parity evaluate fuzz fuzz-short bench voice clean

# --- speak ---------------------------------------------------------------------------------------------------------

say: $(VENV)/installed
	@$(BIN)/duologue say "$(TEXT)" -o "$(OUT)"

serve: $(VENV)/installed-serve
	$(BIN)/duologue serve

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The CPU engine is compiled while installing; without a compiler PyTorch speaks instead.
$(VENV)/installed: pyproject.toml setup.py constraints.txt | $(VENV)/bin/python
	$(PIP) -e .
	@$(BIN)/python -c "from duologue.native.binding import library; library()" 2>/dev/null \
		|| { echo "No compiled CPU engine; installing PyTorch."; $(PIP) torch==2.13.0; }
	@touch $@

$(VENV)/installed-serve: $(VENV)/installed
	$(PIP) -e ".[serve]"
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP) torch==2.13.0
	$(PIP) -e ".[torch,av,serve,evaluate,train,test]"
	$(PIP) --no-deps moshi==0.2.13
	$(PIP) --no-deps resemblyzer==0.1.4 speechmos==0.0.1.1 distillmos==0.9.1 xls-r-sqa==0.1.0
	@touch $@

# --- test ----------------------------------------------------------------------------------------------------------

test: check pytest

check: $(VENV)/installed-test
	$(BIN)/ruff check src tests setup.py
	$(BIN)/ruff format --check src tests setup.py
	$(BIN)/mypy

pytest: $(VENV)/installed-test
	$(BIN)/python -m pytest -m "not slow"

format: $(VENV)/installed-test
	$(BIN)/ruff check --fix --quiet src tests setup.py || true
	$(BIN)/ruff format src tests setup.py

parity: $(VENV)/installed-test  # the comparisons at their real sizes too; some minutes and 16 GiB
	$(BIN)/python -m pytest tests/parity --timeout 7200
	$(BIN)/python -m duologue.evaluation.parity_mimi --size real --out benchmarks/results/parity_mimi.json
	$(BIN)/python -m duologue.evaluation.parity_csm --size real --out benchmarks/results/parity_csm.json

fuzz: $(VENV)/installed-test  # at least 10,000 mutated files; some minutes
	$(BIN)/python -m tests.fuzz.run --cases 12000

evaluate: $(VENV)/installed-judges  # how well the embedded voice speaks, as JSON in benchmarks/results
	$(BIN)/python -m duologue.evaluation --out benchmarks/results/voice.json

$(VENV)/installed-judges: $(VENV)/installed-test  # opinion scores and speaker similarity; their own pins are older
	$(PIP) --no-deps resemblyzer==0.1.4 speechmos==0.0.1.1 distillmos==0.9.1
	@touch $@

clean:
	rm -rf build dist src/*.egg-info .pytest_cache .ruff_cache .mypy_cache
