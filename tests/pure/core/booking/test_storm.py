"""While every node is gone, a failed probe is no news to those who wait: a thousand of them must not be woken
by each.
"""

from __future__ import annotations

from clustersql.core.booking.book import Book
from clustersql.core.booking.shelf import Waiter
from clustersql.core.faults import Fault
from clustersql.core.policies.named import policy
from clustersql.core.view.freshness import max_lag
from clustersql.core.view.node import Report, Role
from clustersql.core.view.observations import Added, Answered, Refused, Unreachable
from clustersql.core.view.observe import observe
from clustersql.core.view.view import Service, View, Want

READ = Want(Service.READ, read_only=True)


def test_a_node_that_is_down_and_fails_again_wakes_nobody() -> None:
    view = View()
    for name, role in (("a", Role.PRIMARY), ("b", Role.REPLICA)):
        view = observe(observe(view, Added(name), 0.0), Answered(name, Report(role, position=1)), 0.0)
    book = Book(10, 2, policy("random"), lambda: 0.5)
    book.adopt(view)
    waiters = [Waiter(READ), Waiter(Want()), Waiter(Want(Service.READ, max_lag=max_lag(1.0)))]
    for waiter in waiters:
        book.enqueue(waiter)
    for name in ("a", "b"):
        view = observe(view, Unreachable(name, why="refused"), 1.0)
        assert book.adopt(view).wake == waiters, "it went: that is news"
    for second in (2, 4, 8, 16, 32, 62):  # when the breaker is due: only then is a failure counted
        for name in ("a", "b"):
            before, view = view, observe(view, Unreachable(name, why=f"refused again, {second}"), float(second))
            assert view.by_name[name].failures > before.by_name[name].failures
            assert book.adopt(view).wake == []
            assert book.view is view, "what is known is taken over all the same"
    back = observe(view, Answered("b", Report(Role.REPLICA)), 90.0)
    assert book.adopt(back).wake == waiters


def test_a_live_node_that_refuses_new_connections_is_news() -> None:
    """It leaves the plan for a while, and its return to it must be told."""
    view = observe(observe(View(), Added("a"), 0.0), Answered("a", Report(Role.PRIMARY)), 0.0)
    refused = observe(view, Refused("a", 0, Fault.OVERLOADED), 1.0)
    assert refused.version > view.version
    assert observe(refused, Answered("a", Report(Role.PRIMARY)), 2.0).version > refused.version


def test_the_single_writer_is_not_who_answers_first() -> None:
    """At the start of a process every node is asked at once; a later node's probe must not be lent before the earlier
    one has spoken.
    """
    view = View(writer="single")
    for name in "ab":
        view = observe(view, Added(name), 0.0)
    book = Book(10, 2, policy("random"), lambda: 0.5)
    book.adopt(view)
    waiter = Waiter(Want())
    book.enqueue(waiter)
    answered = observe(view, Answered("b", Report(Role.PRIMARY)), 0.1)
    book.adopt(answered)
    begun, actions = book.begin_dial("b", waiter)
    assert (begun, actions.spare) == (True, None)
    for first in (Answered("a", Report(Role.REPLICA)), Unreachable("a", why="refused")):
        book.adopt(observe(answered, first, 0.2))
        begun, actions = book.begin_dial("b", waiter)
        assert begun
        assert actions.spare is not None
        assert actions.dial is not None
        book.dial_failed(actions.dial, OSError(), 0.3, waiter)
