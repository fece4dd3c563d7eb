"""The members of a Galera cluster, of Group Replication, or of MariaDB's and MySQL's replication, as a node tells them.

* Galera: SHOW STATUS needs no privilege and is answered by a node that refuses everything else;
  mysql.wsrep_cluster_members needs both.  Outside the Primary component it lists only those on the same side of the
  cut.  An arbitrator has an empty address.
* Replication: a replica announces report_host and report_port, which are empty unless set, and is known to its own
  source only; it is listed until the source notices that it has gone.  https://mariadb.com/kb/en/show-replica-hosts/,
  https://dev.mysql.com/doc/refman/8.4/en/show-replicas.html
* Group Replication: https://dev.mysql.com/doc/refman/8.4/en/performance-schema-replication-group-members-table.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...core.view.endpoint import endpoint
from ...core.view.members import Member, Members
from ...core.view.node import Report, Role
from .. import Rows

GALERA = ("SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_incoming_addresses', 'wsrep_cluster_status')",)
GROUP = (
    "SELECT MEMBER_HOST, MEMBER_PORT, MEMBER_STATE, MEMBER_ID FROM performance_schema.replication_group_members",
    "SELECT @@server_uuid",
)
REPLICATION = ("SHOW SLAVE HOSTS", "SHOW SLAVE STATUS")
REPLICATION_8 = ("SHOW REPLICAS", "SHOW REPLICA STATUS")
"""From MySQL 8.0.22; 8.4 knows no other.  MariaDB keeps the old words in every version."""

_HOST, _PORT, _IO_RUNNING = 1, 3, 10
"""Columns of SHOW REPLICA STATUS: the same place under the old names and the new ones, in MariaDB and MySQL."""


def ask_members(report: Report) -> tuple[str, ...]:
    """Return the statements for a node that has reported so."""
    if _is_galera(report):
        return GALERA
    if report.details.get("group_replication_group_name"):
        return GROUP
    return REPLICATION_8 if _version(report) >= (8, 0, 22) else REPLICATION


def members(node: str, report: Report, answers: Sequence[Rows]) -> Members:
    """Read the answers to `ask_members`."""
    if _is_galera(report):
        return _galera(node, answers)
    if report.details.get("group_replication_group_name"):
        return _group(node, answers)
    return _replication(node, report, answers)


def _is_galera(report: Report) -> bool:
    return "wsrep_cluster_status" in report.details


def _version(report: Report) -> tuple[int, ...]:
    match = re.match(r"MySQL (\d+)\.(\d+)\.(\d+)", report.version)
    return tuple(map(int, match.groups())) if match else (0,)


def _galera(node: str, answers: Sequence[Rows]) -> Members:
    told = {text(name).lower(): text(value) for name, value in answers[0]}
    primary = told.get("wsrep_cluster_status") == "Primary"
    places = told.get("wsrep_incoming_addresses", "")
    found = tuple(_place(place) for place in places.split(",")) if places else ()
    return Members(node, found if primary else (), complete=primary, attached=primary)


def _place(place: str) -> Member:
    """AUTO, nothing, a port 0: all that is no address of a server is kept as it is, so that it can be told."""
    try:
        at = endpoint(place.strip())
    except ValueError:
        return Member(place.strip().removesuffix(":0"))
    return Member(at.host, at.port)


def _group(node: str, answers: Sequence[Rows]) -> Members:
    online = [row for row in answers[0] if text(row[2]) in ("ONLINE", "RECOVERING")]
    own = text(answers[1][0][0])
    found = tuple(Member(text(host), int(port), identity=text(uuid)) for host, port, _, uuid in online)
    majority = 2 * len(online) > len(answers[0])  # who is cut off shows the others as UNREACHABLE
    attached = majority and any(member.identity == own for member in found)
    return Members(node, found, complete=attached, attached=attached)


def _replication(node: str, report: Report, answers: Sequence[Rows]) -> Members:
    replicas, sources = answers
    found = [_replica(row) for row in replicas]
    found += [Member(text(row[_HOST]), int(row[_PORT])) for row in sources if text(row[_IO_RUNNING]) == "Yes"]
    # A replica that takes writes by mistake would call itself the primary of nobody.
    complete = report.role is Role.PRIMARY and not sources
    return Members(node, tuple(found), complete, attached=any(text(row[_IO_RUNNING]) == "Yes" for row in sources))


def _replica(row: Sequence[object]) -> Member:
    """Server_id, Host, (User, Password, with --show-slave-auth-info,) Port, the source's id, and on MySQL the UUID."""
    server_id, host = text(row[0]), text(row[1])
    port = int(text(row[4 if len(row) > 5 else 2]))
    uuid = text(row[-1]) if len(row) in (5, 7) else ""
    return Member(host, port or None, f"server_id {server_id}", uuid or f"server_id {server_id}")


def text(value: object) -> str:
    """Return a column's text: some drivers give those of SHOW as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes | bytearray) else str(value)
