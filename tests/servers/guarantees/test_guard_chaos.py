"""The commit guard in a storm of lost answers: nothing is lost or doubled, and nothing is unknown."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import pytest
from servers.conftest import _stage
from servers.guarantees.test_guard import Guarded
from support.stage import COMMIT, Stage

from clustersql.testing.workload import Workload

PATIENCE = 60.0
WRITES = 30
"""So many writes after each kind of fault: four of them lose an answer to COMMIT each time round."""


@pytest.fixture(params=["psycopg", "pymysql"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """One driver for threads of each database: the workload is theirs."""
    yield from _stage(request.param, request)


def test_no_outcome_is_unknown(stage: Stage) -> None:
    guarded = Guarded(stage)
    load = Workload(guarded.db, readers=1, writers=3, pause=0.002, name=f"chaos{stage.key[:8]}")
    load.create()
    with load:
        for _, before in zip(range(4), cycle((True, False)), strict=False):
            done = len(load.told.acknowledged)
            for proxy in (stage.a, stage.b):
                proxy.cut_on(COMMIT, before=before, count=4)
                proxy.reset()
            assert load.told.wait(lambda done=done: len(load.told.acknowledged) > done + WRITES, PATIENCE)
        for proxy in (stage.a, stage.b):
            proxy.heal()
    proof = load.prove()
    for statement in load.tables.dropped():
        guarded.db.execute(statement)
    assert proof.holds, str(proof)
    assert (proof.unknown_there, proof.unknown_absent) == (set(), set())
    counts = guarded.counts
    assert counts["committed"] >= 2
    assert counts["void"] >= 2
    assert "unknown" not in counts
