"""A MariaDB Galera cluster on loopback, for tests of failover."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from .mariadb import MariaDBServer
from .ports import free_ports
from .processes import StartError, run, tail, wait_until

__all__ = ["GaleraCluster"]

_PROVIDERS = (
    "/usr/lib/galera/libgalera_smm.so",
    "/usr/lib64/galera-4/libgalera_smm.so",
    "/usr/lib64/galera/libgalera_smm.so",
    "/usr/lib/libgalera_smm.so",
)

_PATIENCE = (25.0, 30.0, 60.0)
"""Seconds that a node has to join, at the first try and at each further one."""

# A lost member is expelled after 2 s in place of 5 s.  Shorter ones make the survivors lose each other on a busy
# machine.  Out of these ranges the node dies at start: keepalive <= suspect / 3, install < inactive.
_TIMEOUTS = (
    "evs.keepalive_period=PT0.3S;evs.suspect_timeout=PT2S;evs.inactive_timeout=PT4S;"
    "evs.inactive_check_period=PT0.2S;evs.install_timeout=PT3S"
)

_FLAGS = "SELECT @@read_only, @@wsrep_desync, @@wsrep_reject_queries"
_STATUS = (
    "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_local_state_comment', 'wsrep_cluster_size',"
    " 'wsrep_cluster_status', 'wsrep_ready', 'wsrep_last_committed')"
)


class GaleraCluster(MariaDBServer):
    """A MariaDB Galera cluster of nodes ``n1``, ``n2``, ... on 127.0.0.1, from the system's MariaDB.

        with GaleraCluster() as cluster:
            pymysql.connect(host="127.0.0.1", port=cluster.port("n1"), user="app", password="secret", database="app")
            cluster.kill("n1")

    Users and databases are those of `MariaDBServer`.  After a kill or a freeze the survivors stall for about 3 s, until
    they have expelled the lost node; that is Galera's nature, with timeouts shorter than its defaults.

    Args:
        nodes: how many servers.  directory: where to make the temporary folder; default: the system's place for those.
        ports: the servers' SQL ports, such as ``[3301, 3302, 3303]``; default: free ones.  tls: offer TLS to clients,
        by a certificate for 127.0.0.1 that `ca_file` verifies (needs the ``openssl`` program).  max_connections: of
        each server.  settings: more options for ``mariadbd``, each as on its command line.
    """

    def __init__(
        self,
        nodes: int = 3,
        *,
        directory: str | os.PathLike[str] | None = None,
        ports: Sequence[int] | None = None,
        tls: bool = False,
        max_connections: int = 150,
        settings: Sequence[str] = (),
    ) -> None:
        self._init(nodes, directory, ports, tls, max_connections, settings)
        self._provider = _find_provider()
        self._inner = {name: _three_ports() for name in self.nodes}

    # -- verbs ------------------------------------------------------------------------------------------------------

    def start(self, name: str | None = None) -> None:
        """Start one node, or the whole cluster, and wait until it is synced; nodes that run are left alone.

        The first start takes about 10 s.  When no other node runs, the cluster is bootstrapped: from the given node, or
        of all nodes from the most advanced one.  So this also ends a total outage.  Data outlive `stop` and `kill`, not
        `close`.  Raises `StartError` when a node is not synced within 60 s, and when the others have lost the quorum:
        see `bootstrap` and `heal`.
        """
        with self._lock:
            if self._prepare("clustersql-galera-"):
                self._create()
        wanted = [each for each in (self.nodes if name is None else [name]) if self.state(each) == "down"]
        if wanted and all(self.state(each) == "down" for each in self.nodes):
            leader = max(wanted, key=lambda each: self._position(each)[1])  # the first of equals
            self._found(leader)
            wanted.remove(leader)
        for each in wanted:
            self._join(each)
            # One by one into the group, though together through the state transfer: two that come at once make the
            # members negotiate until a timeout of seconds.
            self._wait_or_join_again(each, self._in_group)
        for each in self.nodes if name is None else [name]:
            if each in wanted:
                self._wait_or_join_again(each, self._synced)
            else:
                self._wait(each, lambda each=each: self._synced(each), 60)

    def _wait_or_join_again(self, name: str, condition: Callable[[str], bool]) -> None:
        """Wait for a joiner; one that is stuck is killed and joins anew.

        With other ports: some are not held while a node runs, so another program may have them when it comes back.
        """
        for patience in _PATIENCE:
            try:
                self._wait(name, lambda: condition(name), patience)
            except StartError:
                if patience is _PATIENCE[-1]:
                    raise
                self.kill(name)
                self._inner[name] = _three_ports()
                self._join(name)
            else:
                return

    def bootstrap(self, name: str) -> None:
        """Make a running node that has lost the quorum a cluster of its own, which the others can join."""
        self.execute(name, "SET GLOBAL wsrep_provider_options = 'pc.bootstrap=yes'")
        wait_until(lambda: self._synced(name), f"{name} forms a cluster", timeout=60)

    def desync(self, name: str, on: bool = True) -> None:
        """Let the node fall behind the cluster (state Donor/Desynced; it still serves), or catch up and be synced."""
        self.execute(name, f"SET GLOBAL wsrep_desync = {int(on)}")
        if not on:
            wait_until(lambda: self._synced(name), f"{name} is synced again", timeout=60)

    def reject_queries(self, name: str, on: bool = True, *, kill: bool = False) -> None:
        """Make the node answer 1047 to every statement on a table, or end that; connects and ``SELECT 1`` still pass.

        ``kill`` also ends the sessions that are open.
        """
        mode = ("ALL_KILL" if kill else "ALL") if on else "NONE"
        try:
            self.execute(name, f"SET GLOBAL wsrep_reject_queries = {mode}")
        except self._error():
            # ALL_KILL ends the session that asks for it as well.
            if not (on and kill):
                raise

    def status(self, name: str) -> dict[str, str]:
        """The node's ``wsrep_*`` status: state, ready, cluster size and status, last committed; empty when silent."""
        return dict(self._look(name, _STATUS))

    def heal(self) -> None:
        """Bring every node back: running, thawed, synced, writable, no flag set.

        Asks each node once when nothing is wrong (about 20 ms); else takes up to about 10 s.
        """
        for name in self.nodes:
            self.thaw(name)
        if all(map(self._healthy, self.nodes)):
            return
        running = [name for name in self.nodes if self.state(name) == "running"]
        for name in running:
            for flag in ("wsrep_reject_queries = NONE", "read_only = 0", "wsrep_desync = 0"):
                self._look(name, f"SET GLOBAL {flag}")
        try:
            self._ensure_quorum(running)
            self.start()
            wait_until(lambda: all(map(self._healthy, self.nodes)), f"{self!r} is healthy", timeout=60)
        except (StartError, self._error()):
            for name in self.nodes:
                self.kill(name)
            self.start()

    # -- details ----------------------------------------------------------------------------------------------------

    def _synced(self, name: str) -> bool:
        status = self.status(name)
        return status.get("wsrep_local_state_comment") == "Synced" and status.get("wsrep_ready") == "ON"

    def _expelled(self) -> bool:
        """Whether the members count nobody who is down."""
        running = [name for name in self.nodes if self.state(name) == "running"]
        sizes = [int(self.status(name).get("wsrep_cluster_size", 99)) for name in running]
        return not sizes or min(sizes) <= len(running)

    def _in_group(self, name: str) -> bool:
        """Whether the joining node has reached the group: it writes who is in it to its data folder."""
        return (self.directory / name / "gvwstate.dat").exists()

    def _healthy(self, name: str) -> bool:
        if self.state(name) != "running":
            return False
        try:
            [flags], rows = self._ask(name, [_FLAGS, _STATUS], timeout=3)
        except (self._error(), OSError):
            return False
        status = dict(rows)
        return (
            flags == (0, 0, "NONE")
            and status["wsrep_local_state_comment"] == "Synced"
            and status["wsrep_ready"] == "ON"
            and status["wsrep_cluster_size"] == str(len(self.nodes))
        )

    def _ensure_quorum(self, running: Sequence[str]) -> None:
        """Let one of the running nodes form a cluster, if they do not agree on one by themselves."""
        if not running:
            return
        with contextlib.suppress(StartError):
            # Not before: the survivors of a kill count the dead, and call themselves primary, for another 3 s.
            wait_until(self._expelled, "the others have expelled the dead", timeout=8, every=0.05)
        with contextlib.suppress(StartError):
            # A majority, of which some were frozen, finds together by itself.
            patience = 5.0 if 2 * len(running) > len(self.nodes) else 0.0
            wait_until(self._quorum, "a quorum", timeout=patience, every=0.1)
        if not self._quorum():
            self.bootstrap(max(running, key=lambda name: int(self.status(name).get("wsrep_last_committed", -1))))

    def _quorum(self) -> bool:
        """Whether a running node belongs to a primary component."""
        running = [name for name in self.nodes if self.state(name) == "running"]
        return any(self.status(name).get("wsrep_cluster_status") == "Primary" for name in running)

    def _create(self) -> None:
        self._install("n1")
        self._found("n1")
        self.stop("n1")
        # Copies of a cleanly stopped node share its position, and so join without a full state transfer.
        for name in self._others("n1"):
            data = self.directory / name
            shutil.copytree(self.directory / "n1", data, ignore=shutil.ignore_patterns("s.sock", "gvwstate.dat"))
            self._folder(self.directory / f"{name}.tmp")
            for path in (data, *data.rglob("*")):
                self._account.own(path)

    def _found(self, name: str) -> None:
        """Start the node as the first of a new cluster."""
        data = self.directory / name
        for each in self.nodes:
            # The memory of who was in the cluster would make a node wait for the others.
            (self.directory / each / "gvwstate.dat").unlink(missing_ok=True)
        state = data / "grastate.dat"
        if state.exists():
            state.write_text(re.sub(r"safe_to_bootstrap:.*", "safe_to_bootstrap: 1", state.read_text()))
        self._spawn(name, *self._wsrep(name), "--wsrep-cluster-address=gcomm://", "--wsrep-new-cluster")
        self._wait(name, lambda: self._synced(name), 60)

    def _join(self, name: str) -> None:
        identity, seqno = self._position(name)
        # As a new member, and only when the others have expelled the dead one: else the two are taken for each other,
        # and the node is let in 10 s later or never.
        with contextlib.suppress(StartError):
            wait_until(self._expelled, f"the others have expelled {name}", timeout=8, every=0.05)
        if not self._quorum():
            raise StartError(f"{name} cannot join, the others have lost the quorum: bootstrap() one of them, or heal()")
        (self.directory / name / "gvwstate.dat").unlink(missing_ok=True)
        # Without its position a killed node would fetch a full copy, and block its donor meanwhile.
        known = [f"--wsrep-start-position={identity}:{seqno}"] if seqno >= 0 else []
        members = ",".join(f"127.0.0.1:{group}" for group, _, _ in self._inner.values())
        self._spawn(name, *self._wsrep(name), f"--wsrep-cluster-address=gcomm://{members}", *known)

    def _position(self, name: str) -> tuple[str, int]:
        """What a stopped node has committed: the cluster's identity and the number of the last transaction."""
        identity, seqno = parse_state(self.directory / name / "grastate.dat")
        if seqno >= 0:
            return identity, seqno
        # It did not stop cleanly: its storage knows.
        log = self.directory / f"{name}.recover.log"
        log.unlink(missing_ok=True)
        # With the provider and an address: without them wsrep counts as disabled and the recovery does nothing.
        wsrep = [*self._wsrep(name), "--wsrep-cluster-address=gcomm://", "--wsrep-recover"]
        run([*self._command(name), *wsrep, f"--log-error={log}", "--skip-networking"], self._account)
        found = re.findall(r"Recovered position:\s*(\S+):(-?\d+)", log.read_text())
        if not found:
            raise StartError(f"{name}: no position recovered:\n{tail(log)}")
        return found[-1][0], int(found[-1][1])

    def _wsrep(self, name: str) -> list[str]:
        group, ist, sst = self._inner[name]
        options = (
            f"base_host=127.0.0.1;base_port={group};gmcast.listen_addr=tcp://127.0.0.1:{group};"
            f"ist.recv_addr=127.0.0.1:{ist};gcache.size=32M;gcache.page_size=16M;gcache.recover=yes;{_TIMEOUTS}"
        )
        return [
            "--wsrep-on=ON",
            f"--wsrep-provider={self._provider}",
            "--wsrep-cluster-name=clustersql",
            f"--wsrep-node-name={name}",
            f"--wsrep-node-address=127.0.0.1:{group}",
            f"--wsrep-node-incoming-address=127.0.0.1:{self.port(name)}",
            "--wsrep-sst-method=rsync",
            f"--wsrep-sst-receive-address=127.0.0.1:{sst}",
            "--wsrep-slave-threads=2",
            f"--wsrep-provider-options={options}",
        ]


def parse_state(path: Path) -> tuple[str, int]:
    """The identity and position in a node's ``grastate.dat``; position -1 when it did not stop cleanly."""
    text = path.read_text() if path.exists() else ""
    identity = re.search(r"^uuid:\s*(\S+)", text, re.MULTILINE)
    seqno = re.search(r"^seqno:\s*(-?\d+)", text, re.MULTILINE)
    return (identity[1] if identity else "", int(seqno[1]) if seqno else -1)


def _three_ports() -> tuple[int, int, int]:
    """Ports of a node for the group, for transactions that it has missed (IST), and for a full copy (SST)."""
    group, missed, copy = free_ports(3)
    return group, missed, copy


def _find_provider() -> str:
    for path in _PROVIDERS:
        if Path(path).exists():
            return path
    raise StartError("no Galera provider library (Debian: apt-get install mariadb-server galera-4 rsync)")
