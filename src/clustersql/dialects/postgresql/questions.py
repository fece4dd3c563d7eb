"""What `clustersql check` asks a PostgreSQL server."""

from __future__ import annotations

from ..questions import LOST_WITH_NODE, Questions

_NO_STANDBY = "an acknowledged commit is lost with its node: no standby is waited for"

QUESTIONS = Questions(
    clock="SELECT extract(epoch FROM clock_timestamp())",
    tls="SELECT version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl",
    used="SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'",
    durability="SELECT name, setting FROM pg_settings WHERE name IN"
    " ('fsync', 'synchronous_commit', 'synchronous_standby_names')",
    risky={
        ("fsync", "off"): LOST_WITH_NODE,
        ("synchronous_commit", "off"): LOST_WITH_NODE,
        ("synchronous_commit", "local"): _NO_STANDBY,
        ("synchronous_standby_names", ""): _NO_STANDBY,
    },
    history="SELECT current_user WHERE NOT pg_has_role('pg_read_all_stats', 'USAGE')",
    one_primary=True,
)
