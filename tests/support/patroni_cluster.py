"""A real Patroni with a real etcd, on loopback: two servers of PostgreSQL, n1 the leader at first."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from clustersql.testing.ports import free_ports
from clustersql.testing.processes import (
    Process,
    StartError,
    Watchdog,
    account,
    make_directory,
    remove,
    run,
    spawn,
    tail,
    wait_until,
)

_NODE = """\
scope: shop
name: {name}
restapi: {{listen: '127.0.0.1:{api}', connect_address: '127.0.0.1:{api}'}}
etcd3: {{hosts: '127.0.0.1:{etcd}'}}
bootstrap:
  dcs:
    ttl: 60
    loop_wait: 1
    # A busy machine must not make it give up its leader.
    retry_timeout: 20
    postgresql: {{use_pg_rewind: true, parameters: {{wal_log_hints: 'on', max_connections: 60}}}}
  initdb: [{{encoding: UTF8}}, {{locale: C}}, no-sync]
postgresql:
  listen: 127.0.0.1:{port}
  connect_address: 127.0.0.1:{port}
  data_dir: {base}/{name}
  bin_dir: {binaries}
  pgpass: {base}/{name}.pgpass
  basebackup: [{{checkpoint: fast}}, no-sync]
  pg_hba: ['host replication repl 127.0.0.1/32 scram-sha-256', 'host all all 127.0.0.1/32 scram-sha-256']
  authentication:
    superuser: {{username: postgres, password: secret}}
    replication: {{username: repl, password: secret}}
    rewind: {{username: rewind, password: secret}}
  parameters: {{unix_socket_directories: '{base}', shared_buffers: 32MB, fsync: 'off', wal_retrieve_retry_interval: 200ms}}
"""
NODES = ("n1", "n2")


def program(name: str, package: str) -> Path:
    """The path of a program; raise `StartError` that says what to install when there is none."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise StartError(f"no {name} on the PATH or in /usr/sbin (Debian: apt-get install {package})")
    return Path(found)


def binaries() -> Path:
    """The newest PostgreSQL of the system: Debian's Patroni knows it."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise StartError("no PostgreSQL below /usr/lib/postgresql (Debian: apt-get install postgresql)")
    return found[-1].parent


class PatroniCluster:
    """The processes; a context manager.  Each member is a session of its own, which ends its PostgreSQL."""

    def __init__(self) -> None:
        self._patroni, self._etcd = program("patroni", "patroni"), program("etcd", "etcd-server")
        self._control = program("patronictl", "patroni")
        etcd, peer, *others = free_ports(2 + 2 * len(NODES))
        self._ports = {name: others[2 * i] for i, name in enumerate(NODES)}
        self._apis = {name: others[2 * i + 1] for i, name in enumerate(NODES)}
        self._etcd_ports = etcd, peer
        self._account = account("postgres")
        self._running: list[Process] = []

    def __enter__(self) -> Self:
        self._base = make_directory(self._account, None, "clustersql-patroni-")
        self._watchdog = Watchdog(self._base)
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _start(self) -> None:
        etcd, peer = (f"http://127.0.0.1:{port}" for port in self._etcd_ports)
        at = ["--listen-client-urls", etcd, "--advertise-client-urls", etcd, "--listen-peer-urls", peer]
        at += ["--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
        self._spawn("etcd", [self._etcd, "--data-dir", self._base / "etcd", "--unsafe-no-fsync", *at])
        wait_until(lambda: _listens(self._etcd_ports[0]), f"etcd: {tail(self._base / 'etcd.log')}")
        for name in NODES:
            places = {"api": self._apis[name], "port": self._ports[name], "etcd": self._etcd_ports[0]}
            text = _NODE.format(name=name, base=self._base, binaries=binaries(), **places)
            self._config(name).write_text(text)
            self._account.own(self._config(name))
            self._spawn(name, [self._patroni, self._config(name)])
            wait_until(lambda: self.leader() == "n1", f"n1 leads\n{tail(self._base / 'n1.log')}", timeout=60)
        wait_until(self.is_whole, "both are there", timeout=60)
        self.execute("CREATE ROLE app LOGIN PASSWORD 'secret'", "CREATE DATABASE app OWNER app")

    def _spawn(self, name: str, command: list[Any]) -> None:
        process = spawn(command, self._account, self._base / f"{name}.log")
        self._running.append(process)
        self._watchdog.watch(process)

    def _config(self, name: str) -> Path:
        return self._base / f"{name}.yml"

    def close(self) -> None:
        """End all of them, the members first, at the same time: each ends its PostgreSQL."""
        etcd, *members = self._running
        with ThreadPoolExecutor() as several:
            list(several.map(lambda process: process.terminate(signal.SIGTERM, 20), members))
        etcd.terminate(signal.SIGTERM, 10)
        self._watchdog.close()
        remove(self._base)

    def dsn(self, name: str) -> str:
        """The URL of the database ``app`` for its user."""
        return f"postgresql://app:secret@127.0.0.1:{self._ports[name]}/app"

    def port(self, name: str) -> int:
        """Where its PostgreSQL listens."""
        return self._ports[name]

    def api(self, name: str) -> str:
        """Where its Patroni is asked."""
        return f"http://127.0.0.1:{self._apis[name]}"

    def told(self) -> dict[str, Any]:
        """What Patroni says of the cluster; nothing while nobody answers."""
        for name in NODES:
            try:
                with urllib.request.urlopen(f"{self.api(name)}/cluster", timeout=5) as answer:
                    return dict(json.load(answer))
            except OSError:
                continue
        return {"members": []}

    def leader(self) -> str | None:
        """The member that leads and accepts writes."""
        found = [one["name"] for one in self.told()["members"] if (one["role"], one["state"]) == ("leader", "running")]
        return found[0] if found else None

    def is_whole(self) -> bool:
        """Whether one leads, and the other one follows it and runs."""
        members = self.told()["members"]
        ready = {"leader": ("running",), "replica": ("running", "streaming")}
        return len(members) == len(NODES) and all(one["state"] in ready.get(one["role"], ()) for one in members)

    def switchover(self, to: str) -> None:
        """Hand over in order, by Patroni's own command; returns when ``to`` leads and the other one follows."""
        leader = next(name for name in NODES if name != to)
        # As `patronictl` of 3 and 4 both have it.
        command = [self._control, "-c", self._config(leader), "switchover", "shop", "--candidate", to, "--force"]
        run(command, self._account)
        wait_until(lambda: self.leader() == to, f"{to} leads", timeout=60)

    def execute(self, *statements: str) -> None:
        """Run statements on the leader as superuser."""
        import psycopg

        leader = self.leader()
        assert leader is not None
        address = f"host=127.0.0.1 port={self._ports[leader]} user=postgres dbname=postgres connect_timeout=5"
        with psycopg.connect(address, password="secret", autocommit=True) as conn:
            for statement in statements:
                conn.execute(statement.encode())


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
