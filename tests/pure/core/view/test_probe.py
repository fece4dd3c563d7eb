"""How a node is asked, step by step, and what its answer is news of."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from clustersql.core.steps import Ask, Connect, LetGo, Query
from clustersql.core.view.node import Report, Role
from clustersql.core.view.observations import Answered
from clustersql.core.view.probe import Probe, probe

REPORT = Report(Role.REPLICA)
NEW = Probe("new", REPORT)


def ends(steps: Generator[Any, Any, Any], answer: object) -> Any:
    with pytest.raises(StopIteration) as done:
        steps.send(answer)
    return done.value.value


def test_a_node_without_a_kept_connection_is_dialled() -> None:
    g = probe("a", None, fresh=False)
    assert next(g) == Connect("a")
    assert ends(g, NEW) == NEW


def test_a_kept_connection_is_asked_and_nothing_is_dialled() -> None:
    g = probe("a", "kept", fresh=False)
    assert next(g) == Ask("kept")
    assert ends(g, REPORT) == Probe("kept", REPORT, dialled=False)


def test_a_distrusted_node_is_dialled_anew_and_its_old_connection_closed() -> None:
    g = probe("a", "kept", fresh=True)
    assert next(g) == LetGo("kept")
    assert g.send(True) == Connect("a")
    assert ends(g, NEW) == NEW


def test_where_the_kept_connection_fails_a_new_one_tells() -> None:
    g = probe("a", "kept", fresh=False)
    next(g)
    assert g.throw(OSError("reset")) == LetGo("kept")
    assert g.send(True) == Connect("a")
    assert ends(g, NEW) == replace(NEW, left=True), "that one is gone is news, where the new one is another server's"


def test_what_the_new_connection_raises_is_the_probe_s_error() -> None:
    g = probe("a", "kept", fresh=False)
    next(g)
    g.throw(OSError("reset"))
    g.send(True)
    with pytest.raises(ConnectionRefusedError):
        g.throw(ConnectionRefusedError())


def test_a_probe_that_was_abandoned_on_the_kept_connection_dials_no_more() -> None:
    """It would only hang as well, in a thread of its own, and another one with every round."""
    g = probe("a", "kept", fresh=False)
    next(g)
    assert g.throw(OSError("shut down")) == LetGo("kept")
    with pytest.raises(OSError, match="shut down"):
        g.send(False)


def test_a_cancellation_is_no_failure_of_the_kept_connection() -> None:
    g = probe("a", "kept", fresh=False)
    next(g)
    with pytest.raises(KeyboardInterrupt):
        g.throw(KeyboardInterrupt())


@pytest.mark.parametrize("kept", ["kept", None])
def test_the_sessions_at_work_are_asked_for_on_the_connection_that_has_answered(kept: str | None) -> None:
    g = probe("a", kept, fresh=False, question="SELECT 7")
    next(g)
    assert g.send(NEW if kept is None else REPORT) == Query(kept or "new", "SELECT 7")
    assert ends(g, [(7,)]) == Probe(kept or "new", REPORT, kept is None, running=[(7,)])


def test_an_answer_is_news_of_new_connections_only_where_it_came_on_one() -> None:
    assert NEW.news("a", "::1:5432") == Answered("a", REPORT, True, "::1:5432")
    assert Probe("kept", REPORT, dialled=False).news("a", "") == Answered("a", REPORT, False, "")
