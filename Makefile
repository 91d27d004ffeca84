# `make` or `make help` lists what can be done.
PYTHON ?= python3
COLLECTION := build/collections/ansible_collections/mlops/mlflow
# The folder of the embedded stack, as the role embedded chooses it where nothing is said.
export EMBEDDED_HOME ?= $(if $(filter 0,$(shell id -u)),/var/lib/mlops-mlflow,$(HOME)/.local/share/mlops-mlflow)
export MOLECULE_GLOB := molecule/*/molecule.yml
export PATH := $(CURDIR)/.venv/bin:$(PATH)
.DEFAULT_GOAL := help
.PHONY: help setup up down destroy env lock docs build lint unit contract sanity integration utils molecule akko airgap upgrade ha test-quick test test-all bench bench-k3s clean

help: ## Show this list
	@sed -nE 's/^([a-z-]+):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: .venv/.ready $(COLLECTION) ## Make .venv with the pinned tools; PYTHON=... picks the interpreter

.venv/.ready: pyproject.toml .ci/setup
	@.ci/setup $(PYTHON)

# The checkout, under the path by which Ansible finds a collection.
$(COLLECTION):
	@mkdir -p $(@D) && ln -sfn ../../../.. $@

up: setup ## Bring up MLflow with PostgreSQL and S3 on this machine; ARGS='-e variable=value'
	@ansible-playbook site.yml $(ARGS)

down: setup ## Stop it; the data stay
	@ansible-playbook playbooks/stop.yml

destroy: setup ## Remove it and, after asking, its data
	@ansible-playbook playbooks/remove.yml

env: ## Print the export lines of a client, for eval "$(make env)"
	@cat "$(EMBEDDED_HOME)/client.env" || { echo "Nothing was brought up there yet: make up" >&2; exit 1; }

LOCK := uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --upgrade

lock: setup ## Write the pinned requirements of the roles anew, from their requirements.in
	@$(LOCK) --python-version 3.11 --output-file roles/embedded/files/requirements.txt roles/embedded/files/requirements.in
	@$(LOCK) --python-version 3.9 --output-file roles/kubernetes/files/requirements.txt roles/kubernetes/files/requirements.in
	@for version in 3.17.2 3.16.1; do echo "mlflow==$$version" | $(LOCK) --python-version 3.13 --constraint - \
	  --override roles/mlflow_image/files/leave-out.txt --output-file roles/mlflow_image/files/requirements-$$version.txt \
	  roles/mlflow_image/files/requirements.in || exit 1; done

docs: setup ## Write the reference of docs/mlflow-as-code.md anew, from the modules' documentation
	@PYTHONPATH=build/collections python docs/generate.py

build: setup ## Build the collection's artifact, and install it in build/artifact
	@rm -rf build/artifact && ansible-galaxy collection build --output-path build/artifact >/dev/null
	@ANSIBLE_COLLECTIONS_PATH=build/artifact ansible-galaxy collection install --force --offline -p build/artifact build/artifact/*.tar.gz >/dev/null

lint: setup ## Read everything: Python, types, roles, documentation, shell
	@ruff check --output-format concise
	@mypy
	@ansible-lint
	@PYTHONPATH=build/collections python docs/generate.py --check
	@antsibull-changelog lint
	@antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=self --skip-rstcheck $(COLLECTION)
	@shellcheck $$(git ls-files -co --exclude-standard '.ci/*' '*.sh')

# What runs on hosts and in images, and the hosts of the tests.
DOCTESTS := $(wildcard roles/*/files/[pw]*.py tests/hosts/*.py) tests/hosts/parts/golang.py tests/hosts/k3s/stand_in

unit: setup ## Run the unit tests and doctests
	@pytest tests/unit $(COLLECTION)/plugins/module_utils/_core $(DOCTESTS) --doctest-modules

contract: build ## Run the tests of the collection's shape, and of its artifact
	@pytest tests/contract

sanity: build ## Run ansible-test sanity on the artifact
	@python tests/run_sanity.py

integration: build ## Deploy with the artifact, and run the modules against real servers
	@MLFLOW_TEST_COLLECTIONS=build/artifact pytest -n 2 --dist loadfile tests/integration

utils: setup ## Read and test the Python package mlflow-utils
	@.ci/utils

molecule: setup ## Run the Molecule scenario of the embedded inventory
	@molecule test --scenario-name default

akko: setup ## Run the Molecule scenario of the akko inventory, on two k3s hosts made here
	@.ci/k3s akko

airgap: setup ## Run the Molecule scenario of hosts without a way out
	@.ci/k3s airgap

upgrade: setup ## Run the Molecule scenario of an upgrade of MLflow, on hosts like these
	@.ci/k3s upgrade

ha: setup ## Run the Molecule scenario of three k3s servers
	@.ci/k3s ha

test-quick: ## Run the tests that need no server
	@.ci/stages setup lint unit contract sanity

test: ## Run every test, the quick ones first
	@.ci/stages setup lint unit contract sanity integration utils molecule akko

test-all: test ## Run every test, and the quick ones on each supported Python
	@.ci/sweep 3.11 3.12 3.13
	@.ci/utils 3.10 3.11 3.12 3.13
	@.ci/utils-airflow
	@.ci/k3s airgap
	@.ci/k3s upgrade
	@.ci/k3s ha

bench: setup ## Measure: modules, whole declarations, a second run, the stack's memory, mlflow-utils
	@python tests/bench/bench.py
	@.ci/utils bench

bench-k3s: setup ## Measure the deployment on k3s hosts made here
	@python tests/bench/k3s.py

clean: ## Remove what building and testing leave, but for .venv
	@rm -rf build .ansible .mypy_cache .ruff_cache .hypothesis
