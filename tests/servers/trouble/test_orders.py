"""What a node is told to do with a session of ours: the session is known by a number that may be somebody else's by
then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.stage import Stage, execute, failure
from support.waiting import eventually

from clustersql.nodes.dial import Order

WORKING = {
    True: "pg_stat_activity WHERE pid = {} AND state = 'active' AND upper(query)",
    False: "information_schema.processlist WHERE id = {} AND upper(info)",
}
"""Whether the database is PostgreSQL: where a session's present statement is found by its number."""


@pytest.mark.parametrize("stage", ["psycopg", "pymysql", "asyncpg", "aiomysql"], indirect=True)
@pytest.mark.parametrize("form", ["cancel", "terminate"])
def test_an_order_reaches_no_other_session_of_that_number(stage: Stage, form: str) -> None:
    """The number was given away again after a restart, or the address leads to another server: a session that has begun
    later is not ours, nor one of a server of another name.
    """
    asked: list[Any] = []
    with stage.make().open().connection() as stranger:
        number = stage.cluster.driver.session_id(stage.raw(stranger))
        assert number is not None
        sleep = "SELECT pg_sleep(30)" if stage.postgres else "SELECT count(*) FROM events WHERE NOT SLEEP(30)"
        stage.insert(stranger)
        thread = threading.Thread(target=lambda: asked.append(failure(execute, stranger, sleep)))
        thread.start()
        at_work = f"SELECT count(*) FROM {WORKING[stage.postgres].format(number)} LIKE '%SLEEP(30)%'"
        assert eventually(lambda: stage.server.execute("n1", at_work) == [(1,)]), "an order finds nothing to end before"
        say = orders(stage)
        words, server = getattr(stage.cluster.driver.dialect, form), stranger._state.session.server
        say(Order(words, number, time.monotonic() - 1e6, server))
        if not stage.postgres:  # which looks for itself
            say(Order(words, number, time.monotonic(), f"not {server}"))
        assert not eventually(lambda: asked, timeout=0.5), "what it had ended would be told within a moment"
        say(Order(words, number, time.monotonic(), server))
        thread.join()
        failure(stranger.rollback)
    assert asked


def orders(stage: Stage) -> Callable[[Order], None]:
    """Return what gives node "a" an order, and waits until it was given."""
    pool = stage.db._pool if stage.loop is None else stage.loop.call(stage.db._inner._pool)
    prober: Any = pool._prober

    def say(order: Order) -> None:
        stage.call(prober.say, "a", order)
        # Threads take an order out of the list before they give it, and forget the list after that.
        assert eventually(lambda: "a" not in prober._sayings if stage.loop is None else not prober._sayings["a"])

    return say
