"""A statement that is known, run on the session itself: whatever is raised, at whichever place, ends as it does on a
connection and a cursor of ours.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.fake import Error, FakeCursor, FakeDriver, OperationalError, Raw, fake_cluster

from clustersql import OutcomeUnknown, aio
from clustersql.connection.interruption import ANSWERED, CANCELLED, DONE

KNOWN = "SELECT 1"


class Interrupted(BaseException):
    """What is neither an error nor a cancellation."""


class Cancel(Exception):
    """Stands for a cancellation of the task from outside."""


class Swallowed(Cancel):
    """One that the driver keeps to itself."""


class Lost(Exception):
    """Stands for a connection that is lost."""


class Planned(FakeDriver):
    """Raises what is planned for one of its calls, once.  ``closed``: how many connections were."""

    def __init__(self) -> None:
        super().__init__()
        self.plan: dict[str, type[BaseException]] = {}
        self.closed = 0

    async def at(self, place: str, raw: Raw) -> None:
        kind = self.plan.pop(place, None)
        if kind is None:
            return
        if issubclass(kind, Cancel):
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            try:
                await asyncio.sleep(1.0)
            except asyncio.CancelledError:
                if kind is Cancel:
                    raise
            return
        if kind is Lost:
            raw.closed = True
            raise OperationalError("lost")
        raise kind(place)

    async def cursor(self, raw: Raw, args: Any, kwargs: Any) -> FakeCursor:
        await self.at("cursor", raw)
        return PlannedCursor(raw)

    async def close_cursor(self, cursor: FakeCursor) -> None:
        await self.at("close", cursor.raw)

    def terminate(self, raw: Raw) -> None:
        self.closed += 1
        super().terminate(raw)


class PlannedCursor(FakeCursor):
    async def execute(self, operation: Any, parameters: Any = None, /) -> FakeCursor:
        await super().execute(operation, parameters)
        await self.raw.driver.at("execute", self.raw)  # type: ignore[attr-defined]
        return self

    async def fetchall(self) -> Any:
        await self.raw.driver.at("fetchall", self.raw)  # type: ignore[attr-defined]
        return await super().fetchall()


def ended(place: str, kind: type[BaseException], at_once: bool) -> tuple[Any, list[str], int]:
    """Return the rows or the error of a statement into which ``kind`` breaks, its notes, and how many connections were
    closed for it.
    """

    async def main() -> tuple[Any, list[str], int]:
        driver = Planned()
        cluster, _ = fake_cluster("a", driver=driver)
        async with cluster.aopen() as db:
            await db.execute(KNOWN)
            before = driver.closed
            driver.plan[place] = kind
            view: aio.Database = db if at_once else db.options(timeout=60.0)
            task = asyncio.ensure_future(view.execute(KNOWN))
            await asyncio.wait([task])
            assert not driver.plan, "it was not raised"
            try:
                found: Any = task.result().fetchall()
            except BaseException as exc:
                found = exc
            await asyncio.sleep(0.01)
            assert db.stats()["in_flight"] == 0
            closed = driver.closed - before
            assert (await db.execute(KNOWN)).fetchall() == [(KNOWN,)]
            return found, list(getattr(found, "__notes__", [])), closed

    return asyncio.run(main())


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "in full"])
@pytest.mark.parametrize(
    ("place", "kind", "raised", "note", "closed"),
    [
        ("cursor", Error, Error, None, 0),
        ("cursor", Lost, OutcomeUnknown, None, 1),
        ("cursor", Cancel, asyncio.CancelledError, CANCELLED, 1),
        ("execute", Error, Error, None, 0),
        ("execute", Lost, OutcomeUnknown, None, 1),
        ("execute", Cancel, asyncio.CancelledError, CANCELLED, 1),
        ("execute", Swallowed, asyncio.CancelledError, ANSWERED, 1),
        ("execute", Interrupted, Interrupted, None, 1),
        ("fetchall", Error, Error, None, 0),
        ("fetchall", Cancel, asyncio.CancelledError, CANCELLED, 1),
        ("fetchall", Interrupted, Interrupted, None, 1),
        ("close", Error, None, None, 1),
        ("close", Lost, None, None, 1),
        ("close", Cancel, asyncio.CancelledError, DONE, 1),
        ("close", Interrupted, Interrupted, DONE, 1),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_raised_ends_as_on_a_connection(
    place: str,
    kind: type[BaseException],
    raised: type[BaseException] | None,
    note: str | None,
    closed: int,
    at_once: bool,
) -> None:
    found, notes, gone = ended(place, kind, at_once)
    if raised is None:
        assert found == [(KNOWN,)]
    else:
        assert isinstance(found, raised)
    assert note is None or note in notes
    assert gone == closed


def test_a_return_that_is_broken_into_does_not_hide_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = OutcomeUnknown("node 'a' failed after COMMIT was sent")

    def broken_into(session: Any) -> Any:
        raise Interrupted

    async def main() -> None:
        cluster, _ = fake_cluster("a")
        async with cluster.aopen() as db:
            monkeypatch.setattr(db._pool(), "resetting", broken_into)
            async with db.connection() as conn:
                await conn.execute("CREATE TEMP TABLE mine (n INTEGER)")
                raise unknown

    with pytest.raises(Interrupted) as caught:
        asyncio.run(main())
    assert any("OutcomeUnknown: it broke into the return" in note for note in caught.value.__notes__)
