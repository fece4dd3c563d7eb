"""What MySQL says of itself in replication by GTIDs and in a group; the answers are those of a real 9.7."""

from __future__ import annotations

from typing import Any

import pytest

from clustersql.core.view.node import Epoch, Readiness, Report, Role
from clustersql.core.view.position import Transactions, ahead, holds
from clustersql.dialects import by_name
from clustersql.dialects.mysql.gtids import gtid_set

MYSQL = by_name("mysql")
A, B = "2d619dc2-ec22-11f1-9f92-02fc00000001", "2d715d04-ec22-11f1-b343-02fc00000001"
GROUP = "c1a57e05-0000-4000-8000-000000000001"
VIEW = "17959764645315114:3"


@pytest.mark.parametrize(
    ("told", "made"),
    [
        ("", ()),
        (f"{A}:1-5", ((A, ((1, 5),)),)),
        (f"{A.upper()}:1-3:11:47-49,\n{B}:7", ((A, ((1, 3), (11, 11), (47, 49))), (B, ((7, 7),)))),
        (f"{A}:4-6:1-3", ((A, ((1, 6),)),)),
        (f"{A}:1-3:batch:1-2:9:daily:4", ((A, ((1, 3),)), (f"{A}:batch", ((1, 2), (9, 9))), (f"{A}:daily", ((4, 4),)))),
    ],
    ids=["nothing", "one", "several, over two lines", "neighbours", "tags"],
)
def test_a_set_of_gtids(told: str, made: Any) -> None:
    assert gtid_set(told) == Transactions(made)


def test_what_is_no_set_of_gtids() -> None:
    with pytest.raises(ValueError, match="no set of GTIDs"):
        gtid_set(f"{A}:1-x")


@pytest.mark.parametrize(
    ("position", "wanted", "lacking"),
    [
        (f"{A}:1-10", f"{A}:1-10", 0),
        (f"{A}:1-10,{B}:1-99", f"{A}:1-10", 0),
        (f"{A}:1-9,{B}:1-99", f"{A}:1-10", 1),
        (f"{A}:1-4:6-10", f"{A}:1-10", 1),
        (f"{A}:1-2:5-6:9-10", f"{A}:2-9", 4),
        ("", f"{A}:1-10,{B}:3", 11),
        (f"{A}:1-10", "", 0),
        (f"{A}:batch:1-10", f"{A}:1-10", 10),
    ],
)
def test_who_has_applied_what(position: str, wanted: str, lacking: int) -> None:
    assert gtid_set(position).lacking(gtid_set(wanted)) == lacking
    assert holds(gtid_set(position), gtid_set(wanted)) is (lacking == 0)
    assert ahead(gtid_set(wanted), gtid_set(position)) == lacking


def test_a_number_and_a_set_cannot_be_compared() -> None:
    assert not holds(12, gtid_set(f"{A}:1"))
    assert not holds(gtid_set(f"{A}:1"), 0)
    assert ahead(12, gtid_set(f"{A}:1")) is None


@pytest.mark.parametrize(
    ("told", "position"),
    [
        ({"gtid_mode": "ON", "gtid_executed": f"{A}:1-77"}, gtid_set(f"{A}:1-77")),
        ({"gtid_mode": "ON", "gtid_executed": f"{A}:1-77", "super_read_only": "ON"}, gtid_set(f"{A}:1-77")),
        ({"gtid_mode": "ON", "gtid_executed": ""}, Transactions()),
        ({"gtid_mode": "OFF", "gtid_executed": ""}, None),
        ({"gtid_mode": "ON_PERMISSIVE", "gtid_executed": f"{A}:1-77"}, None),
    ],
    ids=["source", "replica", "nothing yet", "no GTIDs", "some without"],
)
def test_a_position_in_mysqls_replication(told: dict[str, str], position: Transactions | None) -> None:
    """Without GTIDs for all of them an empty set would be taken for a replica that is up to date."""
    assert MYSQL.report([list(told.items()), []]).position == position


