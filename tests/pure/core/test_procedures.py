"""The procedures step by step: what they ask for, given the answers."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from clustersql.core.booking.opening import GaveUp, fill, open_
from clustersql.core.faults import Facts, Fault
from clustersql.core.recovery.recover import Lost, recover
from clustersql.core.recovery.verdict import Phase, Situation, Standing, Verdict
from clustersql.core.steps import (
    Acquire,
    Await,
    Changed,
    Dial,
    DialFailed,
    Discard,
    Execute,
    Failed,
    Look,
    Picture,
    Rollback,
    Served,
    Tell,
)
from clustersql.core.view.observations import Refused, SessionLost

ERROR = RuntimeError("boom")
LOST = Situation(Facts(Fault.LOST, lost=True), proven=True)


def ends(steps: Generator[Any, Any, Any], answer: object = None) -> Any:
    with pytest.raises(StopIteration) as done:
        steps.send(answer)
    return done.value.value


def picture(now: float, plan: str = "abc", hopeless: bool = False) -> Picture:
    return Picture(now, tuple(plan), hopeless)


def test_open_dials_the_next_after_the_stagger() -> None:
    g = open_(10.0, 0.25)
    assert next(g) == Look()
    assert g.send(picture(0.0)) == Dial("a")
    assert g.send(True) == Await(0.25)
    assert g.send(None) == Look()
    assert g.send(picture(0.25)) == Dial("b")
    assert g.send(True) == Await(0.25)
    assert ends(g, Served("late winner")) == "late winner"


def test_open_dials_the_next_at_once_on_an_error() -> None:
    g = open_(10.0, 0.25)
    next(g)
    assert g.send(picture(0.0)) == Dial("a")
    g.send(True)
    assert g.send(DialFailed("a", ERROR)) == Look()
    assert g.send(picture(0.01)) == Dial("b")


def test_open_dials_the_next_at_once_on_an_error_while_another_is_silent() -> None:
    g = open_(10.0, 0.25)
    next(g)
    g.send(picture(0.0))
    g.send(True)
    g.send(None)
    assert g.send(picture(0.25)) == Dial("b")
    g.send(True)
    assert g.send(DialFailed("b", ERROR)) == Look()
    assert g.send(picture(0.26)) == Dial("c")


def test_open_asks_again_for_room_after_an_error_elsewhere() -> None:
    g = open_(10.0, 0.25)
    next(g)
    assert g.send(picture(0.0, "ab")) == Dial("a")
    assert g.send(False) == Await(0.25)
    assert g.send(None) == Look()
    assert g.send(picture(0.25, "ab")) == Dial("b")
    g.send(True)
    assert g.send(DialFailed("b", ERROR)) == Look()
    assert g.send(picture(0.3, "ab")) == Dial("a")


def test_open_races_without_a_stagger() -> None:
    g = open_(10.0, 0.0)
    next(g)
    for node in "abc":
        assert g.send(picture(0.0)) == Dial(node)
        assert g.send(True) == (Look())
    assert g.send(picture(0.0)) == Await(10.0)
    assert ends(g, Served(1)) == 1


def test_open_waits_for_a_change_and_looks_again() -> None:
    g = open_(10.0, 0.25)
    next(g)
    assert g.send(picture(0.0, "")) == Await(10.0)
    assert g.send(Changed()) == Look()
    assert g.send(picture(4.0, "a")) == Dial("a")
    assert g.send(True) == Await(6.0)


def test_open_gives_up_at_the_deadline_with_every_error_the_latest_last() -> None:
    g = open_(1.0, 0.25)
    next(g)
    g.send(picture(0.0, "ab"))
    g.send(True)
    g.send(DialFailed("a", ERROR))
    assert g.send(picture(0.1, "ab")) == Dial("b")
    assert g.send(True) == Await(0.9)
    assert g.send(None) == Look()
    assert ends(g, picture(1.0, "ab")) == GaveUp({"a": ERROR}, ("b",), ("a", "b"))


def test_open_gives_up_at_once_when_only_a_person_helps() -> None:
    g = open_(10.0, 0.25)
    next(g)
    assert ends(g, picture(0.0, "", hopeless=True)) == GaveUp({}, (), ())


def test_recover_moves_a_read_and_tells_the_cluster() -> None:
    g = recover(ERROR, LOST, "a", 3, 2, lambda: True)
    assert next(g) == Tell(SessionLost("a", 3, "boom"))
    assert g.send(None) == Discard()
    assert g.send(None) == Acquire(avoid="a")
    assert g.send(("b", 1)) == Execute()
    assert g.send(Failed(ERROR, LOST)) == Tell(SessionLost("b", 1, "boom"))
    g.send(None)
    assert g.send(None) == Acquire(avoid="b")
    assert g.send(("c", 0)) == Execute()
    assert ends(g, "rows") == "rows"


def test_recover_names_the_statement_that_it_runs_again() -> None:
    g = recover(ERROR, LOST, "a", 0, 2, lambda: True, "SELECT 1")
    next(g)
    g.send(None)
    g.send(None)
    assert g.send(("b", 0)) == Execute("SELECT 1")


def test_what_is_lost_carries_the_last_try() -> None:
    """After a retry whose time was over, its error, its situation and its node count: the first try's would blame the
    wrong node.
    """
    g = recover(ERROR, LOST, "a", 0, 2, lambda: True)
    for _ in range(3):
        next(g)
    g.send(("b", 0))
    late, error = replace(LOST, timed_out=True), OSError("late")
    assert ends(g, Failed(error, late)) == Lost(Verdict.PASS, error, late, "b")


def test_recover_stops_after_its_retries_and_at_the_budget() -> None:
    for retries, afford in ((0, True), (2, False)):
        g = recover(ERROR, LOST, "a", 0, retries, lambda afford=afford: afford)
        next(g)
        end = ends(g)
        assert (end.verdict, end.error) == (Verdict.PASS, ERROR)
        assert ("retry_limit" if afford else "budget") in end.note
    first = Situation(Facts(Fault.LOST, lost=True), transaction=Standing.FIRST)
    g = recover(ERROR, first, "a", 0, 0, lambda: True)
    next(g)
    assert ends(g).verdict is Verdict.LOST


def test_recover_runs_a_rollback_again_on_the_same_connection() -> None:
    g = recover(ERROR, Situation(Facts(Fault.ROLLED_BACK)), "a", 0, 2, lambda: True)
    assert next(g) == Rollback()
    assert g.send(True) == Execute()
    assert ends(g, 7) == 7


def test_recover_goes_elsewhere_when_the_rollback_is_lost() -> None:
    g = recover(ERROR, Situation(Facts(Fault.ROLLED_BACK)), "a", 0, 2, lambda: True)
    next(g)
    assert g.send(False) == Discard()
    assert g.send(None) == Acquire(avoid="a")


def test_what_the_server_has_ended_is_rolled_back_in_fact() -> None:
    """A trigger's SIGNAL has the code of a deadlock too, and then the transaction would still be open."""
    ended = Situation(Facts(Fault.ROLLED_BACK), transaction=Standing.LATER, rollback_ends=True)
    g = recover(ERROR, ended, "a", 0, 2, lambda: True)
    assert next(g) == Rollback()
    assert ends(g, True) == Lost(Verdict.PASS, ERROR, ended, "a")
    g = recover(ERROR, ended, "a", 0, 2, lambda: True)
    next(g)
    assert g.send(False) == Discard()


