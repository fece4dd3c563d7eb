"""What `clustersql check` asks a server of MySQL or MariaDB."""

from __future__ import annotations

from ..questions import LOST_WITH_NODE, Questions

_ALL_AT_ONCE = f"{LOST_WITH_NODE} (Galera: when all crash at once)"

QUESTIONS = Questions(
    # Not UNIX_TIMESTAMP(NOW()): in the hour when summer time ends it is wrong by an hour.
    clock="SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000",
    tls="SHOW SESSION STATUS WHERE Variable_name IN ('Ssl_version', 'Ssl_cipher') AND Value <> ''",
    used="SHOW GLOBAL STATUS LIKE 'Threads_connected'",
    durability="SHOW GLOBAL VARIABLES WHERE Variable_name = 'innodb_flush_log_at_trx_commit'",
    risky={
        ("innodb_flush_log_at_trx_commit", "0"): _ALL_AT_ONCE,
        ("innodb_flush_log_at_trx_commit", "2"): _ALL_AT_ONCE,
    },
    spread="SHOW GLOBAL VARIABLES WHERE Variable_name IN ('wsrep_on', 'wsrep_sync_wait', 'innodb_snapshot_isolation')",
    risky_spread={
        ("wsrep_sync_wait", "0"): "a read on one node may not see what was just committed on another",
        ("innodb_snapshot_isolation", "OFF"): "a transaction may overwrite a change that it has not seen",
    },
)
