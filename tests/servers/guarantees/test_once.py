"""`Database.once`: once and only once by the caller's key; and `commit_guard_required`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from servers.conftest import _stage
from servers.guarantees.test_guard import KNOBS, ONE_OF_EACH, Guarded, make_tables
from support.stage import COMMIT, Stage, failure

from clustersql import AlreadyCommitted, ConfigError

KEY = 'order 7: it\'s \\ "paid" \N{SNOWMAN}'


@pytest.fixture(params=ONE_OF_EACH)
def guarded(request: pytest.FixtureRequest) -> Iterator[Guarded]:
    for stage in _stage(request.param, request):
        guarded = Guarded(stage)
        stage.ask(f"DELETE FROM {keys(stage)}")
        yield guarded


def keys(stage: Stage) -> str:
    return "public.clustersql_key" if stage.postgres else "clustersql_key"


def test_the_same_key_again_is_told_when(guarded: Guarded) -> None:
    assert guarded.db.once(KEY, guarded.work) == "its value"
    error = failure(guarded.db.once, KEY, guarded.work)
    assert isinstance(error, AlreadyCommitted)
    assert not isinstance(error, guarded.cluster.driver.operational_error)
    assert (error.key, guarded.attempts, guarded.told, guarded.stage.count()) == (KEY, [1], [1], 1)
    assert error.at.year > 2000
    assert guarded.db.once(f"{KEY} ", guarded.work) == "its value"


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_lost_commit_of_it(guarded: Guarded, before: bool) -> None:
    """Only the token is ever made void: the next attempt may have the key."""
    guarded.stage.a.cut_on(COMMIT, before=before)
    assert guarded.db.once(KEY, guarded.work) == "its value"
    assert isinstance(failure(guarded.db.once, KEY, guarded.work), AlreadyCommitted)
    assert (len(guarded.attempts), guarded.told, guarded.stage.count()) == (2 if before else 1, [1], 1)


def test_what_fails_leaves_no_key(guarded: Guarded) -> None:
    def work(conn: Any) -> None:
        guarded.work(conn)
        raise KeyError("no such order")

    assert isinstance(failure(guarded.db.once, KEY, work), KeyError)
    assert guarded.db.once(KEY, guarded.work) == "its value"
    assert guarded.stage.count() == 1


def test_a_second_worker_waits_and_learns_it(guarded: Guarded) -> None:
    other = guarded.stage.make(**KNOBS).open()
    found: list[Any] = []
    entered, go_on = threading.Event(), threading.Event()

    def slow(conn: Any) -> str:
        entered.set()
        assert go_on.wait(20)
        return guarded.work(conn)

    threads = [threading.Thread(target=lambda: found.append(guarded.db.once(KEY, slow)))]
    threads[0].start()
    assert entered.wait(20)
    threads.append(threading.Thread(target=lambda: found.append(failure(other.once, KEY, guarded.work))))
    threads[1].start()
    assert not found
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert sorted(type(one).__name__ for one in found) == ["AlreadyCommitted", "str"]
    assert guarded.stage.count() == 1


def test_a_key_that_is_kept_no_longer(guarded: Guarded) -> None:
    shortly = guarded.db.options(keep=0.001)
    assert shortly.once(KEY, guarded.work) == "its value"
    assert shortly.once(KEY, guarded.work) == "its value"
    assert guarded.stage.count() == 2


@pytest.mark.parametrize("key", ["", "x" * 201, None, 7, "a\0b"])
def test_what_is_no_key(psycopg_stage: Stage, key: Any) -> None:
    with pytest.raises(ConfigError, match=r"once\(\): the key must be a text of 1 to 200 characters"):
        Guarded(psycopg_stage).db.once(key, lambda conn: None)


def test_it_needs_the_guard(psycopg_stage: Stage) -> None:
    with pytest.raises(ConfigError, match="has no commit guard"):
        psycopg_stage.db.once(KEY, lambda conn: None)


def test_tables_that_are_required(guarded: Guarded) -> None:
    stage = guarded.stage
    required = stage.make(**KNOBS, commit_guard_required=True)

    def opened() -> None:
        with required.open() as db:
            db.stats()

    stage.ask(f"DROP TABLE {keys(stage)}")
    try:
        error = failure(opened)
    finally:
        make_tables(stage)
    assert isinstance(error, ConfigError)
    assert "commit_guard_required" in str(error)
    assert failure(opened) is None
