# Every command of the project; README.md says what each is for.
PYTHON := .venv/bin/python
SEEDS ?= 200
N ?= 3
MINUTES ?= 30
ROUNDS ?= 50
ARGS ?=

# Tests that start no process of ours and look at no clock: they run beside the others, and behind them.
CORES := tests/contract tests/core tests/sim tests/sql tests/storage tests/wire

# What the tests start or look through: PostgreSQL servers as peers and for Django, Redis as broker, bubblewrap to run the
# composition's services in sandboxes, curl as a user has it, strace to see what reached the disk, patch to plant faults,
# a browser for the admin, clocks that are off.
TEST_PACKAGES := postgresql-15 redis-server bubblewrap curl strace patch chromium fonts-dejavu-core libfaketime

.PHONY: help up demo test check sim kill histories failover soak bench reset fresh image venv packages

help:
	@echo "make up       start the cluster, the web server, a Celery worker and beat; Ctrl-C ends them"
	@echo "make demo     a bank on the running cluster, a node killed, and a proof (ARGS=\"--seconds 60\")"
	@echo "make test     every test that CI runs; installs what it needs"
	@echo "make check    linters, types, house rules"
	@echo "make sim      the deterministic simulator, both rings (SEEDS=200)"
	@echo "make kill     money moves while nodes are killed (N=3 rounds)"
	@echo "make histories the self-check's workloads while faults of every kind strike, judged (ROUNDS=10)"
	@echo "make failover how long a lost leader is missed, and elections that nobody needed (ROUNDS=50 MINUTES=10)"
	@echo "make soak     full load for long: memory and disk stay flat (MINUTES=30)"
	@echo "make bench    the benchmarks, peers included"
	@echo "make reset    delete the home and its data, after asking"
	@echo "make fresh    make up and make test in a new Debian root (needs root and debootstrap)"
	@echo "make image    what docker/ says, done without an engine (needs root and debootstrap)"

# Kept apart from `venv`, so that `manage.py` is a child of make itself and gets its signals.
up: venv
	@$(PYTHON) manage.py up --with-parent

# Against the cluster that `make up` started on the same home.
demo: venv
	@$(PYTHON) manage.py demo $(ARGS)

test: packages venv
	@$(MAKE) --no-print-directory check
ifeq ($(strip $(ARGS)),)
	@log=$$(mktemp); nice -n 10 $(PYTHON) -m pytest $(CORES) >$$log 2>&1 & cores=$$!; \
	$(PYTHON) -m pytest $(CORES:%=--ignore=%); others=$$?; \
	echo "beside them, $(CORES):"; wait $$cores; cores=$$?; cat $$log; rm $$log; exit $$((others | cores))
else
	$(PYTHON) -m pytest $(ARGS)
endif

check: venv
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -m pytest tests/test_tidy.py

sim: venv
	$(PYTHON) -m tests.contract --seeds $(SEEDS)
	$(PYTHON) -m tests.sim --seeds $(SEEDS)

kill: venv
	$(PYTHON) -m tests.e2e.kill --rounds $(N)

histories: ROUNDS = 10
histories: venv
	$(PYTHON) -m tests.e2e.histories --rounds $(ROUNDS)

# Without a word from the caller, ten minutes of full load follow the rounds.
failover: MINUTES = 10
failover: venv
	$(PYTHON) -m tests.e2e.failover --rounds $(ROUNDS) --minutes $(MINUTES)

soak: venv
	$(PYTHON) -m tests.e2e.soak --minutes $(MINUTES)

bench: packages venv
	$(PYTHON) -m benchmarks

reset: venv
	@$(PYTHON) manage.py reset

# As root, with debootstrap: make up and make test in a Debian root of their own.
fresh:
	sh tests/e2e/fresh_root.sh

# The same for docker/: the image's root, built by what the Dockerfile says, and the composition run in it.
image: packages venv
	sh tests/e2e/image_root.sh

venv:
	@sh txstore/bootstrap.sh venv

# The Python is looked for first: nothing is installed on a machine that lacks it.
packages:
	@sh txstore/bootstrap.sh python
	@sh txstore/bootstrap.sh packages $(TEST_PACKAGES)
