"""The public workload on SQLite, by both APIs: it proves what was true, and notices what was not."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.waiting import eventually

import clustersql
from clustersql import ConfigError, OutcomeUnknown
from clustersql.testing.workload import AsyncWorkload, Proof, Tables, Told, Workload

SHORT: dict[str, Any] = {"readers": 2, "writers": 2, "pause": 0.002, "paramstyle": "qmark"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "work.db"


@pytest.fixture
def cluster(file: Path) -> Iterator[clustersql.Cluster]:
    made = clustersql.Cluster("work", driver="sqlite3", async_driver="aiosqlite", max_size=4)
    made.add_node("file", f"sqlite:///{file}")
    yield made
    made.close()


class Lied(Workload):
    """Tells of its 3rd write what is not true."""

    def __init__(self, *arguments: Any, lie: Callable[[Any, Lied, int, int], None], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.lie = lie

    def transaction(self, conn: Any, number: int, worker: int) -> None:
        if number % 1_000_000_000 == 3:
            self.lie(conn, self, number, worker)
        else:
            super().transaction(conn, number, worker)


def worked(load: Workload) -> Proof:
    load.create()
    with load:
        load.progress(10, 10)
    return load.prove()


def test_threads_are_proved(cluster: clustersql.Cluster) -> None:
    with cluster.open() as db:
        load = Workload(db, **SHORT)
        proof = worked(load)
    assert proof.holds, proof
    assert proof.acknowledged == len(load.told.acknowledged) >= 10
    assert (load.told.failed, load.told.unknown, load.told.raised) == (set(), set(), [])
    assert load.told.slowest.keys() == {"read", "write"}


def test_tasks_are_proved(cluster: clustersql.Cluster) -> None:
    async def main() -> tuple[AsyncWorkload, Proof]:
        async with cluster.aopen() as db:
            load = AsyncWorkload(db, **SHORT)
            await load.create("file")
            async with load:
                await load.progress(10, 10)
            return load, await load.prove()

    load, proof = asyncio.run(main())
    assert proof.holds, proof
    assert proof.acknowledged == len(load.told.acknowledged) >= 10
    assert (load.told.failed, load.told.unknown, load.told.raised) == (set(), set(), [])


def nothing(conn: Any, load: Lied, number: int, worker: int) -> None:
    """It is acknowledged, and not there."""


def twice(conn: Any, load: Lied, number: int, worker: int) -> None:
    for _ in range(2):
        Workload.transaction(load, conn, number, worker)


def half(conn: Any, load: Lied, number: int, worker: int) -> None:
    cursor = conn.cursor()
    cursor.execute(*load.tables.steps(number, worker)[0])


def failed(conn: Any, load: Lied, number: int, worker: int) -> None:
    Workload.transaction(load, conn, number, worker)
    conn.commit()
    raise ValueError("it has committed all the same")


def late(conn: Any, load: Lied, number: int, worker: int) -> None:
    Workload.transaction(load, conn, number, worker)
    conn.cursor().execute(load.tables.count.replace("n + 1", "n"), (number + 1000, worker))
    load._stop.set()


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (nothing, "acknowledged but missing"),
        (twice, "there more than once"),
        (half, "its counter says"),
        (failed, "reported failed but there"),
        (late, "its register says that"),
    ],
)
def test_what_was_told_wrong_is_not_proved(cluster: clustersql.Cluster, lie: Callable[..., None], words: str) -> None:
    with cluster.open() as db:
        load = Lied(db, lie=lie, **SHORT | {"writers": 1})
        load.create()
        with load:
            load.told.wait(lambda: load._stop.is_set() or load.told.ended["write"] >= 5, 60)
        proof = load.prove()
    assert not proof.holds
    assert words in str(proof)


def test_a_read_that_sees_half_a_write_is_noted(cluster: clustersql.Cluster, file: Path) -> None:
    with cluster.open() as db:
        load = Workload(db, **SHORT | {"writers": 1})
        load.create()
        with closing(sqlite3.connect(file)) as other, other:
            other.execute(f"UPDATE {load.tables.counters} SET n = n + 2")
        with load:
            load.progress(1, 0)
        proof = load.prove()
    assert not proof.holds
    assert re.search(r"reads saw half a write: worker 2 has counted \d+ writes, the latest of which is", str(proof))


@pytest.mark.parametrize(("error", "where"), [(OutcomeUnknown("who knows"), "unknown"), (ValueError("no"), "failed")])
def test_an_error_is_noted_by_what_it_says(cluster: clustersql.Cluster, error: Exception, where: str) -> None:
    def raising(conn: Any, load: Lied, number: int, worker: int) -> None:
        raise error

    with cluster.open() as db:
        load = Lied(db, lie=raising, **SHORT | {"writers": 1})
        proof = worked(load)
    assert proof.holds, proof
    assert {"unknown": load.told.unknown, "failed": load.told.failed}[where] == {2_000_000_003}
    assert load.told.raised == ([] if where == "unknown" else [error])


def test_what_was_asked_elsewhere_is_compared(cluster: clustersql.Cluster, file: Path) -> None:
    """As of an administrator on the primary, past the library."""
    with cluster.open() as db:
        load = Workload(db, **SHORT)
        load.create()
        with load:
            load.progress(1, 5)
        with closing(sqlite3.connect(file)) as other:
            assert load.prove(lambda query: other.execute(query).fetchall()).holds
            other.execute(f"DELETE FROM {load.tables.writes}")
            assert not load.prove(lambda query: other.execute(query).fetchall()).holds


STUCK = r"^not 1 reads and 1 writes more in 0\.01 s: 0 reads and 0 writes .*no such table"


def test_who_does_not_get_on_says_so(cluster: clustersql.Cluster) -> None:
    with cluster.open() as db, Workload(db, **SHORT) as load:
        assert eventually(lambda: load.told.raised)
        with pytest.raises(TimeoutError, match=STUCK):
            load.progress(1, 1, timeout=0.01)


def test_tasks_that_do_not_get_on_say_so(cluster: clustersql.Cluster) -> None:
    async def main() -> None:
        async with cluster.aopen() as db, AsyncWorkload(db, **SHORT) as load:
            while not load.told.raised:
                await asyncio.sleep(0.001)
            with pytest.raises(TimeoutError, match=STUCK):
                await load.progress(1, 1, timeout=0.01)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "x; DROP"}, "name must be a plain identifier"),
        ({"paramstyle": "named"}, "paramstyle must be one of format, pyformat, qmark"),
        ({"readers": 0, "writers": 0}, "leave nobody who works"),
        ({"readers": -1}, "leave nobody who works"),
        ({"pause": -1}, "pause must be a number of seconds from 0 on"),
    ],
)
def test_a_mistake_is_told(cluster: clustersql.Cluster, options: dict[str, Any], words: str) -> None:
    with cluster.open() as db, pytest.raises(ConfigError, match=words):
        Workload(db, **options)


def test_each_paramstyle_has_its_marks() -> None:
    assert Tables("t", "numeric_dollar").insert.endswith("VALUES ($1, $2, $3)")
    assert Tables("t", "numeric").insert.endswith("VALUES (:1, :2, :3)")
    assert Tables("t").insert.endswith("VALUES (%s, %s, %s)")


def test_what_was_told_may_be_counted_elsewhere(cluster: clustersql.Cluster) -> None:
    told = Told()
    with cluster.open() as db:
        worked(Workload(db, told=told, **SHORT))
    assert told.ended["write"] >= 10
