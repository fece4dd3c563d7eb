"""The dialects' tables: what a code proves, and what an answer to the probe says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clustersql.core.faults import Fault
from clustersql.core.view.node import Epoch, Readiness, Role
from clustersql.dialects import by_name, classify, ends_session

SCENARIOS = Path(__file__).parents[1] / "scenarios" / "classify"
CASES = [
    pytest.param(scenario["dialect"], case, id=f"{scenario['dialect']}-{'-'.join(str(v)[:20] for v in case.values())}")
    for scenario in map(json.loads, (path.read_text() for path in sorted(SCENARIOS.glob("*.json"))))
    for case in scenario["cases"]
]


@pytest.mark.parametrize(("dialect", "case"), CASES)
def test_scenario(dialect: str, case: dict[str, Any]) -> None:
    found = classify(
        by_name(dialect),
        case.get("sqlstate"),
        case.get("errno"),
        case.get("message", ""),
        case.get("connecting", False),
    )
    assert (found and found.value) == case["fault"]


@pytest.mark.parametrize(
    ("dialect", "sqlstate", "errno", "ends"),
    [
        ("postgresql", "57P01", None, True),
        ("postgresql", "57014", None, False),
        ("postgresql", "08006", None, True),
        ("postgresql", "08007", None, False),  # its own fault; the connection's state tells the rest
        ("postgresql", "25006", None, False),
        ("postgresql", None, None, False),
        ("mysql", "08S01", 1047, False),  # class 08, but the session lives on
        ("mysql", None, 1927, True),
        ("mysql", None, 1153, True),
        ("mysql", "HY000", 1205, False),
        ("mysql", "40001", 1213, False),
    ],
)
def test_what_ends_a_session(dialect: str, sqlstate: str | None, errno: int | None, ends: bool) -> None:
    assert ends_session(by_name(dialect), sqlstate, errno) is ends


def test_an_unknown_dialect_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        by_name("oracle")


GALERA = {
    "wsrep_on": "ON",
    "wsrep_ready": "ON",
    "wsrep_cluster_status": "Primary",
    "wsrep_local_state": "4",
    "wsrep_reject_queries": "NONE",
    "version": "10.11.19-MariaDB",
    "read_only": "OFF",
}


@pytest.mark.parametrize(
    ("changes", "role", "readiness", "why"),
    [
        ({}, Role.PRIMARY, Readiness.READY, ""),
        ({"wsrep_local_state": "2"}, Role.PRIMARY, Readiness.DONOR, "donor of a state transfer"),
        ({"wsrep_local_state": "2", "wsrep_desync": "ON"}, Role.PRIMARY, Readiness.DONOR, "desynced by hand"),
        ({"wsrep_local_state": "1"}, Role.PRIMARY, Readiness.JOINING, "joining the cluster (1)"),
        ({"wsrep_local_state": "3"}, Role.PRIMARY, Readiness.JOINING, "joining the cluster (3)"),
        ({"wsrep_reject_queries": "ALL"}, Role.PRIMARY, Readiness.MAINTENANCE, "wsrep_reject_queries is ALL"),
        ({"wsrep_ready": "OFF"}, Role.PRIMARY, Readiness.NOT_READY, "wsrep_ready is off"),
        (
            {"wsrep_cluster_status": "non-Primary"},
            Role.PRIMARY,
            Readiness.NOT_READY,
            "not in the Primary component (wsrep_cluster_status is non-Primary)",
        ),
        ({"pxc_maint_mode": "SHUTDOWN"}, Role.PRIMARY, Readiness.DRAINING, "pxc_maint_mode is SHUTDOWN"),
        ({"pxc_maint_mode": "MAINTENANCE"}, Role.PRIMARY, Readiness.MAINTENANCE, "pxc_maint_mode is MAINTENANCE"),
        ({"pxc_maint_mode": "DISABLED"}, Role.PRIMARY, Readiness.READY, ""),
        ({"read_only": "ON"}, Role.REPLICA, Readiness.READY, "read_only is on"),
        ({"read_only": "NO_LOCK"}, Role.REPLICA, Readiness.READY, "read_only is on"),
        ({"super_read_only": "ON"}, Role.REPLICA, Readiness.READY, "super_read_only is on"),
        ({"innodb_read_only": "ON"}, Role.REPLICA, Readiness.READY, "innodb_read_only is on"),
        ({"offline_mode": "ON"}, Role.PRIMARY, Readiness.MAINTENANCE, "offline_mode is on"),
        # A MariaDB without a cluster knows the variables all the same.
        (
            {"wsrep_on": "OFF", "wsrep_ready": "OFF", "wsrep_cluster_status": "Disconnected", "wsrep_local_state": "0"},
            Role.PRIMARY,
            Readiness.READY,
            "",
        ),
    ],
)
def test_the_mysql_probe(changes: dict[str, str], role: Role, readiness: Readiness, why: str) -> None:
    report = by_name("mysql").report([list((GALERA | changes).items()), []])
    assert (report.role, report.readiness, report.why) == (role, readiness, why)


@pytest.mark.parametrize(
    ("told", "position"),
    [
        ({"read_only": "ON", "gtid_slave_pos": "0-1-120", "gtid_current_pos": "0-2-500"}, 120),
        ({"read_only": "OFF", "gtid_slave_pos": "0-2-100", "gtid_current_pos": "0-1-123"}, 123),
        ({"read_only": "ON", "gtid_slave_pos": "", "gtid_current_pos": ""}, None),
        ({"read_only": "ON", "gtid_slave_pos": "0-1-120,1-1-7"}, None),
        ({"wsrep_on": "ON", "read_only": "OFF", "gtid_current_pos": "0-1-123"}, None),
    ],
    ids=["replica", "primary", "nothing applied yet", "two domains", "Galera"],
)
def test_a_position_in_mariadbs_replication(told: dict[str, str], position: int | None) -> None:
    """A replica's own transactions count for nothing, and what one number cannot tell is not told."""
    assert by_name("mysql").report([list(told.items()), []]).position == position


