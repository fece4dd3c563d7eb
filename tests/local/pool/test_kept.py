"""The connections that are kept for probes: nobody else knows of them, so each is kept, handed on or closed."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any

import pytest

from clustersql.aio import dial as aio_dial
from clustersql.aio.prober import Prober as AsyncProber
from clustersql.core.steps import LetGo, Query
from clustersql.nodes.dial import Spare
from clustersql.nodes.kept import Kept
from clustersql.sync import dial as sync_dial
from clustersql.sync.prober import Prober

SETTINGS = SimpleNamespace(connect_timeout=9.0, stall_after=1.0, probe_interval=1.0)


def topology_of(**peers: str) -> Any:
    by_name = {name: SimpleNamespace(peers=(peer,)) for name, peer in peers.items()}
    return SimpleNamespace(name="shop", settings=SETTINGS, addresses=by_name, view=SimpleNamespace(by_name=by_name))


def kept_for(topology: Any, closed: list[str]) -> Kept:
    driver: Any = SimpleNamespace(peer=lambda raw: raw)  # a connection is called by its peer here
    return Kept(topology, driver, contextlib.nullcontext, closed.append)


def test_one_connection_a_node_is_kept_and_only_while_it_is_a_member() -> None:
    closed: list[str] = []
    kept = kept_for(topology_of(a="::1"), closed)
    for name, raw in (("a", "old"), ("a", "new"), ("gone", "its")):
        kept.keep(name, raw)
    assert (kept.names, closed) == (("a",), ["old", "its"])
    assert (kept.take("a"), kept.take("a")) == ("new", None)


def test_what_leads_elsewhere_by_now_is_closed() -> None:
    closed: list[str] = []
    topology = topology_of(a="::1", b="::2", c="::3")
    kept = kept_for(topology, closed)
    for name, raw in (("a", "::1"), ("b", "::9"), ("c", "::3")):
        kept.keep(name, raw)
    del topology.view.by_name["c"]
    kept.drop_useless()
    assert (kept.names, closed) == (("a",), ["::9", "::3"])


def test_a_spare_tells_when_it_was_opened_and_how_long_its_latest_answer_took() -> None:
    kept = kept_for(topology_of(a="::1"), [])
    for began, seconds, dialled in ((3.0, 0.5, True), (7.0, 0.2, False)):
        ended: Any = SimpleNamespace(name="a", began=began, seconds=seconds, result=SimpleNamespace(dialled=dialled))
        kept.note("a", ended)
        kept.keep("a", "raw", "S1" if dialled else None)
    assert kept.spare("a", 8.0) == Spare("raw", 3.0, 0.2, "S1")
    assert kept.spare("a", 8.0) is None


def test_after_the_end_nothing_is_kept_any_more() -> None:
    closed: list[str] = []
    kept = kept_for(topology_of(a="::1"), closed)
    kept.keep("a", "raw")
    assert kept.end() == ["raw"]
    kept.keep("a", "late")
    assert (kept.closed, kept.names, closed) == (True, (), ["late"])


def refuse(*_: Any) -> Any:
    raise RuntimeError("no right to see them")


async def refuse_in_the_loop(*_: Any) -> Any:
    refuse()


def nothing(*_: Any) -> Any:
    return None


def sync_prober(driver: Any) -> tuple[Prober, sync_dial.Attempt]:
    topology = topology_of(a="::1")
    return Prober(topology, driver, nothing), sync_dial.Attempt(topology, driver, "a", nothing, nothing, 1.0)


def async_prober(driver: Any) -> tuple[AsyncProber, aio_dial.Attempt]:
    topology, background = topology_of(a="::1"), aio_dial.Background("shop")
    prober = AsyncProber(topology, driver, nothing, background, nothing)
    return prober, aio_dial.Attempt(topology, driver, background, "a", nothing, nothing, 1.0)


def test_a_connection_on_which_the_sessions_at_work_cannot_be_asked_for_is_closed() -> None:
    """It is in no pool and not kept: the probe ends with the error, and nobody else would close it."""
    closed: list[str] = []
    driver: Any = SimpleNamespace(received=nothing, ask=refuse, close=closed.append)
    prober, attempt = sync_prober(driver)
    with pytest.raises(RuntimeError, match="no right"):
        prober._perform(Query("raw", "SELECT 1"), attempt)
    assert (closed, attempt.held) == (["raw"], None)
    driver = SimpleNamespace(received=nothing, ask=refuse_in_the_loop, terminate=closed.append)
    async_prober_, async_attempt = async_prober(driver)
    with pytest.raises(RuntimeError, match="no right"):
        asyncio.run(async_prober_._perform(Query("raw", "SELECT 1"), async_attempt))
    assert closed == ["raw", "raw"]


@pytest.mark.parametrize("abandoned", [False, True])
def test_who_lets_go_of_a_connection_gets_the_time_of_a_dial_unless_nobody_waits_any_more(abandoned: bool) -> None:
    closed: list[str] = []
    driver: Any = SimpleNamespace(close=closed.append, terminate=closed.append)
    prober, attempt = sync_prober(driver)
    async_prober_, async_attempt = async_prober(driver)
    if abandoned:
        attempt.abandon()
        async_attempt.abandon()
    assert prober._perform(LetGo("raw"), attempt) is not abandoned
    assert asyncio.run(async_prober_._perform(LetGo("raw"), async_attempt)) is not abandoned
    assert closed == ["raw", "raw"]
    assert {attempt.patience, async_attempt.patience} == {1.0 if abandoned else 9.0}
