"""What psycopg alone does."""

from __future__ import annotations

from types import SimpleNamespace

import psycopg

from clustersql.core.faults import Fault
from clustersql.drivers import psycopg as adapter


def test_a_pipeline_that_cannot_be_left_is_lost() -> None:
    """Seen when a connection broke in the middle of `executemany`: libpq has not noticed yet, and answers were left
    unread.
    """
    raw = SimpleNamespace(pgconn=SimpleNamespace(status=psycopg.pq.ConnStatus.OK))
    facts = adapter.adapter(psycopg).facts(psycopg.OperationalError("cannot exit pipeline mode while busy"), raw)
    assert (facts.fault, facts.lost, facts.not_sent) == (Fault.LOST, True, False)
