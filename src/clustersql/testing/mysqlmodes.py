"""How the nodes of a `MySQLCluster` belong together: a source with its replicas, or a group."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from .cluster import PASSWORD
from .ports import free_ports
from .processes import StartError, wait_until

if TYPE_CHECKING:
    from .mysql import MySQLCluster

__all__ = ["Group", "Mode", "Replication"]

_GROUP = "c1a57e05-0000-4000-8000-000000000001"
_MEMBERS = "performance_schema.replication_group_members"


class Mode:
    """What differs; each verb is explained in `MySQLCluster`."""

    def __init__(self, cluster: MySQLCluster) -> None:
        self._cluster = cluster

    def options(self, name: str) -> list[str]:
        """Return the options of ``mysqld``."""
        raise NotImplementedError

    def join(self, names: Sequence[str]) -> None:
        """Let nodes that have just started take part."""
        raise NotImplementedError

    def primary(self) -> str:
        """Return the node that accepts writes."""
        raise NotImplementedError

    def promote(self, name: str) -> None:
        """Make ``name`` the primary."""
        raise NotImplementedError

    def switchover(self, name: str) -> None:
        """Hand over to ``name``."""
        raise NotImplementedError

    def rejoin(self, name: str) -> None:
        """Bring ``name`` back as a follower."""
        raise NotImplementedError

    def pause(self, name: str, on: bool) -> None:
        """Stop applying, or go on."""
        raise NotImplementedError

    def set_read_only(self, name: str, on: bool) -> None:
        """Refuse writes, or accept them."""
        self._cluster.execute(name, f"SET GLOBAL {'super_read_only = ON' if on else 'read_only = OFF'}")

    def healthy(self) -> bool:
        """Tell whether nothing is wrong among nodes that all run."""
        raise NotImplementedError

    def heal(self) -> None:
        """Put everything in order."""
        raise NotImplementedError

    def _executed(self, name: str) -> str:
        [(gtids,)] = self._cluster.execute(name, "SELECT @@GLOBAL.gtid_executed")
        return str(gtids)

    def _writable(self) -> list[str]:
        running = [name for name in self._cluster.nodes if self._cluster.state(name) == "running"]
        return [name for name in running if self._cluster._glimpse(name, "SELECT @@super_read_only") == [(0,)]]


class Replication(Mode):
    """A source and its replicas, by GTIDs and semi-synchronous: a commit waits up to a second for one replica."""

    def __init__(self, cluster: MySQLCluster) -> None:
        super().__init__(cluster)
        self._closed = {name: name != "n1" for name in cluster.nodes}
        self._formed = False
        self._leader = "n1"

    def options(self, name: str) -> list[str]:
        """Every node is ready to be either."""
        return [
            f"--super-read-only={'ON' if self._closed[name] else 'OFF'}",
            "--plugin-load-add=semisync_source.so",
            "--plugin-load-add=semisync_replica.so",
            "--loose-rpl-semi-sync-source-enabled=ON",
            "--loose-rpl-semi-sync-replica-enabled=ON",
            "--loose-rpl-semi-sync-source-timeout=1000",
        ]

    def join(self, names: Sequence[str]) -> None:
        """A replica goes on by itself, once it has been told whom to follow."""
        if not self._formed:
            for name in self._others("n1"):
                self._follow(name, "n1")
            self._formed = True
        for name in names:
            if self._closed[name] and (source := self._source(name)):
                self._wait_streaming(name, source)

    def primary(self) -> str:
        """Of several, the one that was promoted last."""
        found = self._writable()
        if not found:
            raise StartError(f"no running node is a source: {self._cluster!r}")
        return self._leader if self._leader in found else found[0]

    def promote(self, name: str) -> None:
        """What it has received is applied first."""
        if status := self._status(name):
            self._execute(name, "START REPLICA SQL_THREAD")
            self._catch_up(name, str(status["Retrieved_Gtid_Set"]))
            self._execute(name, "STOP REPLICA")
            self._execute(name, "RESET REPLICA ALL")
        self.set_read_only(name, False)
        self._leader = name
        for other in self._others(name):
            if self._cluster.state(other) == "running" and self._closed[other]:
                self._follow(other, name)

    def switchover(self, name: str) -> None:
        """The old source refuses writes before the new one has all."""
        old = self.primary()
        if old == name:
            return
        self.set_read_only(old, True)
        self._catch_up(name, self._executed(old))
        self.promote(name)
        self._wait_streaming(old, name)

    def rejoin(self, name: str) -> None:
        """One that has transactions of its own gets all data anew: the source still has its whole binary log."""
        source = self.primary()
        if source == name:
            raise ValueError(f"{name} is the source itself")
        self._closed[name] = True
        if self._cluster.state(name) == "down":
            self._cluster._launch(name)
            self._cluster._wait_for(name)
        self.set_read_only(name, True)
        own, wanted = self._executed(name), self._executed(source)
        if self._execute(name, f"SELECT GTID_SUBSET('{own}', '{wanted}')") != [(1,)]:
            self._cluster._renew(name)
        self._follow(name, source)
        self._wait_streaming(name, source)
        self._catch_up(name, self._executed(source))

    def pause(self, name: str, on: bool) -> None:
        """Its applier; what it receives goes on to come."""
        self._execute(name, f"{'STOP' if on else 'START'} REPLICA SQL_THREAD")

    def set_read_only(self, name: str, on: bool) -> None:
        """Remembered for the next start of the node."""
        super().set_read_only(name, on)
        self._closed[name] = on

    def healthy(self) -> bool:
        """Whether ``n1`` alone accepts writes and all others stream from it."""
        return self._writable() == ["n1"] and all(self._streams(name, "n1") for name in self._others("n1"))

    def heal(self) -> None:
        """Of several sources the one that was promoted last wins, and the data of the others are dropped."""
        for name in self._cluster.nodes:
            if self._cluster.state(name) == "down":
                self._cluster._launch(name)
                self._cluster._wait_for(name)
        if not self._writable():
            self.set_read_only("n1", False)
        source = self.primary()
        for name in self._others(source):
            if not self._streams(name, source) or not self._closed[name]:
                self.rejoin(name)
        if source != "n1":
            self.switchover("n1")

    def _others(self, name: str) -> list[str]:
        return [other for other in self._cluster.nodes if other != name]

    def _execute(self, name: str, sql: str) -> list[tuple[object, ...]]:
        return self._cluster.execute(name, sql.replace("\n", ""))

    def _follow(self, name: str, source: str) -> None:
        self._closed[name] = True
        self._execute(name, "STOP REPLICA")
        self._execute(
            name,
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={self._cluster.port(source)},"
            f" SOURCE_USER='repl', SOURCE_PASSWORD='{PASSWORD}', SOURCE_AUTO_POSITION=1, SOURCE_SSL=1,"
            " SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=100000, SOURCE_HEARTBEAT_PERIOD=0.5",
        )
        self._execute(name, "START REPLICA")

    def _catch_up(self, name: str, gtids: str) -> None:
        [(late,)] = self._execute(name, f"SELECT WAIT_FOR_EXECUTED_GTID_SET('{gtids}', 50)")
        if late:
            raise StartError(f"{name} has not applied {gtids} within 50 s")

    def _status(self, name: str) -> dict[str, object]:
        import pymysql.cursors

        with closing(self._cluster.connect(name, 5)) as conn, conn.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute("SHOW REPLICA STATUS")
            return dict(cursor.fetchone() or {})

    def _source(self, name: str) -> str:
        port = self._status(name).get("Source_Port")
        return next((other for other in self._cluster.nodes if self._cluster.port(other) == port), "")

    def _streams(self, name: str, source: str) -> bool:
        try:
            told = self._status(name)
        except (self._cluster._sql_error, OSError):
            return False
        running = told.get("Replica_IO_Running") == told.get("Replica_SQL_Running") == "Yes"
        return running and told["Source_Port"] == self._cluster.port(source)

    def _wait_streaming(self, name: str, source: str) -> None:
        if self._cluster.state(source) != "running":
            return  # it comes back later, or another is promoted
        wait_until(lambda: self._streams(name, source), f"{name} streams from {source}", timeout=60, every=0.03)


class Group(Mode):
    """Group Replication with a single primary."""

    def __init__(self, cluster: MySQLCluster) -> None:
        super().__init__(cluster)
        self._inner = dict(zip(cluster.nodes, free_ports(len(cluster.nodes)), strict=True))
        self._paused: dict[str, Any] = {}

    def options(self, name: str) -> list[str]:
        """A member that is lost is expelled as soon as it is suspected, which takes 5 s."""
        seeds = ",".join(f"127.0.0.1:{port}" for port in self._inner.values())
        options = {
            "group-name": _GROUP,
            "local-address": f"127.0.0.1:{self._inner[name]}",
            "group-seeds": seeds,
            "ip-allowlist": "127.0.0.1/32",
            "start-on-boot": "OFF",
            "member-expel-timeout": "0",
            "autorejoin-tries": "0",
            "message-cache-size": "134217728",
        }
        loose = [f"--loose-group-replication-{option}={value}" for option, value in options.items()]
        return ["--plugin-load-add=group_replication.so", *loose]

    def join(self, names: Sequence[str]) -> None:
        """The one with the most transactions founds the group, when there is none."""
        waiting = list(names)
        if waiting and not self._online():
            founder = max(waiting, key=lambda name: self._count(self._executed(name)))
            self._cluster.execute(founder, "SET GLOBAL group_replication_bootstrap_group = ON")
            self._begin(founder)
            self._cluster.execute(founder, "SET GLOBAL group_replication_bootstrap_group = OFF")
            waiting.remove(founder)
        for name in waiting:
            try:
                self._begin(name)
            except (self._cluster._sql_error, StartError):
                # It has transactions that the group has not.
                self._cluster._renew(name)
                self._begin(name)

    def primary(self) -> str:
        """As the majority has it."""
        for name in self._cluster.nodes:
            rows = self._cluster._glimpse(name, f"SELECT MEMBER_PORT, MEMBER_STATE, MEMBER_ROLE FROM {_MEMBERS}")
            online = [port for port, state, _ in rows if state == "ONLINE"]
            led = [port for port, state, role in rows if (state, role) == ("ONLINE", "PRIMARY")]
            found = [node for node in self._cluster.nodes if self._cluster.port(node) in led]
            if 2 * len(online) > len(rows) and found and self._cluster.state(found[0]) == "running":
                return found[0]
        raise StartError(f"no running node is the primary of the group: {self._cluster!r}")

    def promote(self, name: str) -> None:
        """The group elects one by itself when the primary has gone; this one is asked for then."""
        self._wait_primary()
        if self.primary() != name:
            [(uuid,)] = self._cluster.execute(name, "SELECT @@server_uuid")
            self._cluster.execute(name, f"SELECT group_replication_set_as_primary('{uuid}')")
        self._cluster._wait_for(name, "SELECT @@super_read_only", 0, 20)

    def switchover(self, name: str) -> None:
        """The same: a primary that lives hands over."""
        self.promote(name)

    def rejoin(self, name: str) -> None:
        """It begins anew as a member."""
        if self._cluster.state(name) == "down":
            self._cluster.start(name)
            return
        self._cluster.execute(name, "STOP GROUP_REPLICATION")
        self._cluster.execute(name, "SET GLOBAL offline_mode = OFF")
        self.join([name])

    def pause(self, name: str, on: bool) -> None:
        """By a lock that the applier waits for: a member's own channel cannot be stopped while it is in the group."""
        if name in self._paused:
            self._paused.pop(name).close()
        if on:
            session = self._paused[name] = self._cluster.connect(name, 3600)
            session.query("FLUSH TABLES WITH READ LOCK")

    def healthy(self) -> bool:
        """Whether all are online and ``n1`` alone accepts writes."""
        names = self._cluster.nodes
        together = all(len(self._online(name)) == len(names) for name in names)
        return together and not self._paused and self._writable() == ["n1"]

    def heal(self) -> None:
        """Members that are not online start anew; without a majority all do."""
        for name in list(self._paused):
            self.pause(name, False)
        with contextlib.suppress(StartError):
            # The survivors of a kill count the dead for another 5 s.
            wait_until(self._settled, "the group has expelled the dead", timeout=12, every=0.1)
        online = self._online()
        keep = online if 2 * len(online) > len(self._cluster.nodes) or self._has_primary() else []
        for name in self._cluster.nodes:
            if name not in keep:
                self._cluster.kill(name)
        self._cluster.start()
        self._wait_primary()
        if self._writable() != ["n1"]:
            primary = self.primary()
            self.set_read_only(primary, False)
            self.promote("n1")
        wait_until(self.healthy, f"{self._cluster!r} is healthy", timeout=60, every=0.05)

    def _begin(self, name: str) -> None:
        self._cluster.execute(name, f"START GROUP_REPLICATION USER='repl', PASSWORD='{PASSWORD}'")
        state = f"SELECT MEMBER_STATE FROM {_MEMBERS} WHERE MEMBER_ID = @@server_uuid"
        self._cluster._wait_for(name, state, "ONLINE", 60)

    def _online(self, asked: str | None = None) -> list[str]:
        """The members that are online, as ``asked`` or any node tells."""
        for name in self._cluster.nodes if asked is None else [asked]:
            rows = self._cluster._glimpse(name, f"SELECT MEMBER_PORT FROM {_MEMBERS} WHERE MEMBER_STATE = 'ONLINE'")
            if rows:
                ports = {port for (port,) in rows}
                return [node for node in self._cluster.nodes if self._cluster.port(node) in ports]
        return []

    def _has_primary(self) -> bool:
        try:
            return bool(self.primary())
        except StartError:
            return False

    def _wait_primary(self) -> None:
        wait_until(self._has_primary, "the group has a primary", timeout=60, every=0.05)

    def _settled(self) -> bool:
        running = [name for name in self._cluster.nodes if self._cluster.state(name) == "running"]
        return all(self._cluster.state(member) == "running" for name in running for member in self._online(name))

    @staticmethod
    def _count(gtids: str) -> int:
        from ..dialects.mysql.gtids import gtid_set

        return len(gtid_set(gtids.replace("\n", "")))
