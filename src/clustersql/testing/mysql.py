"""MySQL on loopback, as a source with replicas or as a group, for tests of failover."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from .cluster import PASSWORD, BaseCluster
from .debian import cache_folder, once, unpacked
from .mysqlmodes import Group, Mode, Replication
from .ports import free_ports
from .processes import Account, StartError, account, run, spawn, tail, wait_until

__all__ = ["MySQLCluster", "fetch"]

# What `clustersql` needs besides the application's own rights: the group tables tell who belongs to a group and its
# view, REPLICATION SLAVE and REPLICATION CLIENT who replicates from whom.  Not CONNECTION_ADMIN: its holder writes on a
# server that is read_only.
_USERS = f"""CREATE DATABASE app;
CREATE USER root@'127.0.0.1';
GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
CREATE USER app@'%' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON app.* TO app@'%';
GRANT PROCESS, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO app@'%';
GRANT SELECT ON performance_schema.replication_group_members TO app@'%';
GRANT SELECT ON performance_schema.replication_group_member_stats TO app@'%';
CREATE USER repl@'%' IDENTIFIED BY '{PASSWORD}';
GRANT REPLICATION SLAVE, CONNECTION_ADMIN, GROUP_REPLICATION_STREAM ON *.* TO repl@'%';
"""

# Throw-away data: a crash of the machine may eat them, a kill -9 of a server does not.
_STORAGE = (
    "--innodb-redo-log-capacity=32M",
    "--innodb-flush-method=nosync",
    "--innodb-doublewrite=0",
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-buffer-pool-size=32M",
    "--sync-binlog=0",
)

_SETTINGS = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--mysqlx=OFF",
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
    "--log-bin-trust-function-creators=ON",
    "--report-host=127.0.0.1",
    "--replica-net-timeout=5",
    "--table-open-cache=200",
    "--table-definition-cache=400",
    # The tables of replication and of a group are part of it and need no instrument; the rest of its memory is saved.
    "--performance-schema-instrument=%=OFF",
    "--performance-schema-digests-size=0",
    "--performance-schema-error-size=0",
    "--performance-schema-max-table-instances=200",
    "--performance-schema-max-thread-instances=200",
    "--performance-schema-events-statements-history-long-size=0",
    "--performance-schema-events-waits-history-long-size=0",
    "--performance-schema-events-stages-history-long-size=0",
    "--performance-schema-events-transactions-history-long-size=0",
)

_SYSTEM_USERS = "'root', 'repl', 'system user', 'event_scheduler', 'mysql.session', 'mysql.infoschema'"


class MySQLCluster(BaseCluster):
    """MySQL servers ``n1``, ``n2``, ... on 127.0.0.1; ``n1`` accepts writes at first.

        with MySQLCluster(mode="group") as cluster:
            pymysql.connect(host="127.0.0.1", port=cluster.port("n1"), user="app", password="secret", database="app")
            cluster.kill("n1")

    The server is fetched from Debian on its first use (60 MB) and kept in a cache folder: `clustersql.testing.debian`.
    A node takes some 290 MB of memory, in a group 450 MB.  The user ``app`` (password ``secret``, by
    ``caching_sha2_password``) has all rights on the database ``app`` and those that ``clustersql`` needs.  Works as
    root too, where the servers run under the user ``mysql`` or ``nobody``.

    Args:
        nodes: how many servers.
        mode: ``"replication"``, a source and its replicas by GTIDs and semi-synchronous; or ``"group"``, Group
            Replication with a single primary.
        directory: where to make the temporary folder; default: the system's place for those.
        ports: the servers' ports; default: free ones.
        tls: offer TLS by a certificate for 127.0.0.1 that `ca_file` verifies (needs the ``openssl`` program), in place
            of those that the servers make for themselves.
        max_connections: of each server.
        settings: more options for ``mysqld``, each as on its command line.
    """

    scheme = "mysql"

    def __init__(
        self,
        nodes: int = 3,
        mode: Literal["replication", "group"] = "replication",
        *,
        directory: str | os.PathLike[str] | None = None,
        ports: Sequence[int] | None = None,
        tls: bool = False,
        max_connections: int = 150,
        settings: Sequence[str] = (),
    ) -> None:
        if mode not in ("replication", "group"):
            raise ValueError(f"mode={mode!r}: must be 'replication' or 'group'")
        super().__init__(nodes, account("mysql"), directory, ports or free_ports(nodes), tls)
        self._settings = [f"--max-connections={max_connections}", *settings]
        self._server_ids = {name: number for number, name in enumerate(self.nodes, 1)}
        self._mode: Mode = Group(self) if mode == "group" else Replication(self)

    # -- verbs ------------------------------------------------------------------------------------------------------

    def start(self, name: str | None = None) -> None:
        """Start one node, or the whole cluster (some 10 s the first time), and wait until it takes part.

        In replication a node starts as what it was: a killed source comes back as one, even if another was promoted
        meanwhile; use `rejoin` unless this split brain is what you want.  A group is founded anew when none of its
        members runs.  Data outlive `stop` and `kill`, not `close`.
        """
        with self._lock:
            if self._prepare("clustersql-mysql-"):
                for each in self.nodes:
                    self._fill(each)
        down = [each for each in (self.nodes if name is None else [name]) if self.state(each) == "down"]
        for each in down:
            self._launch(each)
        for each in down:
            self._wait_for(each)
        self._mode.join(down)

    @property
    def primary(self) -> str:
        """The node that accepts writes, by asking all that run."""
        return self._mode.primary()

    def promote(self, name: str) -> None:
        """Make a node the primary, and let the others that run follow it.

        In replication the old source is not touched: stop, kill, freeze or demote it first (`set_read_only`), unless a
        split brain is what you want.  In a group the primary that lives hands over; one that was killed is waited for
        until the group has expelled it (some 5 s).
        """
        self._mode.promote(name)

    def switchover(self, name: str) -> None:
        """Hand over from the primary to ``name``, in place and with the sessions kept; nothing is lost."""
        self._mode.switchover(name)

    def rejoin(self, name: str) -> None:
        """Bring the node back as a follower of the current primary; data that the primary has not are dropped."""
        self._mode.rejoin(name)

    def pause(self, name: str, on: bool = True) -> None:
        """Let the node apply nothing of what it receives, or go on with it (``on=False``)."""
        self._mode.pause(name, on)

    def execute(self, name: str, sql: str, params: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement as ``root`` in database ``app``, in autocommit; return the rows, if it gives any."""
        with closing(self.connect(name, 60)) as conn, conn.cursor() as cursor:
            cursor.execute(sql, params)
            return [tuple(row) for row in cursor.fetchall()]

    def set_read_only(self, name: str, on: bool = True) -> None:
        """Make the node refuse writes (``super_read_only``, error 1290), or accept them again; sessions are kept.

        In replication it outlives a restart of the node by `start`.
        """
        self._mode.set_read_only(name, on)

    def terminate_sessions(self, name: str) -> int:
        """End every session of ordinary users on the node, as an administrator does; return how many."""
        who = f"SELECT id FROM information_schema.processlist WHERE user NOT IN ({_SYSTEM_USERS})"
        ids = self.execute(name, who)
        for (number,) in ids:
            # One may have ended by itself meanwhile.
            with contextlib.suppress(self._sql_error):
                self.execute(name, f"KILL CONNECTION {number}")
        return len(ids)

    def heal(self) -> None:
        """Bring every node back: running, thawed, ``n1`` the primary, the others following it.

        Asks each node once when nothing is wrong (about 10 ms); else it takes seconds, on a group up to 20.
        """
        for name in self.nodes:
            self.thaw(name)
        if all(self.state(name) == "running" for name in self.nodes) and self._mode.healthy():
            return
        self._mode.heal()

    # -- for the modes ----------------------------------------------------------------------------------------------

    @property
    def _sql_error(self) -> type[Exception]:
        """The base of what `execute` raises."""
        import pymysql

        return pymysql.MySQLError

    def _glimpse(self, name: str, sql: str) -> list[tuple[Any, ...]]:
        """As `execute`, and nothing while the node does not answer."""
        if self.state(name) != "running":
            return []
        try:
            with closing(self.connect(name, 3)) as conn, conn.cursor() as cursor:
                cursor.execute(sql)
                return [tuple(row) for row in cursor.fetchall()]
        except (self._sql_error, OSError):
            return []

    def _wait_for(self, name: str, sql: str = "SELECT 1", expected: Any = 1, timeout: float = 60) -> None:
        """Wait until the node answers ``sql`` with ``expected``; raise `StartError` when it ends, or after ``timeout``
        seconds.
        """
        process, log = self._processes[name], self._log(name)

        def check() -> bool:
            if not process.running:
                raise StartError(f"{name} ended while starting:\n{tail(log)}")
            return self._glimpse(name, sql) == [(expected,)]

        wait_until(check, f"{name} answers {sql} with {expected} (log: {log})", timeout=timeout, every=0.03)

    def _renew(self, name: str) -> None:
        """Start the node anew with nothing in it: what it had is dropped."""
        self.kill(name)
        # Another number: what the old one wrote comes back by replication, and a server skips what bears its own.
        self._server_ids[name] += len(self.nodes)
        self._wipe(self.directory / name)
        self._fill(name)
        self._launch(name)
        self._wait_for(name)

    # -- details ----------------------------------------------------------------------------------------------------

    def connect(self, name: str, timeout: float) -> Any:
        """Return a connection of the administrator."""
        import pymysql

        return pymysql.connect(
            host="127.0.0.1",
            port=self.port(name),
            user="root",
            password="",
            database="app",
            autocommit=True,
            # PyMySQL reads the system's whole store of authorities for each connection otherwise: 25 ms.
            ssl_disabled=True,
            connect_timeout=int(timeout),
            read_timeout=timeout,
            write_timeout=timeout,
        )

    def _fill(self, name: str) -> None:
        """Give the node the data of a server that was just installed, with the users."""
        data = self.directory / name
        shutil.copytree(_installation(self._account), data)
        for path in (data, *data.rglob("*")):
            self._account.own(path)

    def _launch(self, name: str) -> None:
        base = self.directory
        data = base / name
        command = [
            *(*_server(self._account), f"--datadir={data}", f"--port={self.port(name)}"),
            # Relative to the data folder: a socket's path has a limit of 107 characters, which a deep folder exceeds.
            *("--socket=s.sock", "--pid-file=m.pid", f"--server-id={self._server_ids[name]}"),
            *(f"--report-port={self.port(name)}", *_STORAGE, *_SETTINGS, *self._mode.options(name), *self._settings),
        ]
        if self._tls:
            tls = base / "tls"
            command += [f"--ssl-ca={tls}/ca.pem", f"--ssl-cert={tls}/server.pem", f"--ssl-key={tls}/server.key"]
        self._register(name, spawn(command, self._account, self._log(name)))

    def _stop(self, name: str) -> None:
        self._processes[name].terminate(signal.SIGTERM, 20)


