"""What makes a session ready, read step by step: no driver, no clock."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from clustersql.core.booking.mode import Means, greet, reset, restore, set_mode
from clustersql.core.booking.shelf import Session, Shelf
from clustersql.core.recovery.recover import Unrestorable
from clustersql.core.statements.ledger import Ledger
from clustersql.core.statements.settings import Setting
from clustersql.core.steps import Autocommit, Commit, Greet, Reset, Script, SetAutocommit, SetReadOnly

MEANS = Means(("ON",), ("OFF",), reset_proof="PROOF", hooks=(print,))


def session(autocommit: bool | None = False, read_only: bool | None = False, shared: bool = False) -> Session:
    one = Session(object(), Shelf("n1"), 1)
    one.autocommit, one.read_only, one.shared = autocommit, read_only, shared
    return one


def ends(steps: Generator[Any, Any, Any], answer: object = None) -> Any:
    """Send the last answer, and return what the procedure returns."""
    with pytest.raises(StopIteration) as done:
        steps.send(answer)
    return done.value.value


def test_what_it_is_already_asks_for_nothing() -> None:
    for autocommit in (False, None):
        assert ends(set_mode(session(), MEANS, autocommit, False)) is None
    assert ends(set_mode(session(True, True), MEANS, None, True)) is None


def test_read_only_is_set_before_the_autocommit_mode_and_known_after_its_answer() -> None:
    one = session()
    steps = set_mode(one, MEANS, True, True)
    assert next(steps) == Script(("ON",))
    assert one.read_only is False
    assert steps.send([]) == SetAutocommit(True)
    assert (one.read_only, one.autocommit) == (True, False)
    ends(steps)
    assert (one.read_only, one.autocommit) == (True, True)


def test_a_session_whose_mode_is_not_known_is_not_told_that_it_may_write() -> None:
    one = session(read_only=None)
    ends(set_mode(one, MEANS, None, False))
    assert one.read_only is False
    assert next(set_mode(session(read_only=None), MEANS, None, True)) == Script(("ON",))


def test_a_driver_without_an_autocommit_mode_is_asked_for_none() -> None:
    one = session()
    ends(set_mode(one, replace(MEANS, autocommit=False), True, False))
    assert one.autocommit is True


def test_what_raises_leaves_the_session_as_it_was_known() -> None:
    one = session()
    steps = set_mode(one, MEANS, True, True)
    next(steps)
    with pytest.raises(OSError, match="gone"):
        steps.throw(OSError("gone"))
    assert (one.read_only, one.autocommit) == (False, False)


@pytest.mark.parametrize(
    ("before", "wanted", "steps"),
    [
        ((True, False), (False, True), [SetAutocommit(False), SetReadOnly(True)]),
        ((False, True), (True, False), [SetReadOnly(False), SetAutocommit(True)]),
        ((True, False), (True, True), [SetAutocommit(False), SetReadOnly(True)]),  # only a transaction is read-only
        ((False, False), (True, False), [SetAutocommit(True)]),
        ((False, False), (None, False), []),
    ],
)
def test_a_shared_session_is_switched_outside_autocommit_mode(before: Any, wanted: Any, steps: list[Any]) -> None:
    one = session(*before, shared=True)
    assert list(set_mode(one, MEANS, *wanted)) == steps
    assert (one.autocommit, one.read_only) == (bool(wanted[0]) and not wanted[1], wanted[1])


def test_a_driver_that_needs_a_transaction_in_a_shared_session() -> None:
    one = session(shared=True)
    assert list(set_mode(one, replace(MEANS, shared_autocommit=False), True, False)) == []
    assert one.autocommit is False


def test_a_reset_session_gets_its_hook_and_its_mode_again() -> None:
    one = session(True, True)
    one.listening = True
    steps = reset(one, MEANS)
    assert next(steps) == Reset()
    assert steps.send(True) == Script(("PROOF",))
    assert steps.send([[(1,)]]) == Autocommit()
    assert steps.send(False) == Greet(print)
    assert (one.read_only, one.autocommit, one.listening) == (False, False, False)
    assert steps.send(True) == Commit()
    assert steps.send(None) == Script(("ON",))
    assert steps.send([]) == SetAutocommit(True)
    assert ends(steps) is True


def test_a_reset_that_cannot_be_or_is_not_proven_closes_the_session() -> None:
    steps = reset(session(), MEANS)
    next(steps)
    assert ends(steps, False) is False
    steps = reset(session(), MEANS)
    next(steps)
    steps.send(True)
    assert ends(steps, [[(0,)]]) is False


def test_a_hook_that_outlives_a_reset_is_not_called() -> None:
    steps = reset(session(), replace(MEANS, reset_proof="", reset_keeps_hook=True))
    assert next(steps) == Reset()
    assert steps.send(True) == Autocommit()
    assert ends(steps, False) is True


def test_what_is_shared_is_not_reset_and_keeps_no_settings() -> None:
    assert ends(reset(session(shared=True), MEANS)) is True
    with pytest.raises(Unrestorable, match="via="):
        next(restore(session(shared=True), Ledger()))


def test_a_hook_is_committed_only_where_it_leaves_something_open() -> None:
    assert ends(greet(Means())) is None
    steps = greet(MEANS)
    assert next(steps) == Greet(print)
    assert ends(steps, False) is None


def test_each_hook_is_committed_before_the_next_is_called() -> None:
    steps = greet(Means(hooks=(print, repr)))
    assert next(steps) == Greet(print)
    assert steps.send(True) == Commit()
    assert steps.send(None) == Greet(repr)
    assert ends(steps, False) is None


def test_settings_are_restored_and_proven() -> None:
    ledger = Ledger(kept=(Setting("TimeZone", "SET TimeZone = 'UTC'", "SHOW TimeZone", "UTC"),))
    steps = restore(session(), ledger)
    assert next(steps) == Script(ledger.script)
    answers = [[("UTC",)]] * len(ledger.script)
    assert ends(steps, answers) is None
    steps = restore(session(), ledger)
    next(steps)
    with pytest.raises(Unrestorable, match=r"TimeZone .* on node 'n1'"):
        steps.send([[("CET",)]] * len(ledger.script))
