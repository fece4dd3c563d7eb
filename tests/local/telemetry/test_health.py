"""Liveness and readiness: the value behind ``/readyz``, and the answers of a real server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from support.waiting import eventually

from clustersql import Cluster, ConfigError
from clustersql.telemetry.health import Readiness, Ready, health
from clustersql.telemetry.http import serve


@pytest.mark.parametrize(
    ("answers", "now", "ready"),
    [
        ([], 0.0, True),
        ([(False, 0.0)], 0.0, False),  # it has never been ready: nothing to be patient with
        ([(True, 0.0)], 100.0, True),
        ([(True, 0.0), (False, 10.0)], 24.9, True),
        ([(True, 0.0), (False, 10.0)], 25.0, False),
        ([(True, 0.0), (False, 10.0), (False, 20.0)], 25.0, False),  # the second question does not begin it anew
        ([(True, 0.0), (False, 10.0), (True, 26.0), (False, 27.0)], 41.9, True),
    ],
)
def test_readiness_is_patient_with_what_was_ready(answers: list[tuple[bool, float]], now: float, ready: bool) -> None:
    known = Ready()
    for healthy, at in answers:
        known = known.asked(healthy, at)
    assert known.ready(now, 15.0) is ready


def get(port: int, path: str) -> tuple[int, Any]:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as exc:
        with exc:
            return exc.code, json.loads(exc.read())


def test_a_process_is_alive_whatever_its_clusters_are(tmp_path: Path) -> None:
    broken = Cluster("broken", driver="sqlite3")
    broken.add_node("b", database=str(tmp_path / "no" / "such" / "folder.db"))
    try:
        with serve(clusters=[broken]) as server:
            assert get(server.port, "/livez") == (200, {"alive": True})
            status, body = get(server.port, "/readyz")
            assert (status, body["ready"], body["clusters"]["broken"]["ready"]) == (503, False, False)
    finally:
        broken.close()


def test_readiness_outlasts_a_failover_and_health_does_not(cluster: Cluster) -> None:
    with serve(clusters=[cluster], ready_after=3600) as patient, serve(clusters=[cluster], ready_after=0) as other:
        for server in (patient, other):
            assert eventually(lambda server=server: get(server.port, "/readyz")[0] == 200)  # type: ignore[misc]
        cluster.drain("a")
        assert get(patient.port, "/readyz")[0] == 200
        status, body = get(patient.port, "/healthz")
        assert (status, body["clusters"]["books"]["usable"]) == (503, [])
        assert get(other.port, "/readyz")[0] == 503
        cluster.undrain("a")
        assert get(other.port, "/readyz")[0] == 200


def test_a_cluster_that_is_shown_no_more_is_forgotten(cluster: Cluster) -> None:
    readiness = Readiness(15.0)
    assert eventually(lambda: readiness.asked({"books": cluster}, 0.0)[0])
    assert readiness.asked({}, 1.0) == (True, {})
    cluster.drain("a")
    assert readiness.asked({"books": cluster}, 2.0)[0] is False


@pytest.mark.parametrize("seconds", [-1, float("nan"), "15", None, True])
def test_ready_after_is_seconds(seconds: Any) -> None:
    with pytest.raises(ConfigError, match="ready_after: must be a number of seconds"):
        serve(clusters=[], ready_after=seconds)


def test_a_cluster_for_asyncio_alone_is_healthy_once_a_loop_uses_it(tmp_path: Path) -> None:
    cluster = Cluster("books", async_driver="aiosqlite")
    cluster.add_node("a", database=str(tmp_path / "books.db"))
    good, found = health({"books": cluster})
    assert (good, "has no driver for threads" in found["books"]["why"][""]) == (False, True)

    async def main() -> None:
        async with cluster.aopen() as db:
            await db.execute("SELECT 1")
            assert health({"books": cluster})[0]

    asyncio.run(main())
