# make demo: see a failover.   make test: everything, on real servers.
SHELL := /bin/bash
.PHONY: demo test quick lint bench faults simulate pythons sqlalchemy-suite django-suite clean setup

demo:            ## a real PostgreSQL cluster, a workload, nodes killed and brought back
	tools/venv.sh demo
	.venv/bin/clustersql demo $(ARGS)

# chromium shows the page of `serve()` to the tests, with the fonts that it is drawn with
setup:
	tools/servers.sh
	tools/apt-install.sh chromium fonts-dejavu-core
	tools/venv.sh all dev
	.venv/bin/python tools/mysql.py
	tools/older.sh

test: setup lint ## lint, types and all tests, on SQLite, PostgreSQL, MariaDB, three-node Galera and MySQL
	.venv/bin/python $(if $(ARGS),-m pytest $(ARGS),tools/tests.py)

quick:           ## lint, types, and the tests that need no server: in two minutes
	tools/venv.sh all dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/python $(if $(ARGS),-m pytest -q tests/pure tests/local $(ARGS),tools/tests.py pure local)

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

sqlalchemy-suite: ## SQLAlchemy's compliance suite through both pools, beside the drivers alone; ARGS: the drivers
	tools/servers.sh
	tools/venv.sh all dev
	.venv/bin/python tools/sqlalchemy_suite.py $(ARGS)

django-suite:    ## Django's own suite over a cluster, beside the drivers alone; ARGS: drivers and versions ("psycopg 4.2")
	tools/servers.sh
	tools/venv.sh all dev
	.venv/bin/python tools/django_suite.py $(ARGS)

bench:           ## what it costs and how it recovers, beside the raw drivers and the peers
	tools/servers.sh
	tools/apt-install.sh haproxy
	tools/venv.sh all bench
	.venv/bin/python -m bench $(ARGS)

faults:          ## real clusters and real faults: what a program sees, with the defaults and with tuned knobs
	tools/servers.sh
	tools/venv.sh all bench
	.venv/bin/python -m bench.faults $(ARGS)

simulate:        ## the real core under a virtual clock: balancing beside other rules, then faults; it needs no server
	tools/venv.sh toml simulation
	.venv/bin/python -m simulation.balancing $(ARGS)
	.venv/bin/python -m simulation.faults

pythons:         ## the pure, the local, the contract's and the guarantees' tests on 3.11 to 3.15: make pythons PYTHONS=3.14
	tools/servers.sh
	tools/pythons.sh $(PYTHONS)

clean:
	rm -rf .venv .servers .pythons .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