def test_a_commit_that_failed_is_rolled_back_where_nobody_tells_whether_it_is_open() -> None:
    """MySQL refuses some COMMITs and leaves the transaction open: the next user's COMMIT would be this one's too."""
    failed = Situation(Facts(Fault.STATEMENT), Phase.COMMIT, Standing.LATER, rollback_ends=True)
    g = recover(ERROR, failed, "a", 0, 2, lambda: True)
    assert next(g) == Rollback()
    assert ends(g, True) == Lost(Verdict.PASS, ERROR, failed, "a")
    g = recover(ERROR, failed, "a", 0, 2, lambda: True)
    next(g)
    assert g.send(False) == Discard()


def test_recover_of_a_lost_write_is_unknown_and_blames_the_node() -> None:
    g = recover(ERROR, Situation(Facts(Fault.LOST, lost=True)), "a", 0, 2, lambda: True)
    assert next(g) == Tell(SessionLost("a", 0, "boom"))
    assert ends(g) == Lost(Verdict.UNKNOWN, ERROR, Situation(Facts(Fault.LOST, lost=True)), "a")


def test_recover_of_a_commit_of_reads_is_done() -> None:
    done = Situation(Facts(Fault.LOST, lost=True), Phase.COMMIT, Standing.LATER, proven=True)
    g = recover(ERROR, done, "a", 0, 2, lambda: True)
    next(g)
    assert g.send(None) == Discard()
    assert ends(g) is None