def member(uuid: str, state: str = "ONLINE", role: str = "SECONDARY", view: str = VIEW) -> tuple[str, ...]:
    return uuid, state, role, view


def grouped(*rows: tuple[Any, ...], read_only: bool = False, **told: str) -> Report:
    """The report of server A, of which the group's tables say this."""
    variables = {"version": "9.7.4", "server_uuid": A, "group_replication_group_name": GROUP}
    variables |= {"super_read_only": "ON" if read_only else "OFF", **told}
    report = MYSQL.report([list(variables.items()), []])
    assert MYSQL.ask_further(report)
    return MYSQL.further(report, [rows])


PRIMARY = member(A, role="PRIMARY")
CUT_OFF = "cut off from the majority of the group: what is written there waits"


@pytest.mark.parametrize(
    ("report", "role", "readiness", "why"),
    [
        (grouped(PRIMARY, member(B)), Role.PRIMARY, Readiness.READY, ""),
        (
            grouped(member(A), member(B, role="PRIMARY"), read_only=True),
            Role.REPLICA,
            Readiness.READY,
            "super_read_only is on",
        ),
        # An administrator has turned the switch off: what is written there can be refused by the group.
        (
            grouped(member(A), member(B, role="PRIMARY")),
            Role.REPLICA,
            Readiness.READY,
            "it is a SECONDARY of the group",
        ),
        # Elected, and what was left to it is not applied yet.
        (grouped(PRIMARY, member(B), read_only=True), Role.REPLICA, Readiness.READY, "super_read_only is on"),
        (
            grouped(member(A, "RECOVERING"), member(B, role="PRIMARY"), read_only=True),
            Role.REPLICA,
            Readiness.JOINING,
            "it is catching up with the group (MEMBER_STATE is RECOVERING)",
        ),
        (
            grouped(PRIMARY, member(B, "UNREACHABLE"), member("c", "UNREACHABLE")),
            Role.PRIMARY,
            Readiness.NOT_READY,
            CUT_OFF,
        ),
        (grouped(PRIMARY, member(B, "UNREACHABLE")), Role.PRIMARY, Readiness.NOT_READY, CUT_OFF),
        (grouped(PRIMARY, member(B), member("c", "UNREACHABLE")), Role.PRIMARY, Readiness.READY, ""),
        (
            grouped((A, "ERROR", "", VIEW), member(B, "UNREACHABLE"), read_only=True),
            Role.REPLICA,
            Readiness.NOT_READY,
            "not in the group (MEMBER_STATE is ERROR)",
        ),
        (
            grouped((A, "OFFLINE", "", None)),
            Role.PRIMARY,
            Readiness.NOT_READY,
            "not in the group (MEMBER_STATE is OFFLINE)",
        ),
        (grouped(), Role.PRIMARY, Readiness.NOT_READY, "not in the group (MEMBER_STATE is OFFLINE)"),
        (grouped(PRIMARY, offline_mode="ON"), Role.PRIMARY, Readiness.MAINTENANCE, "offline_mode is on"),
    ],
)
def test_a_member_of_a_group(report: Report, role: Role, readiness: Readiness, why: str) -> None:
    assert (report.role, report.readiness, report.why) == (role, readiness, why)


def test_the_view_is_the_epoch() -> None:
    """The changes since the founding count; a group that was founded again is newer than any change of the old one."""
    epoch = grouped(PRIMARY).epoch
    assert epoch == Epoch(f"group {GROUP}", 1795976464000003, "view", shared=True)
    later = grouped(member(A, role="PRIMARY", view="17959764745315114:1")).epoch
    assert later is not None
    assert later.number > epoch.number
    assert grouped(PRIMARY, member(B, "UNREACHABLE")).epoch is None
    assert grouped((A, "OFFLINE", "", None)).epoch is None
    assert grouped((A, "ONLINE", "PRIMARY", None)).epoch is None


def test_a_server_without_a_group_is_asked_nothing_further() -> None:
    for told in ({"server_uuid": A}, {"server_uuid": A, "group_replication_group_name": ""}):
        assert MYSQL.ask_further(MYSQL.report([list(told.items()), []])) == ()
