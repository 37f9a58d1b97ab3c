# The two commands: `make up` brings a lab host to a proven WebSocket, `make test` proves the bundle itself.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
LAB ?= container
LAB_DEBIAN ?= 12
LAB_HTTP_PORT ?= 8080
LAB_HTTPS_PORT ?= 8443
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONDONTWRITEBYTECODE := 1
lab := $(PYTHON) molecule/lab/lab.py
ifeq ($(filter container local,$(LAB)),)
$(error LAB is "$(LAB)"; there is LAB=container (a lab host, as without it) and LAB=local (this machine itself))
endif

.PHONY: help
help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.complete: requirements.lock roles/base/files/uv.txt scripts/tools.sh
	@PYTHON="$(PYTHON)" scripts/tools.sh

.PHONY: tools
tools: .venv/.complete ## Install the pinned tools into .venv/

.PHONY: up
up: up-$(LAB) ## Make a lab host (LAB=local: this machine), deploy the example to it, prove it, and say how to open it

.PHONY: up-container
up-container: tools
	@host=$$($(lab) up lab --debian $(LAB_DEBIAN) --publish $(LAB_HTTP_PORT):80 \
	    --publish $(LAB_HTTPS_PORT):443); \
	  case "$$host" in *'"changed": true'*) proof= ;; *) proof='--extra-vars handshake_idle_seconds=0' ;; esac; \
	  ansible-playbook site.yml $$proof
	@molecule/lab/greet.sh

# It asks before anything is installed, the tools included.
.PHONY: up-local
up-local:
	@$(PYTHON) scripts/local.py ask
	@$(MAKE) --no-print-directory tools
	@umask 022; ansible-playbook --inventory inventories/local site.yml
	@$(PYTHON) scripts/local.py greet

.PHONY: down
down: down-$(LAB) ## Remove the lab's hosts (LAB=local: say what is on this machine)

.PHONY: down-container
down-container:
	@hosts=$$($(lab) list); if [ -n "$$hosts" ]; then $(lab) down $$hosts; fi

.PHONY: down-local
down-local:
	@$(PYTHON) scripts/local.py down

.PHONY: secrets
secrets: ## Make the secrets of INVENTORY=inventories/…, and encrypt them (docs/secrets.md)
	@$(if $(INVENTORY),,echo 'Say whose: make secrets INVENTORY=inventories/production' >&2; exit 1)
	@$(MAKE) --no-print-directory tools
	@python scripts/vault_secrets.py '$(INVENTORY)' --password-file='$(VAULT_PASSWORD_FILE)' --rotate='$(ROTATE)'

.PHONY: clean
clean: ## Remove all that was made: hosts, images, keys, tools, reports
	@$(lab) clean
	@rm -rf .venv .venv-newest .lab .cache artifacts .pytest_cache .mypy_cache .ruff_cache .hypothesis .ansible
	@find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: lint
lint: tools ## Check the style of everything
	@scripts/lint.sh

.PHONY: check
check: tools ## Check in minutes what most changes break; leaves out ansible-lint, slow tests, the example, all scenarios
	@scripts/lint.sh quick
	@pytest --quiet --numprocesses=2 --dist=worksteal -m 'not slow' tests

.PHONY: unit
unit: tools ## Run the tests that need no host, with the newest Python and ansible-core that this machine has
	@newest=$$(scripts/newest.sh); export PATH="$$newest:$$PATH"; \
	  echo "unit: $$(python --version), ansible-core $$(python -c 'import ansible.release as a; print(a.__version__)')"; \
	  pytest --quiet --numprocesses=2 --dist=worksteal tests
	@cd examples/dashboard/backend && pytest --quiet

.PHONY: molecule
molecule: tools ## Run every molecule scenario on lab hosts, three at a time (JOBS=1: one)
	@scripts/scenarios.sh

.PHONY: test
test: lint unit molecule ## Prove everything: style, tests without hosts, all scenarios

.PHONY: bench
bench: tools ## Measure, and write docs/benchmarks.md and docs/capacity.md
	@$(PYTHON) scripts/bench/times.py
	@$(PYTHON) scripts/bench/capacity.py

.PHONY: docs
docs: tools ## Write the references of variables and of the doctor's codes
	@python scripts/variables.py
	@python scripts/doctor_codes.py

.PHONY: docs-site
docs-site: tools ## Build the documentation as web pages, and fail for a link or an anchor that leads nowhere
	@scripts/docs/site.sh

.PHONY: release
release: tools ## Release VERSION=… with what is in changelogs/fragments (CONTRIBUTING.md)
	@scripts/docs/release.sh '$(VERSION)'

.PHONY: lock
lock: tools ## Resolve the pinned tools again
	@scripts/lock.sh
