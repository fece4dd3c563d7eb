"""MariaDB's replication: a source and its replica, which says where it is (report_host)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from clustersql.testing import MariaDBServer

Pair = tuple[MariaDBServer, MariaDBServer]


@contextmanager
def replication(
    kind: type[MariaDBServer] = MariaDBServer, replica_settings: Sequence[str] = (), **options: Any
) -> Iterator[Pair]:
    """Start both, of this kind and with these options, and let the replica, which has further settings of its own,
    follow.
    """
    with ExitStack() as stack:
        source = stack.enter_context(kind(settings=["--server-id=1", "--log-bin=binlog"], **options))
        replica = stack.enter_context(
            kind(settings=["--server-id=2", "--report-host=127.0.0.1", *replica_settings], **options)
        )
        source.execute("n1", "CREATE USER repl IDENTIFIED BY 'secret'")
        source.execute("n1", "GRANT REPLICATION SLAVE ON *.* TO repl")
        file, position = source.execute("n1", "SHOW MASTER STATUS")[0][:2]
        where = f"MASTER_HOST = '127.0.0.1', MASTER_PORT = {source.port('n1')}, MASTER_HEARTBEAT_PERIOD = 0.2"
        who = "MASTER_USER = 'repl', MASTER_PASSWORD = 'secret', MASTER_CONNECT_RETRY = 1"
        at = f"MASTER_LOG_FILE = '{file}', MASTER_LOG_POS = {position}"
        replica.execute("n1", f"CHANGE MASTER TO {where}, {who}, {at}")
        replica.execute("n1", "START SLAVE")
        replica.set_read_only("n1")
        yield source, replica
