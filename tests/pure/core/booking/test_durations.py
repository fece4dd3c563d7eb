"""Durations are counted of sessions that are measured, each statement once, and of nothing that was no statement."""

from __future__ import annotations

import pytest

from clustersql.core.booking.durations import BOUNDS, KINDS, Durations, Histogram, MeasuredSession, measure
from clustersql.core.booking.shelf import Session, Shelf
from clustersql.pool.session import awaited


def opened(shelf: Shelf) -> Session:
    session = Session(object(), shelf, 1)
    shelf.open.add(session)
    return session


def runs(session: Session, began: float, ended: float) -> None:
    session.started = began
    session.ended = ended


def counts(durations: Durations, kind: str = "operation") -> list[int]:
    return durations.told(["a"])[kind]["a"].counts


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, 0), (0.001, 0), (0.0011, 1), (0.005, 1), (10.0, 8), (10.1, 9), (1e9, 9)]
)
def test_a_bound_belongs_to_its_bucket(seconds: float, bucket: int) -> None:
    histogram = Histogram()
    histogram.add(seconds)
    assert histogram.counts == [int(i == bucket) for i in range(len(BOUNDS) + 1)]
    assert histogram.total == seconds


def test_a_session_that_was_open_before_is_measured_from_then_on_and_no_longer() -> None:
    shelf, durations = Shelf("a"), Durations()
    session = opened(shelf)
    runs(session, 1.0, 2.0)
    measure(shelf, durations)
    assert (type(session), session.ended) == (MeasuredSession, 2.0)
    runs(session, 3.0, 3.004)
    measure(shelf, None)
    assert (type(session), session.ended) == (Session, 3.004)
    runs(session, 4.0, 5.0)
    assert counts(durations) == [0, 1, 0, 0, 0, 0, 0, 0, 0, 0]


def test_what_is_no_statement_or_has_failed_is_not_counted() -> None:
    shelf, durations = Shelf("a"), Durations()
    session = opened(shelf)
    measure(shelf, durations)
    runs(session, 1.0, 1.5)
    with awaited(session):  # a COMMIT: what was before is put back
        pass
    session.started = session.ended = 7.0  # an error
    session.started = session.ended = 0.0  # given back
    assert sum(counts(durations)) == 1


def test_a_node_that_is_there_no_more_is_forgotten_and_a_child_begins_anew() -> None:
    durations = Durations()
    for name in "ab":
        durations.of(name).use.add(1.0)
    assert {kind: list(nodes) for kind, nodes in durations.told(["b"]).items()} == {kind: ["b"] for kind in KINDS}
    assert durations.told(["a", "b"])["use"].keys() == {"b"}
    durations.clear()
    assert (durations.of("b").use.counts, durations.of("b").use.total) == ([0] * 10, 0.0)
