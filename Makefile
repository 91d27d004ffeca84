# `make` or `make help` lists the targets.
PYTHON ?= python3
COLLECTION := build/collections/ansible_collections/mlops/mlflow
# The folder of the embedded stack, same as the default of the role embedded.
export EMBEDDED_HOME ?= $(if $(filter 0,$(shell id -u)),/var/lib/mlops-mlflow,$(HOME)/.local/share/mlops-mlflow)
export MOLECULE_GLOB := molecule/*/molecule.yml
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Ansible refuses to run in a locale that is not UTF-8.
export LC_ALL := C.UTF-8
# uv trusts the authorities that this machine trusts, such as a proxy's.
export UV_SYSTEM_CERTS := 1
# What Ansible, pip and uv keep for themselves goes into the checkout if the home folder cannot be written to.
ifneq ($(shell [ -d "$$HOME" ] && [ -w "$$HOME" ] || echo read-only),)
export ANSIBLE_HOME ?= $(CURDIR)/build/ansible
export XDG_CACHE_HOME ?= $(CURDIR)/build/cache
endif
.DEFAULT_GOAL := help
.PHONY: help setup up down destroy env backup restore maintenance rotate status doctor lock docs docs-site build lint unit contract sanity integration utils utils-slow utils-airflow utils-extras clients healing hostile parts akko outages airgap upgrade ha test-quick test test-all bench bench-k3s publishable release clean

help: ## Show this list
	@sed -nE 's/^([a-z-]+):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(COLLECTION) ## Create .venv with the pinned tools; PYTHON=... selects the interpreter
	@.ci/setup $(PYTHON)

# The checkout, linked to a path where Ansible finds collections.
$(COLLECTION):
	@mkdir -p $(@D) && ln -sfn ../../../.. $@

up: setup ## Deploy MLflow with PostgreSQL and S3 on this machine; ARGS='-e variable=value'
	@ansible-playbook site.yml $(ARGS)

down: setup ## Stop it, and keep its data
	@ansible-playbook playbooks/stop.yml $(ARGS)

destroy: setup ## Remove it with its data, after confirmation
	@ansible-playbook playbooks/remove.yml $(ARGS)

backup: setup ## Back it up; ARGS='-e mlflow_backup_drill=true' tries the new set
	@ansible-playbook playbooks/backup.yml $(ARGS)

restore: setup ## Restore the last backup, after a loss or on a new machine
	@ansible-playbook playbooks/restore.yml $(ARGS)

maintenance: setup ## Delete for good what was deleted in MLflow more than 30 days ago, and archive old traces if asked to; ARGS=--check shows it
	@ansible-playbook playbooks/maintenance.yml $(ARGS)

rotate: setup ## Rotate keys and passwords; ARGS='-e rotate=kek', several with commas between, or all; --check shows it
	@ansible-playbook playbooks/rotate.yml $(ARGS)

status: setup ## Show what runs, since when, sizes and the last backup; fails if something is wrong
	@ansible-playbook playbooks/status.yml $(ARGS)

doctor: setup ## Find what is wrong with it, layer by layer: cause and cure
	@ansible-playbook playbooks/diagnose.yml $(ARGS)

env: $(if $(ARGS),setup) ## Print environment variables for clients, for eval "$(make env)"; ARGS as for make up
ifeq ($(strip $(ARGS)),)
	@cat "$(EMBEDDED_HOME)/client.env" || { echo "The embedded stack is not set up yet; run: make up" >&2; exit 1; }
else
	@folder=$$(mktemp -d) && { ansible-playbook playbooks/env.yml $(ARGS) -e embedded_client_env=$$folder/client.env >$$folder/log 2>&1 \
	  && cat $$folder/client.env || { cat $$folder/log >&2; false; }; }; status=$$?; rm -rf $$folder; exit $$status
endif

LOCK := uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --upgrade

lock: setup ## Regenerate the pinned requirements of the roles from their requirements.in
	@$(LOCK) --python-version 3.9 --output-file roles/kubernetes/files/requirements.txt roles/kubernetes/files/requirements.in
	@for version in 3.17.2 3.16.1; do echo "mlflow==$$version" | $(LOCK) --python-version 3.11 --constraint - \
	  --output-file roles/embedded/files/requirements-$$version.txt roles/embedded/files/requirements.in || exit 1; \
	  echo "mlflow==$$version" | $(LOCK) --python-version 3.13 --constraint - --override roles/mlflow_image/files/leave-out.txt --output-file roles/mlflow_image/files/requirements-$$version.txt \
	  roles/mlflow_image/files/requirements.in || exit 1; \
	  echo "mlflow==$$version" | $(LOCK) --python-version 3.13 --constraint - --override roles/mlflow_image/files/leave-out.txt --output-file roles/mlflow_image/files/requirements-oidc-$$version.txt \
	  roles/mlflow_image/files/requirements.in roles/mlflow_image/files/requirements-oidc.in || exit 1; done

docs: setup ## Regenerate role READMEs and the reference from the documentation of roles and modules
	@PYTHONPATH=build/collections python docs/generate.py

docs-site: docs ## Build the documentation site in build/site/html
	@.ci/site

build: setup ## Build the collection artifact, and install it into build/artifact
	@rm -rf build/artifact && ansible-galaxy collection build --output-path build/artifact >/dev/null
	@ANSIBLE_COLLECTIONS_PATH=build/artifact ansible-galaxy collection install --force --offline -p build/artifact build/artifact/*.tar.gz >/dev/null

publishable: build ## Check that Galaxy, ansible-builder and PyPI accept the artifacts
	@.ci/publishable

release: setup ## Prepare a release, up to publishing it: make release VERSION=1.0.0
	@.ci/release $(VERSION)

lint: setup ## Lint everything: Python, types, roles, documentation, shell
	@ruff check --output-format concise
	@mypy
	@ansible-lint
	@PYTHONPATH=build/collections python docs/generate.py --check
	@antsibull-changelog lint
	@antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=self --skip-rstcheck $(COLLECTION)
	@shellcheck $$(git ls-files -co --exclude-standard '.ci/*' '*.sh' ':!*.py')

# Doctests of the CI stages, of files that run on hosts and in images, and of the test hosts.
DOCTESTS := .ci/stages.py roles/embedded/files/stack.py roles/artifact_store/files/move.py roles/mlflow_backup/files roles/mlflow_maintenance/files/maintenance_plan.py roles/mlflow_maintenance/files/maintenance_archive.py roles/mlflow_server/files/json_logs.py roles/mlflow_server/files/jwt/jwt_tokens.py $(wildcard roles/*/files/[pw]*.py tests/hosts/*.py) tests/hosts/parts/golang.py tests/hosts/k3s/stand_in tests/integration/dashboard_picture.py

# CI tries the same inputs each time, so that a commit is red for what it changed; `make hostile` looks for new ones.
SAME_INPUTS := --hypothesis-seed=0

# A test that takes longer hangs: the run ends, and says where each of its threads is.
NO_HANGS := -o faulthandler_timeout=300 -o faulthandler_exit_on_timeout=true

# The modules come first: tests load Ansible's importer, which then finds no others of them.
unit: setup ## Run the unit tests and doctests
	@pytest $(NO_HANGS) $(SAME_INPUTS) $(COLLECTION)/plugins/module_utils docs/generate.py tests/unit tests/ci $(DOCTESTS) --doctest-modules

contract: build ## Test the structure of the collection and its artifact
	@pytest $(NO_HANGS) tests/contract

sanity: build ## Run ansible-test sanity on the artifact
	@python tests/run_sanity.py

integration: build ## Deploy with the artifact, and test the modules against real servers
	@MLFLOW_TEST_COLLECTIONS=build/artifact pytest $(SAME_INPUTS) -n 2 --dist loadfile --durations=40 --durations-min=5 -m 'not slow' tests/integration

healing: build ## Interrupt, upgrade, break and fill up an embedded stack, and test that another run heals it
	@MLFLOW_TEST_COLLECTIONS=build/artifact pytest -m slow tests/integration

utils: setup ## Lint and test the Python package mlflow-utils
	@.ci/utils

parts: setup ## Build the images and binaries for the k3s test hosts; half an hour, once
	@.ci/k3s parts

akko: setup ## Run the stories of the akko inventory on two k3s test hosts
	@.ci/k3s akko

outages: setup ## Kill pods and hosts of the akko inventory while a client writes; test unsuitable hosts, logins, clients, backups, NFS, CloudNativePG, Vault, Envoy and Argo
	@.ci/k3s outages

airgap: setup ## Test an air-gapped installation
	@.ci/k3s airgap

upgrade: setup ## Upgrade MLflow and the collection with existing data, and test what akko does not use
	@.ci/k3s upgrade

ha: setup ## Deploy, upgrade and replace three k3s servers
	@.ci/k3s ha

# The quick stages on a fresh copy of the tree, and mlflow-utils without a server, for one Python version each.
sweep-%: setup
	@.ci/sweep $*

utils-3.%: setup
	@.ci/utils 3.$*

utils-slow: setup ## Test what of mlflow-utils takes more than a minute of CPU a test
	@.ci/utils slow

utils-airflow: setup ## Run the DAGs of the akko deployment under a real Airflow
	@.ci/utils-airflow

utils-extras: setup ## Test each extra of mlflow-utils with the newest versions that it allows
	@.ci/utils-extras

clients: setup ## Have a real JupyterHub and a real Airflow load what the role mlflow_clients writes
	@.ci/clients

hostile: setup ## Test ten thousand hostile declaration entries and hundreds of declarations, new ones each time, on a real server
	@MLFLOW_TEST_HOSTILE=10000 pytest tests/integration/test_hostile.py tests/integration/test_declarations.py

# .ci/stages.py defines each stage's time budget, and which stages run in parallel.
STAGES := $(PYTHON) .ci/stages.py
QUICK := setup lint unit contract sanity
GATE := $(QUICK) parts integration utils akko

test-quick: ## Run the tests that do not need a server
	@$(STAGES) $(QUICK)

test: ## Run all tests that CI runs, quick ones first
	@$(STAGES) $(GATE)

test-all: ## Run everything, including all supported Pythons and lost hosts; resumes from build/test-all.tsv
	@$(STAGES) --record build/test-all.tsv $(GATE) outages airgap upgrade ha sweep-3.11 sweep-3.12 sweep-3.13 \
	  utils-3.10 utils-3.11 utils-3.12 utils-3.13 utils-airflow utils-extras clients utils-slow healing hostile

bench: setup ## Benchmark modules, whole declarations, a second run, the stack's memory, backups, mlflow-utils
	@python tests/bench/bench.py
	@python tests/bench/recovery.py
	@.ci/utils bench

bench-k3s: setup ## Benchmark the deployment on k3s test hosts
	@python tests/bench/k3s.py

clean: ## Remove the results of building and testing, except .venv
	@rm -rf build .ansible .mypy_cache .ruff_cache .hypothesis
