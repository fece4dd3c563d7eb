"""pgbouncer before each node of a PostgreSQL cluster, on loopback."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cluster import PASSWORD, BaseCluster
from .ports import free_ports
from .postgres import PostgresCluster
from .processes import StartError, account, spawn, tail, wait_until

__all__ = ["PgBouncer"]

_SETTINGS = {
    "listen_addr": "127.0.0.1",
    "unix_socket_dir": "",
    "auth_type": "scram-sha-256",
    "admin_users": "admin",
    "max_client_conn": "500",
    # A server that comes back is used within a second, not 15.
    "server_login_retry": "1",
    "server_connect_timeout": "5",
}


class PgBouncer(BaseCluster):
    """One pgbouncer before each node of a `PostgresCluster`, under the node's name, on 127.0.0.1.

        with PostgresCluster() as cluster, PgBouncer(cluster) as pooled:
            psycopg.connect(pooled.dsn("n1"), prepare_threshold=None)
            pooled.kill("n1")    # the pooler; the server behind it lives on

    The user ``app`` and the database ``app`` are the cluster's.  `execute` runs a command of its console, such as
    ``PAUSE app``.

    Args:
        cluster: whose nodes stand behind; it must have been started.
        pool_mode: ``transaction``, ``session`` or ``statement``.
        pool_size: how many sessions of a server it shares among its clients, at most.
        directory: where to make the temporary folder; default: the system's place for those.
        settings: more settings for ``pgbouncer.ini``, as a mapping; they win.
    """

    scheme = "postgresql"

    def __init__(
        self,
        cluster: PostgresCluster,
        *,
        pool_mode: str = "transaction",
        pool_size: int = 20,
        directory: str | os.PathLike[str] | None = None,
        settings: dict[str, str] | None = None,
    ) -> None:
        ports = free_ports(len(cluster.nodes))
        super().__init__(len(ports), account("postgres"), directory, ports, tls=False)
        self._cluster = cluster
        self._settings = {"pool_mode": pool_mode, "default_pool_size": str(pool_size)} | (settings or {})
        self._program = find_program()
        self._admin_password = secrets.token_urlsafe(12)

    def start(self, name: str | None = None) -> None:
        """Start the pgbouncer before one node, or all; one that runs is left alone.  The server need not run."""
        with self._lock:
            if self._prepare("clustersql-pgbouncer-"):
                self._write("users", f'"app" "{PASSWORD}"\n"admin" "{self._admin_password}"\n')
        for each in self.nodes if name is None else [name]:
            if self.state(each) == "down":
                self._launch(each)

    def execute(self, name: str, sql: str, params: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a command of the pooler's console, such as ``SHOW POOLS``; return the rows, if it gives any."""
        import psycopg

        address = f"host=127.0.0.1 port={self.port(name)} user=admin dbname=pgbouncer connect_timeout=5"
        with psycopg.connect(address, password=self._admin_password, autocommit=True) as conn:
            cursor = psycopg.ClientCursor(conn).execute(sql.encode(), params)
            return cursor.fetchall() if cursor.description else []

    def heal(self) -> None:
        """Let every pooler run."""
        for name in self.nodes:
            self.thaw(name)
        self.start()

    def _launch(self, name: str) -> None:
        settings = _SETTINGS | {"listen_port": str(self.port(name)), "auth_file": str(self.directory / "users")}
        lines = [f"{key} = {value}" for key, value in (settings | self._settings).items()]
        database = f"app = host=127.0.0.1 port={self._cluster.port(name)} dbname=app"
        file = self._write(f"{name}.ini", "\n".join(["[databases]", database, "[pgbouncer]", *lines, ""]))
        process = spawn([self._program, file], self._account, self._log(name))
        self._register(name, process)

        def ready() -> bool:
            if not process.running:
                raise StartError(f"{name} ended while starting:\n{tail(self._log(name))}")
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port(name))) == 0

        wait_until(ready, f"pgbouncer {name} accepts connections ({self._log(name)})")

    def _write(self, file: str, text: str) -> Path:
        path = self.directory / file
        path.touch(0o600)
        path.write_text(text)
        self._account.own(path)
        return path

    def _stop(self, name: str) -> None:
        self._processes[name].terminate(signal.SIGTERM, 10)


def find_program() -> Path:
    """The program; raise `StartError` that says what to install when there is none."""
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise StartError("no pgbouncer on the PATH or in /usr/sbin (Debian: apt-get install pgbouncer)")
    return Path(found)
