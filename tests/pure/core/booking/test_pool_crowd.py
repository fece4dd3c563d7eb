"""Many callers wait for a few connections: what is done for one of them does not grow with the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from clustersql.core.booking.book import Book, dial_plan
from clustersql.core.booking.opening import open_
from clustersql.core.booking.shelf import Actions, Session, Waiter
from clustersql.core.policies.named import policy
from clustersql.core.steps import Await, Changed, Dial, Look, Picture, Served
from clustersql.core.view.node import Report, Role
from clustersql.core.view.observations import Added, Answered
from clustersql.core.view.observe import observe
from clustersql.core.view.view import Service, View, Want

READ = Want(Service.READ, read_only=True)


class Watched(dict[Waiter, None]):
    """Counts how many waiters are looked at."""

    seen = 0

    def __iter__(self) -> Iterator[Waiter]:
        for waiter in super().__iter__():
            self.seen += 1
            yield waiter


def full(size: int) -> tuple[Book, list[Session]]:
    """A pool of two nodes whose connections are all in use, most of them to "a"."""
    view = View()
    for node in "ab":
        view = observe(observe(view, Added(node), 0.0), Answered(node, Report(Role.PRIMARY)), 0.0)
    book = Book(size, size, policy("least-latency"), lambda: 0.5)
    book.adopt(view)
    sessions = []
    for number in range(size):
        _, actions = book.begin_dial("a" if number else "b")
        assert actions.dial is not None
        book.dialled(Session(object(), actions.dial, actions.dial.generation), 0.01, 0.0)
        sessions.append(actions.dial.lend(READ))
    return book, sessions


def enter(book: Book) -> Waiter:
    """A caller finds the pool full, and waits."""
    waiter = Waiter(READ)
    book.enqueue(waiter)
    assert book.begin_dial(dial_plan(book, waiter, 1.0)[0], waiter)[0] is None
    return waiter


def line_up(book: Book) -> Waiter:
    """A caller finds the pool full, and can do nothing but wait."""
    assert book.take(READ, 1.0) is None
    waiter = book.plain(READ, 1.0)
    assert waiter is not None
    book.line_up(waiter)
    return waiter


@pytest.mark.parametrize("wait", [enter, line_up])
def test_an_operation_looks_at_as_many_callers_as_it_serves(wait: Callable[[Book], Waiter]) -> None:
    book, sessions = full(3)
    waiters = [wait(book) for _ in range(1000)]
    book.waiters = watched = Watched(book.waiters)
    looks = 1 if wait is line_up else 2  # whether it is plain, and whether the connection fits it
    for number in range(300):
        session = sessions.pop(0)
        told = book.give_back(session, 2.0)
        assert told is waiters[number] if wait is line_up else list(waiters[number].events) == [Served(session)]
        assert book.withdraw(waiters[number])[0] is session
        sessions.append(session)
        wait(book)
    assert watched.seen <= 300 * looks
    broken = book.give_back(sessions.pop(), 2.0, keep=False)
    assert isinstance(broken, Actions)
    assert broken.wake == [waiters[300]]
    assert list(waiters[300].events) == [Changed()]
    assert watched.seen <= 300 * looks + 1
    book.withdraw(
        waiters[999]
    )  # from the end of the queue: the room, which the other has not used yet, is the next one's too
    assert watched.seen <= 300 * looks + 3


def test_a_caller_who_finds_the_pool_full_asks_no_other_node_and_waits_for_an_event() -> None:
    """Else each of a thousand would come round every 250 ms until it had asked for every node."""
    opening = open_(deadline=30.0, stagger=0.25)
    assert next(opening) == Look()
    assert opening.send(Picture(0.0, ("a", "b", "c"))) == Dial("a")
    assert opening.send(None) == Await(30.0)
    assert opening.send(Changed()) == Look()
    assert opening.send(Picture(1.0, ("a", "b", "c"))) == Dial("a")
    assert opening.send(False) == Await(0.25), (
        "there is no room at this node: the next one has its turn after the stagger"
    )


def test_a_full_pool_makes_room_for_a_caller_whom_what_is_idle_does_not_fit() -> None:
    """Its statement failed on "b", and what is idle there may be as dead as the one it had."""
    book, [idle, lost] = full(2)
    book.max_dials = 1
    book.give_back(idle, 1.0)
    book.give_back(lost, 1.0, keep=False)
    assert book.begin_dial("a")[0]
    retry = Waiter(READ, avoid="b")
    book.enqueue(retry)
    assert book.begin_dial("a", retry)[0] is False, "one dial at a time"
    begun, actions = book.begin_dial("b", retry)
    assert begun
    assert actions.close == [idle]
    assert book.total == 2
