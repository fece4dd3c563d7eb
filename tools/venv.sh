#!/usr/bin/env bash
# Make .venv and install clustersql into it, editable.  Usage: tools/venv.sh EXTRAS [GROUP]
# Runs again only when pyproject.toml or what is asked for has changed (the stamp file), so that `make test` twice costs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
extras=$1 group=${2:-}
fail() { echo "clustersql: $*" >&2; exit 1; }
# Debian's own Python comes first: it is built with profile-guided optimisation, which one that somebody has compiled mostly
# is not, and the tests take a third less time.  It must have what a virtualenv and the drivers' extensions need.
fits='import os, sys, sysconfig, ensurepip; sys.exit(sys.version_info < (3, 11) or not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
python=${PYTHON:-$(/usr/bin/python3 -c "$fits" 2>/dev/null && echo /usr/bin/python3 || echo python3)}
command -v "$python" >/dev/null || fail "no $python on the PATH; install Python 3.11 or newer"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$("$python" --version) is too old; set PYTHON=python3.11 or newer"
want="$(cksum < pyproject.toml) $("$python" --version) $extras $group"
stamp=.venv/.clustersql-$extras
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && exit 0
if ! "$python" -m venv .venv 2>/dev/null; then   # Debian ships Python without ensurepip: the package python3-venv has it
    tools/apt-install.sh python3-venv
    rm -rf .venv && "$python" -m venv .venv
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"   # --group needs 25.1
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$extras]" ${group:+--group "$group"}
echo "$want" > "$stamp"
