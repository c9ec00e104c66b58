# The commands anyone needs. Each makes the environment first.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
JOBS   ?= 3

.PHONY: demo test check lint soak bench lock clean

$(VENV)/.demo: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tidegate needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[demo]'
	touch $@

$(VENV)/.test: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tidegate needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[test,bench]'
	touch $@ $(VENV)/.demo

# SageMaker's SDK v2, whose requirements do not fit those of the tests.
.venv-sdk/.done: Makefile
	test -x .venv-sdk/bin/python || $(PYTHON) -m venv .venv-sdk
	.venv-sdk/bin/python -m pip install --quiet --disable-pip-version-check 'sagemaker>=2.257,<3'
	touch $@

demo: $(VENV)/.demo      ## deploy, shift, roll back: the whole story in three minutes
	$(BIN)/python -m demo.run

test: lint .venv-sdk/.done ## everything that CI runs
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -q

lint: $(VENV)/.test
	$(BIN)/ruff check src tests bench demo
	$(BIN)/ruff format --check src tests bench demo
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

soak: $(VENV)/.test      ## longer property and chaos runs
	HYPOTHESIS_PROFILE=soak TIDEGATE_CHAOS=50 TIDEGATE_WORLDS=1000000 $(BIN)/python -m pytest -n $(JOBS) -q tests/property tests/chaos --timeout 3600

bench: $(VENV)/.test     ## every benchmark, one after the other
	$(BIN)/python -m bench

lock:                    ## refresh requirements.lock (versions and hashes only, no addresses)
	$(BIN)/python -m pip install --quiet 'uv<1'
	$(BIN)/uv pip compile --universal --python-version 3.11 --all-extras --no-emit-index-url --no-annotate --quiet \
	  --custom-compile-command 'make lock' -o requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) .venv-sdk build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis demo/.cache bench/.cache
