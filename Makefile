# Every target with a `##` comment shows up in `make help`. Nothing here needs more than Python 3.11 and GNU make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The venv's own programs first: tests start parts of Vase by name.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
# Tests that run side by side on a small machine only slow each other down.
.NOTPARALLEL:
.PHONY: help up test check lint types unit integration postgres browser faults beside bench format clean chromium postgresql rabbitmq

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

up: $(VENV)/installed ## Start everything: web, worker, recorder, Flower and Redis (Ctrl-C stops it)
	@exec $(BIN)/python bin/up

test: lint types unit integration postgres browser rabbitmq ## Check everything: lint, types and all tests but the slow ones
	$(BIN)/pytest tests/faults -m "not slow"
	$(BIN)/pytest tests/beside -m "not slow" -n 8 --dist loadgroup

check: lint types unit ## Check what a minute allows: lint, types and unit tests

lint: $(VENV)/installed-dev ## Look for mistakes and for unformatted code
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/installed-dev ## Check the type hints
	$(BIN)/mypy

unit: $(VENV)/installed-dev ## Run the tests that need nothing beside them
	$(BIN)/pytest tests/unit -n 2

# These mostly wait for processes, so several files run at once.
integration: $(VENV)/installed-dev ## Run the tests with a real Redis, worker and recorder
	$(BIN)/pytest tests/integration -n 4 --dist loadfile

postgres: $(VENV)/installed-dev postgresql ## Run unit and integration tests on PostgreSQL
	VASE_TEST_DATABASE=postgresql $(BIN)/pytest tests/unit tests/integration tests/postgresql -m "database and not sqlite_only" -n 4 --dist loadfile

browser: $(VENV)/installed-dev chromium ## Run the tests in a real Chromium
	$(BIN)/pytest tests/browser -n 2 --dist loadfile

faults: $(VENV)/installed-dev postgresql ## Run the tests that kill and restart parts, the slow ones too
	$(BIN)/pytest tests/faults

# Versions of Celery that other people's workers run on, each in a virtual environment of its own.
OLD_CELERY := 5.2.7 5.3.6 5.4.0 5.5.3

beside: $(VENV)/installed-dev rabbitmq $(OLD_CELERY:%=$(VENV)-celery-%/bin/celery) ## Run other people's apps alone and beside Vase, and compare what they execute
	$(BIN)/pytest tests/beside --control -n 8 --dist loadgroup
	@for version in $(OLD_CELERY); do \
		echo "Workers of Celery $$version"; \
		BESIDE_BIN=$(CURDIR)/$(VENV)-celery-$$version/bin \
			$(BIN)/pytest tests/beside --control -m "not slow" -k "not gevent and not msgpack and not quorum" -n 8 --dist loadgroup || exit 1; \
	done

$(VENV)-celery-%/bin/celery: tests/beside/old/celery-%.txt | $(BIN)/python
	$(PYTHON) -m venv $(VENV)-celery-$*
	$(VENV)-celery-$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

bench: $(VENV)/installed-dev postgresql ## Measure, and fail when a figure misses its bar
	$(BIN)/python -m bench

format: $(VENV)/installed-dev ## Format the code and mend what can be mended by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## Remove the virtual environment and all caches; instance/, which holds your data, stays
	rm -rf $(VENV) $(VENV)-celery-* .mypy_cache .pytest_cache .ruff_cache .hypothesis test-results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Python's own messages about a missing ensurepip or an old version are hard to make sense of.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo 'Vase needs Python 3.11 or newer. If it has another name: make PYTHON=python3.12 up' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo 'This Python cannot make virtual environments. On Debian or Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The stamps are newer than the lists of requirements exactly as long as nothing has to be installed.
$(VENV)/installed: requirements.txt | $(BIN)/python
	@echo 'Installing what Vase runs on into $(VENV)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	@echo 'Installing what the checks need into $(VENV)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# The browser tests take the first of these that is there; Playwright's own download is the last resort.
CHROMIUMS := chromium chromium-browser google-chrome google-chrome-stable chrome

chromium: $(VENV)/installed-dev
	@for name in $(CHROMIUMS); do if command -v $$name >/dev/null; then exit 0; fi; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; \
	else \
		$(BIN)/playwright install chromium; \
	fi

# The tests start a private cluster from these programs, or use the server that TEST_POSTGRES_URL names.
postgresql:
	@if [ -n "$$TEST_POSTGRES_URL" ] || command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then \
		exit 0; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql; \
	else \
		echo 'There is no PostgreSQL here. Install it, or set TEST_POSTGRES_URL to a server that may make databases.' >&2; exit 1; \
	fi

# On a machine of its own, the package starts a server; the tests need but the programs.
rabbitmq:
	@if command -v rabbitmq-server >/dev/null || [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; then \
		exit 0; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rabbitmq-server; \
	else \
		echo 'There is no RabbitMQ here. Install it: its programs are all that the tests need.' >&2; exit 1; \
	fi
