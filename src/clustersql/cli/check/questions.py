"""What `check` asks that differs from database to database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["QUESTIONS", "Questions"]


@dataclass(frozen=True, slots=True)
class Questions:
    """Statements of one dialect; "" where the database has no such thing.

    ``clock``: seconds since 1970 by the server's clock, whatever its time zone.  ``tls``: version and cipher of this connection, or
    nothing.  ``used``: connections that are open now.  ``durability``: settings as name and value.  ``risky``: the values of those
    settings, per name, with which an acknowledged commit may be lost, and why.  ``spread`` and ``risky_spread``: the same for writes to several nodes at once.  ``one_primary``: two nodes that accept writes are
    two databases.  ``history``: of a replica, the user, where it may not see which history is received, and so cannot prove it to
    be the primary's after a promotion.  ``one_writer``: a second transaction that writes waits for the first one's end.
    """

    clock: str = ""
    tls: str = ""
    used: str = ""
    durability: str = ""
    risky: Mapping[tuple[str, str], str] | None = None
    spread: str = ""
    risky_spread: Mapping[tuple[str, str], str] | None = None
    history: str = ""
    one_primary: bool = False
    one_writer: bool = False


_LOST_WITH_NODE = "an acknowledged commit is lost when the machine crashes"

QUESTIONS: Mapping[str, Questions] = {
    "postgresql": Questions(
        clock="SELECT extract(epoch FROM clock_timestamp())",
        tls="SELECT version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl",
        used="SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'",
        durability="SELECT name, setting FROM pg_settings WHERE name IN"
        " ('fsync', 'synchronous_commit', 'synchronous_standby_names')",
        risky={
            ("fsync", "off"): _LOST_WITH_NODE,
            ("synchronous_commit", "off"): _LOST_WITH_NODE,
            ("synchronous_commit", "local"): "an acknowledged commit is lost with its node: no standby is waited for",
            ("synchronous_standby_names", ""): "an acknowledged commit is lost with its node: no standby is waited for",
        },
        history="SELECT current_user WHERE NOT pg_has_role('pg_read_all_stats', 'USAGE')",
        one_primary=True,
    ),
    # Not UNIX_TIMESTAMP(NOW()): in the hour when summer time ends it is wrong by an hour.
    "mysql": Questions(
        clock="SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000",
        tls="SHOW SESSION STATUS WHERE Variable_name IN ('Ssl_version', 'Ssl_cipher') AND Value <> ''",
        used="SHOW GLOBAL STATUS LIKE 'Threads_connected'",
        durability="SHOW GLOBAL VARIABLES WHERE Variable_name = 'innodb_flush_log_at_trx_commit'",
        risky={
            ("innodb_flush_log_at_trx_commit", "0"): f"{_LOST_WITH_NODE} (Galera: when all crash at once)",
            ("innodb_flush_log_at_trx_commit", "2"): f"{_LOST_WITH_NODE} (Galera: when all crash at once)",
        },
        spread="SHOW GLOBAL VARIABLES WHERE Variable_name IN"
        " ('wsrep_on', 'wsrep_sync_wait', 'innodb_snapshot_isolation')",
        risky_spread={
            ("wsrep_sync_wait", "0"): "a read on one node may not see what was just committed on another",
            ("innodb_snapshot_isolation", "OFF"): "a transaction may overwrite a change that it has not seen",
        },
    ),
    "sqlite": Questions(clock="SELECT (julianday('now') - 2440587.5) * 86400.0", one_writer=True),
    "generic": Questions(),
}
