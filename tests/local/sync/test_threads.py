"""The start of a thread, where the handler of a signal raises in it."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from types import CodeType

import pytest
from support.breaking import SoftLimit
from support.interrupter import Breaker, BreakIn, ending
from support.waiting import eventually

import clustersql
from clustersql.nodes.dial import Order
from clustersql.sync.threads import start


class BrokenInto(threading.Thread):
    """As CPython's, when the handler raises after the thread has begun: it forgets a thread that is forgotten."""

    def start(self) -> None:
        super().start()
        self.join()
        try:
            raise SoftLimit
        except Exception:
            del {}[self]  # type: ignore[attr-defined]


def test_what_breaks_into_the_start_of_a_thread_passes_as_it_is() -> None:
    with pytest.raises(SoftLimit):
        start(BrokenInto())


def test_an_order_that_was_broken_off_keeps_no_other_one_back(tmp_path: Path) -> None:
    """The thread that would have said it was not started: the next order starts one."""
    cluster = clustersql.Cluster("orders", driver="sqlite3")
    cluster.add_node("file", f"sqlite:///{tmp_path}/orders.db")
    with contextlib.closing(cluster), ending():
        cluster.open().execute("SELECT 1")
        prober = cluster.open()._pool._prober
        order, met = Order("SELECT {} WHERE {} >= 0", 1, time.monotonic()), set[tuple[CodeType, int]]()
        breaker = Breaker(met)
        while not met or breaker.place:
            breaker = Breaker(met)
            with contextlib.suppress(BreakIn), breaker:
                prober.say("file", order)
            assert eventually(lambda: prober._sayings == {}), breaker.place
    assert len(met) > 10