def test_a_long_receive_queue_is_overload() -> None:
    report = by_name("mysql").report([list((GALERA | {"wsrep_local_recv_queue": "501"}).items()), []])
    assert (report.readiness, report.queue) == (Readiness.READY, 501)
    assert report.limited(501) is report
    assert report.limited(500).readiness is Readiness.OVERLOADED
    assert report.limited(500).why == "501 write-sets wait to be applied, more than max_receive_queue (500)"
    donor = by_name("mysql").report(
        [list((GALERA | {"wsrep_local_state": "2", "wsrep_local_recv_queue": "9000"}).items()), []]
    )
    assert donor.limited(500) is donor, "it says itself what it is"


POSTGRES = (
    False,
    "off",
    "17.2",
    "100",
    "3",
    False,
    False,
    777,
    "7399",
    "0000000A",
    "1.5",
    None,
    None,
    640,
    "10.0.0.1:5432",
)


@pytest.mark.parametrize(
    ("changes", "role", "readiness", "why"),
    [
        ({}, Role.PRIMARY, Readiness.READY, ""),
        ({0: True}, Role.REPLICA, Readiness.READY, ""),
        ({1: "on"}, Role.REPLICA, Readiness.READY, "default_transaction_read_only is on"),
        (
            {0: True, 6: True},
            Role.REPLICA,
            Readiness.MAINTENANCE,
            "its replay is paused (pg_wal_replay_pause): it shows no new data",
        ),
    ],
)
def test_the_postgresql_probe(changes: dict[int, Any], role: Role, readiness: Readiness, why: str) -> None:
    report = by_name("postgresql").report([[tuple(changes.get(i, value) for i, value in enumerate(POSTGRES))]])
    assert (report.role, report.readiness, report.why) == (role, readiness, why)
    assert report.position == (None if changes == {1: "on"} else 777), "what a demoted primary wrote is no measure"
    assert report.epoch == Epoch("system identifier 7399", 10)
    assert report.identity == "7399 since 1.5"
    assert report.server == "10.0.0.1:5432"
    assert by_name("postgresql").who([[("7399", "1.5", None)]]) == ("7399 since 1.5", "")
    assert (report.timeline, report.following, report.forked_at) == (0, 0, 640)


def test_the_timelines_of_a_postgresql_standby() -> None:
    """What it receives, and what its control file says; both may be untold."""
    standby = (True, *POSTGRES[1:9], None, "1.5")
    for told, expected in (
        ((2, 1, None), (1, 2, None)),
        ((None, 3, None), (3, 0, None)),
        ((None, None, None), (0, 0, None)),
    ):
        report = by_name("postgresql").report([[(*standby, *told, None)]])
        assert (report.timeline, report.following, report.forked_at) == expected


def test_mysql_itself_leaves_the_cluster_variables_out() -> None:
    report = by_name("mysql").report([[(b"version", b"9.4.0"), (b"read_only", b"OFF")], [("Ssl_cipher", "TLS_AES")]])
    assert (report.role, report.readiness, report.version) == (Role.PRIMARY, Readiness.READY, "MySQL 9.4.0")
    assert report.details["tls"] == "TLS_AES"


def test_every_table_holds_faults_only() -> None:
    for name in ("postgresql", "mysql", "sqlite", "generic"):
        dialect = by_name(name)
        for table in (dialect.sqlstates, dialect.errnos, dialect.at_connect):
            decided = [fault for fault in table.values() if not isinstance(fault, Fault)]
            assert all(
                needle == needle.lower() and isinstance(fault, Fault) for pairs in decided for needle, fault in pairs
            )
        assert all(needle == needle.lower() for needle, _ in dialect.messages)
