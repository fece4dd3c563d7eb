"""One MariaDB server on loopback, and what it shares with a Galera node."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .cluster import PASSWORD, BaseCluster
from .ports import free_ports
from .processes import Process, StartError, account, run, spawn, tail, wait_until

__all__ = ["MariaDBServer"]

# `test` and root without a password by TCP: what configurations written for a developer's own server expect.
_USERS = f"""FLUSH PRIVILEGES;
CREATE DATABASE app;
CREATE DATABASE test;
CREATE USER app@'%' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON app.* TO app@'%';
GRANT PROCESS, CONNECTION ADMIN ON *.* TO app@'%';
CREATE OR REPLACE USER root@'127.0.0.1';
GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
"""

# The installation and every start must agree on the log's size, else each start rewrites the log.
_LOG_SIZE = "--innodb-log-file-size=16M"

_SETTINGS = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--default-storage-engine=InnoDB",
    "--binlog-format=ROW",
    "--innodb-autoinc-lock-mode=2",
    "--innodb-buffer-pool-size=32M",
    _LOG_SIZE,
    # Throw-away data: a crash of the machine may eat them, a kill -9 of the server does not.
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-flush-method=fsync",
    "--innodb-doublewrite=0",
    "--performance-schema=OFF",
    "--table-open-cache=200",
    "--aria-pagecache-buffer-size=8M",
    "--key-buffer-size=1M",
)


class MariaDBServer(BaseCluster):
    """A single MariaDB server, node ``n1``, on 127.0.0.1; starts in about 2 s.

    The user ``app`` (password ``secret``) has all rights on the database ``app``, and PROCESS and CONNECTION ADMIN.
    ``root`` connects from 127.0.0.1 without a password; there is an empty database ``test``.  Works as root too, where
    the server runs under the user ``mysql`` or ``nobody``.

    Args:
        directory: where to make the temporary folder; default: the system's place for those.
        port: the server's port; default: a free one.
        tls: offer TLS, by a certificate for 127.0.0.1 that `ca_file` verifies (needs the ``openssl`` program).
        max_connections: of the server.
        settings: more options for ``mariadbd``, each as on its command line.
    """

    scheme = "mysql"

    def __init__(
        self,
        *,
        directory: str | os.PathLike[str] | None = None,
        port: int | None = None,
        tls: bool = False,
        max_connections: int = 150,
        settings: Sequence[str] = (),
    ) -> None:
        self._init(1, directory, None if port is None else [port], tls, max_connections, settings)

    def _init(
        self,
        nodes: int,
        directory: str | os.PathLike[str] | None,
        ports: Sequence[int] | None,
        tls: bool,
        max_connections: int,
        settings: Sequence[str],
    ) -> None:
        BaseCluster.__init__(self, nodes, account("mysql"), directory, ports or free_ports(nodes), tls)
        self._server = find_program("mariadbd", "mysqld")
        self._installer = find_program("mariadb-install-db", "mysql_install_db")
        self._settings = [f"--max-connections={max_connections}", *settings]

    # -- verbs ------------------------------------------------------------------------------------------------------

    def start(self, name: str | None = None) -> None:
        """Start the server; does nothing when it runs.  Data outlive `stop` and `kill`, not `close`."""
        with self._lock:
            if self._prepare("clustersql-mariadb-"):
                self._install("n1")
        if self.state("n1") == "down":
            self._spawn("n1")
            self._wait("n1", lambda: bool(self._look("n1", "SELECT 1")), 30)

    def execute(self, name: str, sql: str, params: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement as ``root`` in database ``app``, in autocommit; return the rows, if it gives any."""
        [rows] = self._ask(name, [sql], params)
        return rows

    def set_read_only(self, name: str, on: bool = True) -> None:
        """Make the node refuse writes of users without READ_ONLY ADMIN (error 1290), or accept them again.

        Replication still applies, and on Galera the node still counts as ready.  It does not outlive a restart.
        """
        self.execute(name, f"SET GLOBAL read_only = {int(on)}")

    def terminate_sessions(self, name: str) -> int:
        """End every session of ordinary users on the node, as an administrator does; return how many."""
        ids = self.execute(
            name, "SELECT id FROM information_schema.processlist WHERE user NOT IN ('root', 'system user')"
        )
        for (number,) in ids:
            # One may have ended by itself meanwhile.
            with contextlib.suppress(self._error()):
                self.execute(name, f"KILL CONNECTION {number}")
        return len(ids)

    def heal(self) -> None:
        """Bring the server back: running, thawed, writable."""
        self.thaw("n1")
        self.start()
        self.set_read_only("n1", False)

    # -- details ----------------------------------------------------------------------------------------------------

    def _error(self) -> type[Exception]:
        import pymysql

        return pymysql.MySQLError

    @contextlib.contextmanager
    def _session(self, name: str, timeout: float) -> Iterator[Any]:
        import pymysql

        conn = pymysql.connect(
            host="127.0.0.1",
            port=self.port(name),
            user="root",
            password="",
            autocommit=True,
            # PyMySQL reads the system's whole store of authorities for each connection otherwise: 25 ms.
            ssl_disabled=True,
            connect_timeout=int(timeout),
            read_timeout=timeout,
            write_timeout=timeout,
        )
        try:
            yield conn
        finally:
            conn.close()

    def _ask(
        self, name: str, statements: Sequence[str], params: Sequence[Any] | None = None, timeout: float = 30
    ) -> list[list[tuple[Any, ...]]]:
        answers = []
        with self._session(name, timeout) as conn, conn.cursor() as cursor:
            # Not at login: a node out of its cluster refuses a default database.
            with contextlib.suppress(self._error()):
                cursor.execute("USE app")
            for sql in statements:
                cursor.execute(sql, params)
                answers.append([tuple(row) for row in cursor.fetchall()])
        return answers

    def _look(self, name: str, sql: str) -> list[tuple[Any, ...]]:
        """As `_ask`, and nothing while the node does not answer."""
        try:
            [rows] = self._ask(name, [sql], timeout=3)
        except (self._error(), OSError):
            return []
        return rows

    def _install(self, name: str) -> None:
        users = self.directory / "users.sql"
        users.write_text(_USERS)
        self._account.own(users)
        data = self.directory / name
        self._folder(data)
        temporary = self.directory / f"{name}.tmp"
        self._folder(temporary)
        run(
            [
                *(self._installer, "--no-defaults", f"--datadir={data}", f"--extra-file={users}", _LOG_SIZE),
                # In the common one two installations at a time take each other's tables away.
                f"--tmpdir={temporary}",
                *("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"),
            ],
            self._account,
        )

    def _folder(self, path: Path) -> None:
        path.mkdir(mode=0o700, exist_ok=True)
        self._account.own(path)

    def _command(self, name: str) -> list[str]:
        base = self.directory
        command = [
            *(self._server, "--no-defaults", f"--datadir={base / name}", f"--tmpdir={base / name}.tmp"),
            # Relative to the data folder: a socket's path has a limit of 107 characters, which a deep folder exceeds.
            *("--socket=s.sock", f"--pid-file={base / name}.pid", f"--port={self.port(name)}"),
            *(f"--server-id={self.nodes.index(name) + 1}", *_SETTINGS, *self._settings),
        ]
        if self._tls:
            tls = base / "tls"
            command += [f"--ssl-ca={tls}/ca.pem", f"--ssl-cert={tls}/server.pem", f"--ssl-key={tls}/server.key"]
        return command

    def _spawn(self, name: str, *options: str) -> Process:
        process = spawn([*self._command(name), *options], self._account, self._log(name))
        self._register(name, process)
        return process

    def _wait(self, name: str, ready: Any, timeout: float) -> None:
        process, log = self._processes[name], self._log(name)

        def check() -> bool:
            if not process.running:
                raise StartError(f"{name} ended while starting:\n{tail(log)}")
            return bool(ready())

        wait_until(check, f"{name} is ready (log: {log})", timeout=timeout, every=0.03)

    def _stop(self, name: str) -> None:
        self._processes[name].terminate(signal.SIGTERM, 20)


def find_program(*names: str) -> str:
    """The path of the first of these programs; raise `StartError` that says what to install."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    raise StartError(
        f"no {names[0]}: install MariaDB with Galera (Debian: apt-get install mariadb-server galera-4 rsync)"
    )
