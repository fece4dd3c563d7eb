"""The monitor's own connection died: it dials anew, and a dial may take longer than the one small answer that it waits
for otherwise.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from support.stage import Stage
from support.waiting import eventually

SLOW = 1.6
"""Seconds that a connect takes: more than ``stall_after``, less than ``connect_timeout``."""


def test_a_live_node_is_not_down_because_the_probe_has_to_dial(
    psycopg_stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    slow = threading.Event()

    def hook(raw: Any) -> Any:
        if slow.is_set():
            return asyncio.sleep(SLOW) if psycopg_stage.loop is not None else time.sleep(SLOW)
        return None

    stage = psycopg_stage
    cluster = stage.make(stall_after=1.0, probe_interval=0.1, connect_timeout=20.0, on_connect=hook)
    cluster.open().execute("SELECT 1")
    assert eventually(lambda: all(node.usable for node in cluster.view))
    slow.set()
    opened = stage.a.accepted
    assert stage.server.terminate_sessions("n1") >= 2  # the probe's of each way, in one moment
    assert eventually(lambda: stage.a.accepted > opened)
    assert eventually(lambda: cluster.view.by_name["a"].usable and not stage.dials(cluster))
    # A dial that was under way is ended as well, and says so; what must not be said is that the node was silent.
    assert not [line for line in caplog.messages if "did not answer" in line]
