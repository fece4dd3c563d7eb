"""What each database says of its members, and what it means.  tests/servers/mysql asks real ones."""

from __future__ import annotations

from typing import Any

import pytest

from clustersql.core.view.members import Member, Members
from clustersql.core.view.node import Report, Role
from clustersql.dialects import by_name

MARIADB = Report(Role.PRIMARY, version="10.11.6-MariaDB", identity="server_id 1")
MYSQL = Report(Role.PRIMARY, version="MySQL 8.4.3", identity="aaa")
GALERA = Report(Role.PRIMARY, version="10.11.6-MariaDB", details={"wsrep_cluster_status": "Primary"})
GROUP = Report(Role.PRIMARY, version="MySQL 8.4.3", details={"group_replication_group_name": "ggg"})
PRIMARY, STANDBY = Report(Role.PRIMARY), Report(Role.REPLICA)

SOURCE = ("Waiting", "10.0.0.1", "repl", 3306, 60, "binlog.1", 4, "relay.1", 4, "binlog.1", "Yes", "Yes")
STOPPED = (*SOURCE[:10], "No", "No")


@pytest.mark.parametrize(
    ("report", "statements"),
    [
        (MARIADB, ("SHOW SLAVE HOSTS", "SHOW SLAVE STATUS")),
        (Report(Role.PRIMARY, version="MySQL 8.0.21"), ("SHOW SLAVE HOSTS", "SHOW SLAVE STATUS")),
        (Report(Role.PRIMARY, version="MySQL 8.0.22"), ("SHOW REPLICAS", "SHOW REPLICA STATUS")),
        (MYSQL, ("SHOW REPLICAS", "SHOW REPLICA STATUS")),
    ],
)
def test_the_words_of_each_version(report: Report, statements: tuple[str, ...]) -> None:
    ask = by_name("mysql").ask_members
    assert ask is not None
    assert ask(report) == statements


@pytest.mark.parametrize(
    ("report", "answers", "expected"),
    [
        # a source, on which server 3 has no report_host; MariaDB, then with --show-slave-auth-info, then MySQL
        (
            MARIADB,
            [[(2, "10.0.0.2", 3306, 1), (3, "", 3307, 1)], []],
            Members(
                "x",
                (
                    Member("10.0.0.2", 3306, "server_id 2", "server_id 2"),
                    Member("", 3307, "server_id 3", "server_id 3"),
                ),
                complete=True,
            ),
        ),
        (
            MARIADB,
            [[(2, "10.0.0.2", "repl", "secret", 3306, 1)], []],
            Members("x", (Member("10.0.0.2", 3306, "server_id 2", "server_id 2"),), complete=True),
        ),
        (
            MYSQL,
            [[(2, b"10.0.0.2", 3306, 1, b"bbb")], []],
            Members("x", (Member("10.0.0.2", 3306, "server_id 2", "bbb"),), complete=True),
        ),
        # a replica; one that takes writes by mistake knows nobody, and says nothing of the others
        (
            Report(Role.REPLICA, version="MySQL 8.4.3"),
            [[], [SOURCE]],
            Members("x", (Member("10.0.0.1", 3306),), attached=True),
        ),
        (MARIADB, [[], [SOURCE]], Members("x", (Member("10.0.0.1", 3306),), attached=True)),
        (MARIADB, [[], [STOPPED]], Members("x")),
        # Galera with an arbitrator and a node that does not know its address
        (
            GALERA,
            [[("wsrep_incoming_addresses", "10.0.0.1:3306,,AUTO,[2001:db8::1]:3307,10.0.0.4:0"), ("wsrep_cluster_status", "Primary")]],
            Members(
                "x",
                (Member("10.0.0.1", 3306), Member(""), Member("auto"), Member("2001:db8::1", 3307), Member("10.0.0.4")),
                complete=True,
                attached=True,
            ),
        ),
        (
            GALERA,
            [[(b"wsrep_incoming_addresses", b"10.0.0.1:3306"), (b"wsrep_cluster_status", b"non-Primary")]],
            Members("x"),
        ),
        # Group Replication: with the majority, and without it
        (
            GROUP,
            [[("h1", 3306, "ONLINE", "aaa"), ("h2", 3306, "RECOVERING", "bbb"), ("h3", 3306, "ERROR", "ccc")], [("aaa",)]],
            Members(
                "x",
                (Member("h1", 3306, identity="aaa"), Member("h2", 3306, identity="bbb")),
                complete=True,
                attached=True,
            ),
        ),
        (
            GROUP,
            [[("h1", 3306, "ONLINE", "aaa"), ("h2", 3306, "UNREACHABLE", "bbb"), ("h3", 3306, "UNREACHABLE", "ccc")], [("aaa",)]],
            Members("x", (Member("h1", 3306, identity="aaa"),)),
        ),
    ],
)  # fmt: skip
def test_mysql(report: Report, answers: Any, expected: Members) -> None:
    assert by_name("mysql").members("x", report, answers) == expected


@pytest.mark.parametrize(
    ("report", "rows", "expected"),
    [
        (
            PRIMARY,
            [("allowed", "app", None, None), ("sends", "n2", "10.0.0.2", None), ("sends", "walreceiver", None, None)],
            Members("x", (Member("10.0.0.2", None, "n2"), Member("")), complete=True),
        ),
        (
            STANDBY,
            [("allowed", "app", None, None), ("follows", "", "db1", 5432), ("sends", "n4", "10.0.0.4", None)],
            Members("x", (Member("db1", 5432), Member("10.0.0.4", None, "n4")), attached=True),
        ),
        (STANDBY, [("allowed", "app", None, None)], Members("x")),
        (
            PRIMARY,
            [("sends", "n2", None, None), ("refused", "app", None, None)],
            Members("x", why="app may not see its replication: GRANT pg_monitor TO app"),
        ),
    ],
)
def test_postgresql(report: Report, rows: Any, expected: Members) -> None:
    assert by_name("postgresql").members("x", report, [rows]) == expected


@pytest.mark.parametrize("name", ["sqlite", "generic"])
def test_others_tell_nothing(name: str) -> None:
    assert by_name(name).ask_members is None
