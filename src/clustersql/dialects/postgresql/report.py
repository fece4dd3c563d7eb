"""What a server of PostgreSQL is asked of itself by a probe, and how its answer is read."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.view.node import Epoch, Readiness, Report, Role
from .. import Rows

# The timeline from the name of the log's file: pg_control_checkpoint() shows a new one only after the next checkpoint.
# One round trip.  Not current_setting('default_transaction_read_only'): our own SET SESSION CHARACTERISTICS changes
# that, and a pool's read-only connection would call a primary a replica.  reset_val keeps what a new session of this
# user starts with (postgresql.conf, ALTER SYSTEM, ALTER ROLE, ALTER DATABASE, the connection's own options).  A
# standby's timeline: what it receives is shown to pg_monitor only, what the control file says to everyone, but after
# the next restart point, so that it may be an older one.  Where a promoted primary stopped replaying its timeline
# begins, until it is restarted: then it is NULL, or after a crash something else.
PROBE = """\
SELECT pg_catalog.pg_is_in_recovery(),
       (SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'default_transaction_read_only'),
       pg_catalog.current_setting('server_version'),
       pg_catalog.current_setting('max_connections'),
       pg_catalog.current_setting('superuser_reserved_connections'),
       (SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()),
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_is_wal_replay_paused() ELSE false END,
       pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                                       ELSE pg_catalog.pg_current_wal_lsn() END, '0/0')::bigint,
       (SELECT system_identifier FROM pg_catalog.pg_control_system())::text,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL
            ELSE substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) END,
       extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text,
       (SELECT max(received_tli) FROM pg_catalog.pg_stat_wal_receiver),
       CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN greatest((SELECT min_recovery_end_timeline FROM pg_catalog.pg_control_recovery()),
                          (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint())) END,
       CASE WHEN NOT pg_catalog.pg_is_in_recovery()
            THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_replay_lsn(), '0/0')::bigint END,
       pg_catalog.host(pg_catalog.inet_server_addr()) || ':' || pg_catalog.inet_server_port()"""

# Which server it is.  Through a balancer the address is the server's own, not the one that was dialled; by a socket
# there is none, and no balancer either.
WHO = """\
SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system())::text,
       extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text,
       pg_catalog.host(pg_catalog.inet_server_addr()) || ':' || pg_catalog.inet_server_port()"""


def report(answers: Sequence[Rows]) -> Report:
    """Read the answer to `PROBE`: a standby, or a node that takes no writes by default, is a replica."""
    (row,) = answers[0]
    standby, default_read_only, version, max_connections, reserved, tls, paused, position, *history = row
    system, timeline, since, receiving, reached, forked_at, server = history
    read_only = default_read_only == "on"
    if read_only and not standby:
        position = None  # what is written there comes from nobody: it says nothing of how far it is behind
    why = "" if standby or not read_only else "default_transaction_read_only is on"
    return Report(
        role=Role.REPLICA if standby or read_only else Role.PRIMARY,
        readiness=Readiness.MAINTENANCE if paused else Readiness.READY,
        why="its replay is paused (pg_wal_replay_pause): it shows no new data" if paused else why,
        version=f"PostgreSQL {version}",
        details={
            "max_connections": str(max_connections),
            "reserved_connections": str(reserved),
            "tls": "on" if tls else "off",
            "default_transaction_read_only": str(default_read_only),
        },
        position=position,
        epoch=Epoch(f"system identifier {system}", int(timeline or "0", 16)),
        identity=_identity(system, since),
        server=server or "",
        timeline=reached or 0,
        following=receiving or 0,
        forked_at=forked_at,
    )


def who(answers: Sequence[Rows]) -> tuple[str, str]:
    """Read the answer to `WHO`: `Report.identity` and `Report.server`."""
    ((system, since, server),) = answers[0]
    return _identity(system, since), server or ""


def _identity(system: str, since: str) -> str:
    """A server has no name of its own; its start, to the microsecond, is its alone."""
    return f"{system} since {since}"
