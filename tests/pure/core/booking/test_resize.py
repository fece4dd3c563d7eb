"""A pool whose bounds change at run time."""

from __future__ import annotations

from clustersql.core.booking.book import Book
from clustersql.core.booking.shelf import Session, Waiter
from clustersql.core.policies.named import policy
from clustersql.core.steps import Changed
from clustersql.core.view.node import Report, Role
from clustersql.core.view.observations import Added, Answered
from clustersql.core.view.observe import observe
from clustersql.core.view.view import View, Want

WRITE = Want()


def pool(size: int, opened: int) -> tuple[Book, list[Session]]:
    """A pool of ``size`` with so many connections, all in use."""
    view = observe(observe(View(), Added("a"), 0.0), Answered("a", Report(Role.PRIMARY)), 0.0)
    book = Book(size, 9, policy("least-latency"), lambda: 0.5)
    book.adopt(view)
    for number in range(opened):
        _, actions = book.begin_dial("a")
        assert actions.dial is not None
        book.dialled(Session(object(), actions.dial, view.by_name["a"].generation), 0.01, float(number))
    sessions = [book.take(WRITE, 10.0) for _ in range(opened)]
    return book, [session for session in sessions if session is not None]


def test_the_oldest_idle_ones_go_first_and_only_as_many_as_are_too_many() -> None:
    book, sessions = pool(4, 4)
    for at, session in enumerate(sessions):
        assert book.give_back(session, 20.0 + at) is None
    actions = book.resize(2, 9, None, 10.0)
    assert actions.close == sessions[:2]
    assert (book.total, book.idle) == (2, 2)


def test_what_is_in_use_goes_at_its_return_until_the_pool_is_small_enough() -> None:
    book, sessions = pool(3, 3)
    assert book.resize(2, 9, None, 10.0).close == []
    actions = book.give_back(sessions[0], 20.0)
    assert actions is not None
    assert actions.close == [sessions[0]]
    assert book.give_back(sessions[1], 20.0) is None
    assert (book.total, book.idle) == (2, 1)


def test_whoever_waits_for_room_looks_again_in_a_larger_pool() -> None:
    book, _ = pool(1, 1)
    waiter = Waiter(WRITE)
    book.enqueue(waiter)
    assert book.begin_dial("a", waiter)[0] is None
    actions = book.resize(2, 9, None, 10.0)
    assert actions.wake == [waiter]
    assert isinstance(waiter.events[-1], Changed)
    assert book.begin_dial("a", waiter)[0] is True


def test_whoever_waits_goes_by_the_new_policy() -> None:
    book, _ = pool(1, 1)
    waiter = Waiter(WRITE)
    book.enqueue(waiter)
    book.resize(1, 9, policy("race"), 10.0)
    assert (book.policy.name, waiter.policy is not None and waiter.policy.name) == ("race", "race")
