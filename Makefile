# Two commands: `make run` shows the product on this machine, `make test` proves it.
PORT ?= 8080
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COMPILE := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
  -q --no-header --no-annotate
# The suite starts hundreds of programs: each would compile the whole product anew.
unexport PYTHONDONTWRITEBYTECODE
SCENARIO ?=
SCHOOLS ?= 300
FOR ?= 600
KEEP ?=

.PHONY: run test lint style types side-by-side labs alone gate lab demo bench torture fuzz lock words pictures deb bundle dashboards fleet faults clean

run: $(VENV)/.installed-run
	@exec $(BIN)/xiaotong-collector try --directory var --port $(PORT)

test: $(VENV)/.installed-dev
	@tests/apt-install.sh
	@$(MAKE) --no-print-directory style side-by-side
	@$(MAKE) --no-print-directory -j 2 types labs
	@$(MAKE) --no-print-directory alone gate

lint: style types

style: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

# Most tests wait more than they work, so they run side by side, the networks of the lab three at a time; what
# measures rates and delays runs alone.
side-by-side: $(VENV)/.installed-dev
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n 4 --dist loadfile -m "not lab and not quiet" --durations=12

labs: $(VENV)/.installed-dev
	$(BIN)/pytest -n 3 --dist loadfile -m "lab and not quiet" --durations=6

alone: $(VENV)/.installed-dev
	$(BIN)/pytest -m quiet --durations=12

# The gate stands where the suite stands: raise it when the suite rises.
gate: $(VENV)/.installed-dev
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --fail-under=94 --skip-covered --sort=cover

# Without SCENARIO: all of them, then outages with their causes, then each IPv6 check broken and repaired.
lab: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.lab run $(if $(KEEP),--keep) $(SCENARIO)
ifeq ($(SCENARIO),)
	@$(BIN)/python -m tests.lab.uptime
	@$(BIN)/python -m tests.agent.ipv6
endif

demo: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.lab demo --port $(PORT)

# A thousand kills of the collector's core: every acknowledged point is there, once.
torture: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.collector.ingest.torture 1000

# The tests that draw their cases, with cases not drawn before; what it finds becomes an example of its test.
fuzz: $(VENV)/.installed-dev
	@HYPOTHESIS_PROFILE=anew $(BIN)/pytest -q -n 3 $$(grep -rl '^from hypothesis' tests --include='test_*.py')

bench: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.bench

# The catalogue of what people read: extracted, then compiled; prints what lacks a translation.
words: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.words

# Of the recorded county; needs chromium and a Chinese font.
pictures: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.pictures

# Simulated agents that speak the real protocol, at the real rate: make fleet SCHOOLS=10000.
fleet: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.fleet $(SCHOOLS) --seconds $(FOR)

# docs/faults.md, from the tests' own marks.
faults: $(VENV)/.installed-dev
	@$(BIN)/python docs/make_faults.py

deb: $(VENV)/.installed-dev
	@$(BIN)/python -m deploy.debian.build

bundle: $(VENV)/.installed-dev
	@$(BIN)/python -m deploy.bundle.build agent

# Of what config/measurements.yaml declares.
dashboards: $(VENV)/.installed-dev
	@$(BIN)/python -m deploy.grafana.make_dashboards

# Dependencies are locked with hashes for every Python we serve.
lock: $(VENV)/.installed-dev
	$(COMPILE) --extra agent -o deploy/locks/agent.txt
	$(COMPILE) --extra collector -o deploy/locks/collector.txt
	$(COMPILE) --extra agent --extra collector --group build -o deploy/locks/run.txt
	$(COMPILE) --all-extras --group build -o deploy/locks/dev.txt

clean:
	rm -rf $(VENV) .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis dist

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The lock names everything, so nothing is resolved anew: an older pip asks for newer releases of extras otherwise.
# The sources are used where they stand.
$(VENV)/.installed-%: deploy/locks/%.txt pyproject.toml | $(BIN)/python
	$(BIN)/pip install --disable-pip-version-check -q --no-deps --require-hashes -r $<
	$(BIN)/pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	@touch $@