def test_a_refusal_is_news_unless_the_session_was_made_read_only() -> None:
    g = recover(ERROR, Situation(Facts(Fault.READ_ONLY)), "a", 5, 2, lambda: True)
    assert next(g) == Tell(Refused("a", 5, Fault.READ_ONLY, "boom"))
    g = recover(ERROR, Situation(Facts(Fault.READ_ONLY), read_only=True), "a", 5, 2, lambda: True)
    assert ends(g) == Lost(Verdict.PASS, ERROR, Situation(Facts(Fault.READ_ONLY), read_only=True), "a")


PUT = Situation(Facts(Fault.LOST, lost=True), proven=True, declared=True)
"""A write that was declared idempotent, and may have happened."""


@pytest.mark.parametrize(("retries", "afford"), [(0, True), (2, False)])
def test_an_idempotent_write_that_is_not_tried_again_is_unknown(retries: int, afford: bool) -> None:
    g = recover(ERROR, PUT, "a", 0, retries, lambda: afford)
    next(g)
    assert ends(g).verdict is Verdict.UNKNOWN


def test_an_idempotent_write_stays_unknown_when_a_later_try_fails_otherwise() -> None:
    g = recover(ERROR, PUT, "a", 0, 1, lambda: True)
    for _ in range(3):
        next(g)
    g.send(("b", 0))
    assert ends(g, Failed(ERROR, Situation(Facts(Fault.STATEMENT)))).verdict is Verdict.UNKNOWN


def test_an_idempotent_write_is_unknown_when_no_other_node_can_be_had() -> None:
    g = recover(ERROR, PUT, "a", 0, 2, lambda: True)
    for _ in range(3):
        next(g)
    with pytest.raises(StopIteration) as stopped:
        g.throw(KeyError("no node"))
    assert stopped.value.value.verdict is Verdict.UNKNOWN
    assert "no node" in stopped.value.value.note


def test_an_idempotent_write_in_a_transaction_has_not_happened() -> None:
    inside = Situation(Facts(Fault.LOST, lost=True), transaction=Standing.FIRST, proven=True, declared=True)
    g = recover(ERROR, inside, "a", 0, 0, lambda: True)
    next(g)
    assert ends(g).verdict is Verdict.LOST


def test_a_node_that_pushes_back_is_blamed_for_the_statement_and_loses_no_connection() -> None:
    g = recover(ERROR, Situation(Facts(Fault.OVERLOADED)), "a", 5, 2, lambda: True)
    assert next(g) == Tell(Refused("a", 5, Fault.OVERLOADED, "boom"))
    g = recover(ERROR, Situation(Facts(Fault.OVERLOADED, lost=True)), "a", 5, 2, lambda: True)
    assert next(g) == Tell(SessionLost("a", 5, "boom"))


def test_what_acquire_raises_ends_the_recovery() -> None:
    g = recover(ERROR, LOST, "a", 0, 2, lambda: True)
    for _ in range(3):
        next(g)
    with pytest.raises(KeyError):
        g.throw(KeyError("no node"))


def test_fill_stops_where_there_is_no_room() -> None:
    g = fill(0, 3, 5)
    next(g)
    assert g.send(picture(0.0)) == Dial("a")
    assert g.send(True) == Dial("a")
    assert ends(g, False) == 1


@pytest.mark.parametrize(("idle", "room"), [(0, 0), (3, 5)])
def test_fill_with_nothing_to_do_does_not_even_look(idle: int, room: int) -> None:
    """A look while no node serves wakes the monitor, which is in the middle of this: it would go round
    without an end.
    """
    assert list(fill(idle, 3, room)) == []
