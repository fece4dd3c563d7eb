"""A full pool whose connections fit readers only: a writer is passed over, but not for ever."""

from __future__ import annotations

from clustersql.core.booking.book import Book
from clustersql.core.booking.shelf import Actions, Session, Waiter
from clustersql.core.policies.named import policy
from clustersql.core.steps import Changed, Served
from clustersql.core.view.node import Report, Role
from clustersql.core.view.observations import Added, Answered
from clustersql.core.view.observe import observe
from clustersql.core.view.view import Service, View, Want

WRITE, READ = Want(Service.WRITE), Want(Service.READ, read_only=True)


def full_of_replicas(size: int) -> tuple[Book, list[Session]]:
    """A pool whose connections are all to "b", a replica, and in use; "a" is a primary again."""
    view = View()
    for node, role in (("a", Role.PRIMARY), ("b", Role.REPLICA)):
        view = observe(observe(view, Added(node), 0.0), Answered(node, Report(role)), 0.0)
    book = Book(size, 2, policy("least-latency"), lambda: 0.5)
    book.adopt(view)
    sessions = []
    for _ in range(size):
        _, actions = book.begin_dial("b")
        assert actions.dial is not None
        session = Session(object(), actions.dial, view.by_name["b"].generation)
        book.dialled(session, 0.01, 0.0)
        taken = book.take(READ, 0.0, avoid="a")
        assert taken is session
        sessions.append(taken)
    return book, sessions


def test_a_writer_gets_room_after_as_many_readers_as_the_pool_is_large() -> None:
    book, sessions = full_of_replicas(3)
    writer = Waiter(WRITE)
    book.enqueue(writer)
    assert not book.begin_dial("a", writer)[0], "there is no room"
    served = 0
    while served < 20:
        reader = Waiter(READ)
        book.enqueue(reader)
        session = sessions.pop(0)
        actions = book.give_back(session, 1.0)
        assert isinstance(actions, Actions)
        if session in actions.close:
            break
        assert Served(session) in reader.events
        sessions.append(session)
        served += 1
    assert served == 3
    assert writer in actions.wake
    assert list(writer.events) == [Changed()]
    assert book.begin_dial("a", writer)[1].dial is book.shelves["a"]


def test_readers_alone_lose_no_connection() -> None:
    book, sessions = full_of_replicas(3)
    for _ in range(20):
        reader = Waiter(READ)
        book.enqueue(reader)
        session = sessions.pop(0)
        actions = book.give_back(session, 1.0)
        assert isinstance(actions, Actions)
        assert actions.close == []
        sessions.append(session)
