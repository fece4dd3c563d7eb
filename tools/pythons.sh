#!/usr/bin/env bash
# Run the tests on every Python that is claimed, one after the other, and print a row of the table in docs/support.md for
# each.  Usage: tools/pythons.sh [VERSION...]; TESTS="tests/pure tests/local" chooses, else everything below.
# A Python is the one on the PATH, or comes from Debian's unstable branch into .pythons/, as do its packages.
set -uo pipefail
cd "$(dirname "$0")/.."
versions=${*:-3.11 3.12 3.13 3.14 3.15}
tests=${TESTS:-tests/pure tests/local tests/servers/drivers tests/servers/guarantees}
# The drivers that come as wheels for every version; mysqlclient, mariadb and asyncmy are compiled, which `make test` does.
extras=psycopg,psycopg2,pg8000,pymysql,mysql-connector,asyncpg,aiomysql,aiosqlite,prometheus,opentelemetry,toml,cli,testing
packages=("pytest>=8.3" "pytest-timeout>=2.3" "hypothesis>=6.120" "anyio>=4.5" "dbapi-compliance>=1.15" "psycopg-pool>=3.2"
    "cryptography>=44" "SQLAlchemy>=2.0.36" "Django>=5.1" "peewee>=3.17" "greenlet>=3.1" "uvloop>=0.21" "opentelemetry-sdk>=1.30")
failed=0

prepare() {  # VERSION: make .pythons/VERSION/venv, with the package and what its tests need
    local dir=$PWD/.pythons/$1
    if "python$1" -c "" 2>/dev/null; then  # not what only says that it is not there, as a shim of pyenv does
        [ -x "$dir/venv/bin/python" ] || "python$1" -m venv "$dir/venv"
    else
        tools/debian-python.sh "$dir" "$1"
    fi && "$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$extras]" "${packages[@]}"
}

for version in $versions; do
    if ! prepare "$version"; then
        echo "| $version | nothing: it could not be had | not known |"
        failed=1
        continue
    fi
    python=$PWD/.pythons/$version/venv/bin/python log=$PWD/.pythons/$version/tests.log
    # shellcheck disable=SC2086 - folders, each a word
    "$python" -m pytest -q -p no:cacheprovider $tests -k "not mysqlclient and not MySQLdb and not mariadb and not asyncmy and not _no_dsn" >"$log" 2>&1 || failed=1
    echo "| $("$python" -c 'import platform; print(platform.python_version())') | $tests | $(tail -n 1 "$log" | tr -d =) |"
done
exit $failed
