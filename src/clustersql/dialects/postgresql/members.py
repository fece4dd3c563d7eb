"""Whom a server of PostgreSQL knows: its standbys, and whom it follows."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.view.members import Member, Members
from ...core.view.node import Report, Role
from .. import Rows

# Whom this server sends its log to, and whom it gets it from.  pg_stat_replication shows more than standbys:
# subscribers of logical replication (they have a slot, which says so), pg_receivewal and pg_basebackup.  A sender's
# port is that of its own end of the connection, not the one where the standby listens; only a standby knows the port of
# the server that it follows.  Without pg_read_all_stats the rows are there and empty.
# https://www.postgresql.org/docs/current/monitoring-stats.html
MEMBERS = """\
SELECT CASE WHEN pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') THEN 'allowed' ELSE 'refused' END::text,
       current_user::text, NULL::text, NULL::int
UNION ALL
SELECT 'follows', '', sender_host::text, sender_port FROM pg_catalog.pg_stat_wal_receiver WHERE status = 'streaming'
UNION ALL
SELECT 'sends', application_name::text, pg_catalog.host(client_addr), NULL
  FROM pg_catalog.pg_stat_replication WHERE state IN ('streaming', 'catchup')
   AND application_name NOT IN ('pg_receivewal', 'pg_basebackup')
   AND pid NOT IN (SELECT active_pid FROM pg_catalog.pg_replication_slots
                   WHERE slot_type = 'logical' AND active_pid IS NOT NULL)"""


def ask_members(report: Report) -> tuple[str, ...]:
    """Return `MEMBERS`."""
    return (MEMBERS,)


def members(node: str, report: Report, answers: Sequence[Rows]) -> Members:
    """Read the answer to `MEMBERS`.  A primary knows all its standbys; a standby knows those that follow it, and whom
    it follows.
    """
    rows = answers[0]
    allowed, user = next(row[:2] for row in rows if row[0] in ("allowed", "refused"))
    if allowed == "refused":
        return Members(node, why=f"{user} may not see its replication: GRANT pg_monitor TO {user}")
    # walreceiver is what every standby is called that was given no name.
    found = tuple(
        Member(host or "", port, name if name != "walreceiver" else "")
        for kind, name, host, port in rows
        if kind in ("follows", "sends")
    )
    return Members(node, found, report.role is Role.PRIMARY, attached=any(row[0] == "follows" for row in rows))
