#!/usr/bin/env bash
# The servers that the tests need and that no Python package carries: MariaDB with Galera, a PostgreSQL with TLS and PostGIS,
# pgbouncer, and Patroni with etcd.
# iproute2 makes the network that drops packets.  libmariadb-dev, gcc, pkg-config and the Python headers build the drivers mysqlclient and mariadb.
set -euo pipefail
cd "$(dirname "$0")"
packages=(mariadb-server galera-4 rsync socat lsof postgresql postgresql-postgis pgbouncer patroni python3-etcd etcd-server iproute2 openssl libmariadb-dev gcc pkg-config)
include=$("${PYTHON:-python3}" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
[ -f "$include/Python.h" ] || packages+=(python3-dev)
./apt-install.sh "${packages[@]}"
