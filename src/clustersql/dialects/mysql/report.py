"""What a server of MySQL, MariaDB or Galera is asked of itself by a probe, and how its answer is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...core.view.node import Epoch, Readiness, Report, Role
from ...core.view.position import Position
from .. import Rows
from .gtids import gtid_set
from .members import text as _text

# SHOW is answered under wsrep_reject_queries=ALL and outside the Primary component, where every SELECT on a table is
# refused with 1047, and needs no privilege.  Nodes that lack a variable just leave it out.
VARIABLES = (
    "version", "max_connections", "read_only", "super_read_only", "innodb_read_only", "tx_read_only",
    "transaction_read_only",
    "offline_mode", "wsrep_on", "wsrep_reject_queries", "wsrep_desync", "wsrep_node_name",
    "wsrep_sst_donor_rejects_queries",
    "innodb_rollback_on_timeout",
    "pxc_maint_mode", "server_id", "hostname", "port", "server_uuid", "group_replication_group_name", "gtid_slave_pos",
    "gtid_current_pos",
    "gtid_mode", "gtid_executed",
)  # fmt: skip
STATUS = (
    "wsrep_ready", "wsrep_cluster_status", "wsrep_local_state", "wsrep_local_state_comment", "wsrep_cluster_size",
    "wsrep_cluster_state_uuid", "wsrep_cluster_conf_id", "wsrep_local_index", "wsrep_local_recv_queue",
    "wsrep_flow_control_paused", "Ssl_cipher",
    "wsrep_gcomm_uuid", "Threads_connected",
)  # fmt: skip
PROBE = (
    f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({', '.join(map(repr, VARIABLES))})",
    # SESSION: Ssl_cipher is this connection's.
    f"SHOW SESSION STATUS WHERE Variable_name IN ({', '.join(map(repr, STATUS))})",
)

_OFF = ("OFF", "0", "NO", "NONE", "DISABLED", "")
_READ_ONLY = ("read_only", "super_read_only", "innodb_read_only", "tx_read_only", "transaction_read_only")
_DETAILS = ("max_connections", "server_id", "hostname", "group_replication_group_name")


def report(answers: Sequence[Rows]) -> Report:
    """Read the answers to `PROBE`: any global read-only switch makes a replica; Galera tells its own readiness."""
    told = {_text(name).lower(): _text(value) for rows in answers for name, value in rows}
    galera = told.get("wsrep_on", "OFF") == "ON"
    readiness, why = _readiness(told, galera)
    queue = told.get("wsrep_local_recv_queue", "") if galera else ""
    closed = [name for name in _READ_ONLY if _on(told, name)]
    return Report(
        role=Role.REPLICA if closed else Role.PRIMARY,
        readiness=readiness,
        why=why or (f"{closed[0]} is on" if closed else ""),
        version=_version(told.get("version", "")),
        details=_details(told, galera),
        queue=int(queue) if queue.isdigit() else 0,
        position=None if galera else _position(told, bool(closed)),
        epoch=_epoch(told) if galera else None,
        identity=_identity(told, galera),
        server=_server(told, galera),
        undoes=frozenset({1205}) if _on(told, "innodb_rollback_on_timeout") else frozenset(),
    )


def _identity(told: Mapping[str, str], galera: bool) -> str:
    """Galera's nodes may all have the same server_id; in replication it must be unique, and MySQL has a UUID
    besides.
    """
    if galera:
        return told.get("wsrep_gcomm_uuid", "")
    server_id = told.get("server_id", "")
    return told.get("server_uuid", "") or (f"server_id {server_id}" if server_id else "")


def _server(told: Mapping[str, str], galera: bool) -> str:
    """Two servers may have the same host name and port, as in containers; in replication not the same server_id too."""
    if galera and told.get("wsrep_node_name"):
        return told["wsrep_node_name"]
    if not told.get("hostname") or not told.get("port"):
        return ""
    return f"{told['hostname']}:{told['port']}#{told.get('server_id', '')}"


def _position(told: Mapping[str, str], replica: bool) -> Position | None:
    """Where a server is in the stream of transactions: what it has applied or, as a primary, written.

    MySQL tells the set of them, which counts only while every transaction gets a GTID (``gtid_mode`` is ON).  MariaDB
    tells the last number of domain-server-number: a replica's own transactions are not in ``gtid_slave_pos``, so they
    count for nothing, and several domains are several streams, of which no one number tells how far a server is.
    https://mariadb.com/kb/en/gtid/
    """
    if "gtid_executed" in told:
        return gtid_set(told["gtid_executed"]) if told.get("gtid_mode") == "ON" else None
    parts = told.get("gtid_slave_pos" if replica else "gtid_current_pos", "").split("-")
    return int(parts[2]) if len(parts) == 3 and parts[2].isdigit() else None


def _epoch(told: Mapping[str, str]) -> Epoch | None:
    """Outside the Primary component the number is no number: it is all ones."""
    uuid, number = told.get("wsrep_cluster_state_uuid", ""), told.get("wsrep_cluster_conf_id", "")
    if not uuid or not number.isdigit() or told.get("wsrep_cluster_status") != "Primary":
        return None
    return Epoch(f"cluster {uuid}", int(number), "configuration", shared=True)


def _on(told: Mapping[str, str], name: str) -> bool:
    """Anything but off: MariaDB 12 knows more values of read_only than ON."""
    return told.get(name, "OFF").upper() not in _OFF


def _version(version: str) -> str:
    return version if "mariadb" in version.lower() or not version else f"MySQL {version}"


def _readiness(told: Mapping[str, str], galera: bool) -> tuple[Readiness, str]:
    if _on(told, "offline_mode"):
        return Readiness.MAINTENANCE, "offline_mode is on"
    if _on(told, "pxc_maint_mode"):
        mode = told["pxc_maint_mode"].upper()
        return (Readiness.DRAINING if mode == "SHUTDOWN" else Readiness.MAINTENANCE), f"pxc_maint_mode is {mode}"
    return _galera(told) if galera else (Readiness.READY, "")


def _galera(told: Mapping[str, str]) -> tuple[Readiness, str]:
    """Primary and Synced is ready.  wsrep_ready alone proves nothing: it stays ON under wsrep_reject_queries."""
    state, status = told.get("wsrep_local_state", ""), told.get("wsrep_cluster_status", "")
    if status != "Primary":
        return Readiness.NOT_READY, f"not in the Primary component (wsrep_cluster_status is {status or 'not told'})"
    if _on(told, "wsrep_reject_queries"):
        return Readiness.MAINTENANCE, f"wsrep_reject_queries is {told['wsrep_reject_queries']}"
    if state in ("1", "3"):
        return Readiness.JOINING, f"joining the cluster ({told.get('wsrep_local_state_comment', state)})"
    if told.get("wsrep_ready") != "ON":
        return Readiness.NOT_READY, "wsrep_ready is off"
    if state == "2":
        return Readiness.DONOR, "desynced by hand" if _on(told, "wsrep_desync") else "donor of a state transfer"
    return (
        (Readiness.READY, "") if state == "4" else (Readiness.NOT_READY, f"wsrep_local_state is {state or 'not told'}")
    )


def _details(told: Mapping[str, str], galera: bool) -> dict[str, str]:
    details = {name: told[name] for name in _DETAILS if name in told}
    details["tls"] = told.get("ssl_cipher") or "off"
    if galera:
        details |= {name: value for name, value in told.items() if name.startswith("wsrep_")}
    return details
