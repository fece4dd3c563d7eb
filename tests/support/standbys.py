"""Standbys of PostgreSQL that apply late what they have received."""

from __future__ import annotations

import time
from typing import Any

from clustersql.testing.processes import wait_until

HELD_BACK = "recovery_min_apply_delay"
IS_BEHIND = "SELECT pg_catalog.pg_wal_lsn_diff(%s, pg_catalog.pg_last_wal_replay_lsn()) > 0"
WRITTEN = "SELECT pg_catalog.pg_current_wal_lsn()::text"
COMMITTED = "SELECT pg_catalog.txid_current()"
"""Writes a COMMIT, for which alone a standby waits."""


def hold_back(servers: Any, *names: str, delay: str = "50s") -> None:
    """Let standbys apply what they receive only after ``delay``, and wait until they do: what applies the log reads its
    configuration again some time after the sessions do.
    """
    for name in names:
        servers.execute(name, f"ALTER SYSTEM SET {HELD_BACK} = '{delay}'")
        servers.execute(name, "SELECT pg_reload_conf()")

    def are_late() -> bool:
        servers.execute("n1", COMMITTED)
        [written] = servers.execute("n1", WRITTEN)
        time.sleep(0.1)
        return all(servers.execute(name, IS_BEHIND, written) == [(True,)] for name in names)

    wait_until(are_late, f"{', '.join(names)} are held back")
