#!/usr/bin/env bash
# The older releases of frameworks that are tested beside those in .venv: SQLAlchemy 2.0 and Django 4.2, into .servers/older.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=.servers/older
[ -f "$folder/.whole" ] && exit 0
rm -rf "$folder"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder" "SQLAlchemy==2.0.*" "Django==4.2.*"
touch "$folder/.whole"