def fetch() -> None:
    """Fetch the server and make its first data folder, unless both are there: the first cluster would wait for it.

    Raises `StartError` when it cannot be had.
    """
    _installation(account("mysql"))


def _server(who: Account) -> list[str]:
    tree = unpacked(["mysql-server-core"], who)
    root = tree.root
    return [
        *tree.command("usr/sbin/mysqld"),
        *("--no-defaults", f"--basedir={root}/usr", f"--lc-messages-dir={root}/usr/share/mysql"),
        *(f"--plugin-dir={root}/usr/lib/mysql/plugin", "--secure-file-priv="),
    ]


def _installation(who: Account) -> Path:
    """Return a data folder with the users and nothing else, made once (some 5 s) and copied for every node."""
    name = hashlib.sha256(" ".join([_USERS, *_STORAGE]).encode()).hexdigest()[:12]
    return once(cache_folder(who) / f"mysql-data-{name}", lambda made: _install(made, who)) / "data"


def _install(folder: Path, who: Account) -> None:
    users, data = folder / "users.sql", folder / "data"
    users.write_text(_USERS)
    data.mkdir()
    for path in (users, data):
        who.own(path)
    options = [*_STORAGE, "--performance-schema=OFF", f"--datadir={data}", f"--init-file={users}"]
    run([*_server(who), *options, "--initialize-insecure"], who)
    # Every copy makes a UUID of its own.
    (data / "auto.cnf").unlink()
    users.unlink()
