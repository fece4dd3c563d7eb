"""The demo's table, made without a terminal."""

from __future__ import annotations

from io import StringIO
from typing import Any

from rich.console import Console

from clustersql.cli.demo.frame import HEADINGS, cells, duration, line, rows, summary
from clustersql.cli.demo.screen import table
from clustersql.cli.demo.tally import Fault, Phase, Sample

REFUSED = 'OperationalError: connection failed: connection to server at "127.0.0.1", port 5 failed: Connection refused\n\tIs it?'
MYSQL = """OperationalError: (2003, "Can't connect to MySQL server on '127.0.0.1' ([Errno 111] Connection refused)")"""
METRICS: dict[str, Any] = {
    "Nodes": {
        "n1": {"State": "up", "Role": "primary", "Readiness": "ready", "InFlight": 2, "LastErrorMessage": ""},
        "n2": {"State": "down", "Role": "unknown", "Readiness": "ready", "InFlight": 0, "LastErrorMessage": REFUSED},
        "n3": {"State": "up", "Role": "replica", "Readiness": "joining", "LastErrorMessage": MYSQL},
    }
}
SAMPLES = [Sample(100.0, i / 1000, "n1", "read") for i in range(100)] + [
    Sample(100.0, 0.002, "n3", "read") for _ in range(300)
]


def test_share_and_percentiles_come_from_the_last_seconds() -> None:
    old = [Sample(90.0, 9.0, "n1", "write")] * 500
    n1, n2, n3 = rows(METRICS, [*old, *SAMPLES], now=104.0)
    assert (n1.share, n1.p50, n1.p99, n1.in_flight) == (0.25, 0.050, 0.099, 2)
    assert (n2.share, n2.p50, n2.p99) == (0.0, None, None)
    assert (n3.share, n3.state) == (0.75, "joining")


def test_no_traffic_at_all_divides_by_nothing() -> None:
    assert [row.share for row in rows(METRICS, [], now=0.0)] == [0.0, 0.0, 0.0]


def test_cells_are_as_many_as_the_headings_and_show_why() -> None:
    shown = [cells(row) for row in rows(METRICS, SAMPLES, now=100.0)]
    assert {len(each) for each in shown} == {len(HEADINGS)}
    assert shown[0] == ("n1", "primary", "up", "25%", "50.0", "99.0", "2", "")
    assert shown[1] == ("n2", "unknown", "down", "0%", "-", "-", "0", "Connection refused")
    assert shown[2][-1] == "Connection refused"


def test_the_plain_line_names_every_node() -> None:
    assert line(rows(METRICS, SAMPLES, now=100.0)) == "n1 primary 25% 50.0/99.0 ms | n2 down | n3 joining"


def test_the_table_has_one_line_per_node_at_80_columns() -> None:
    long = {"Nodes": {"n1": METRICS["Nodes"]["n1"] | {"LastErrorMessage": "a very long error " * 20}}}
    console = Console(file=StringIO(), width=80)
    console.print(table(rows(long, SAMPLES, now=100.0)))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 2
    assert max(map(len, lines)) <= 80


def test_the_summary_tells_phases_recoveries_and_errors_within_80_columns() -> None:
    phases = [Phase("the start"), Phase("the primary is down", 812345, Sample(3.0, 1.25, "n2", "write"))]
    fault = Fault("primary n1 killed", 10.0, 10.1, {1: (10.2, "read"), 5: (12.5, "write")}, mended=12.0)
    text = list(summary(phases, [fault], {"OutcomeUnknown": 2, "PoolTimeout": 1}, {"PoolTimeout": "3.0 s, read: why"}))
    assert text == [
        "812345 operations ended well",
        "  the primary is down       812345 operations, slowest 1.25 s (write, n2)",
        "primary n1 killed:",
        "  reads good again after 200 ms",
        "  writes good again after 2.50 s, the promotion took until 2.00 s after the kill",
        "errors that the program saw: 1 PoolTimeout",
        "  PoolTimeout at 3.0 s, read: why",
        "outcomes unknown: 2 (a COMMIT was sent to a node that died before it answered)",
    ]
    assert max(map(len, text)) <= 80


def test_a_worker_that_never_came_back_is_said() -> None:
    assert "  writes good again not within the demo" in list(summary([], [Fault("n1 killed", 1.0)], {}, {}))


def test_durations_read_well() -> None:
    assert [duration(s) for s in (0.0012, 0.012, 1.5)] == ["1.2 ms", "12 ms", "1.50 s"]
