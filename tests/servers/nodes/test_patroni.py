"""Patroni tells the members: honestly, with lies, or not at all; the servers are real, and their own word decides.

A real Patroni is asked in tests/servers/patroni.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support import face
from support.patroni import FakePatroni, member
from support.waiting import eventually

import clustersql
from clustersql.core.view.node import Role
from clustersql.nodes import patroni as asking
from clustersql.testing import PostgresCluster

Make = Callable[..., clustersql.Cluster]
QUICK: dict[str, Any] = {"probe_interval": 0.1, "forget_after": 0.5, "breaker_base": 0.1, "breaker_cap": 0.2}
LAST = "http://127.0.0.1:9/"
"""Nobody is there, and it is asked last."""


SYNC, ASYNC = (pytest.mark.parametrize("driver", [name]) for name in ("psycopg", "asyncpg"))
"""What the two APIs share is tried by one of them."""
BOTH = pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patroni is asked at each probe, also while all is well."""
    monkeypatch.setattr(asking, "CALM", 1)


@pytest.fixture
def patroni(postgres: PostgresCluster) -> Iterator[FakePatroni]:
    with FakePatroni(honest(postgres)) as fake:
        yield fake


@pytest.fixture
def make(postgres: PostgresCluster, driver: str, patroni: FakePatroni) -> Iterator[Make]:
    """Make a cluster that asks Patroni, of which "n1" is configured, as a user without any privilege."""
    postgres.execute("n1", "TRUNCATE events")
    stack, names = ExitStack(), itertools.count()

    def made(**knobs: Any) -> clustersql.Cluster:
        where = {"patroni": [patroni.url, LAST], "address_map": {"127.0.0.1": "127.0.0.1"}}
        knobs = {"discover": "patroni", **where, **QUICK, **knobs}
        cluster = stack.enter_context(face.cluster_of(driver, f"patroni{next(names)}", **knobs))
        cluster.add_node("n1", postgres.dsn("n1"))
        return cluster

    with stack:
        yield made


def honest(postgres: PostgresCluster) -> list[dict[str, Any]]:
    return [
        member(name, "127.0.0.1", postgres.port(name), "leader" if name == "n1" else "replica")
        for name in postgres.nodes
    ]


def at(postgres: PostgresCluster, node: str) -> str:
    return f"127.0.0.1:{postgres.port(node)}"


def complaints(cluster: clustersql.Cluster) -> list[str]:
    told: list[str] = cluster.snapshot().as_dict()["discovery"]["complaints"]
    return told


def has(cluster: clustersql.Cluster, *nodes: str) -> bool:
    return eventually(lambda: cluster.nodes == sorted(nodes) and all(node.usable for node in cluster.view))


@BOTH
def test_members_come_and_go(postgres: PostgresCluster, patroni: FakePatroni, make: Make) -> None:
    cluster = make()
    db = cluster.open()
    n2, n3 = at(postgres, "n2"), at(postgres, "n3")
    assert has(cluster, "n1", n2, n3), (cluster.view, complaints(cluster))
    for name, standby in (("n1", False), (n2, True), (n3, True)):
        assert db.options(node=name, role="any").execute("SELECT pg_is_in_recovery()").fetchone()[0] is standby
    reported = {
        one["reported"]: (one["by"], one["node"]) for one in cluster.snapshot().as_dict()["discovery"]["members"]
    }
    assert reported == {f"{name} {at(postgres, name)}": ("Patroni", at(postgres, name)) for name in ("n2", "n3")} | {
        f"n1 {at(postgres, 'n1')}": ("Patroni", "n1")
    }
    assert complaints(cluster) == []

    # That it leaves out is not enough while n3 serves: `tests/pure/scenarios/discovery/patroni.json`.
    patroni.members = [one for one in patroni.members if one["name"] != "n3"]
    postgres.stop("n3")
    assert eventually(lambda: cluster.nodes == sorted(["n1", n2])), cluster.view
    postgres.start("n3")
    patroni.members = honest(postgres)
    assert has(cluster, "n1", n2, n3), cluster.view


@ASYNC
def test_a_tag_keeps_reads_away(postgres: PostgresCluster, patroni: FakePatroni, make: Make) -> None:
    cluster = make()
    cluster.open()
    n2, n3 = at(postgres, "n2"), at(postgres, "n3")
    assert has(cluster, "n1", n2, n3), cluster.view

    def read_from() -> set[str]:
        return {one["name"] for one in cluster.snapshot().as_dict()["nodes"] if "any" in one["serves"]}

    assert read_from() == {"n1", n2, n3}
    patroni.members[1]["tags"] = {"noloadbalance": True}
    assert eventually(lambda: read_from() == {"n1", n3}), cluster.view
    assert "noloadbalance" in cluster.view.by_name[n2].why
    del patroni.members[1]["tags"]
    assert eventually(lambda: read_from() == {"n1", n2, n3}), cluster.view


@SYNC
def test_a_patroni_that_lies_moves_nobody(
    postgres: PostgresCluster, patroni: FakePatroni, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = make()
    db = cluster.open()
    n2, n3 = at(postgres, "n2"), at(postgres, "n3")
    assert has(cluster, "n1", n2, n3), cluster.view
    with caplog.at_level(logging.WARNING, "clustersql"):
        # A standby is called the leader, the primary a standby that nobody may read, and a member is nowhere.
        patroni.members = [
            member("n1", "127.0.0.1", postgres.port("n1"), tags={"noloadbalance": True}),
            member("n2", "127.0.0.1", postgres.port("n2"), "leader", timeline=99),
            member("n9", "127.0.0.1", 9),
        ]
        leads = f"Patroni calls {n2} the leader, which says itself that it is a replica"
        assert eventually(lambda: leads in complaints(cluster)), complaints(cluster)
        assert eventually(
            lambda: any("127.0.0.1:9 is reported and does not answer" in one for one in complaints(cluster))
        )
        asked = len(patroni.asked)
        assert eventually(lambda: len(patroni.asked) > asked + 10)
    assert cluster.nodes == sorted(["n1", n2, n3])
    assert [node.role for node in cluster.view if node.name in cluster.nodes] == [
        Role.PRIMARY if node.name == "n1" else Role.REPLICA for node in cluster.view if node.name in cluster.nodes
    ]
    db.execute("INSERT INTO events (name) VALUES ('in spite of it')")
    assert postgres.execute("n1", "SELECT count(*) FROM events WHERE name = 'in spite of it'") == [(1,)]
    assert caplog.text.count(leads) == 1


@ASYNC
def test_one_that_is_down_or_something_else_loses_nothing(
    postgres: PostgresCluster, patroni: FakePatroni, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = make(patroni=[patroni.url.replace("//", "//monitor:s3cret@")])
    db = cluster.open()
    n2, n3 = at(postgres, "n2"), at(postgres, "n3")
    assert has(cluster, "n1", n2, n3), cluster.view
    told = f"Patroni could not tell the members: http://monitor:***@127.0.0.1:{patroni.port}: "
    with caplog.at_level(logging.WARNING, "clustersql"):
        for answer, why in (
            ((503, b"no leader"), "it answers HTTP 503"),
            ((200, b"<html>"), "its answer is no JSON"),
            ((200, b'{"members": []}'), ""),
            ((200, b'{"members": [{"name": "n1"}]}'), "its answer is not Patroni's: a member has no name and role"),
        ):
            patroni.answer = lambda answer=answer: answer
            assert eventually(lambda why=why: complaints(cluster) == ([told + why] if why else [])), complaints(cluster)
            asked = len(patroni.asked)
            assert eventually(lambda asked=asked: len(patroni.asked) > asked + 7)
            assert cluster.nodes == sorted(["n1", n2, n3])
            assert db.options(read_only=True).execute("SELECT 1").fetchone()[0] == 1
    assert caplog.text.count(told + "it answers HTTP 503") == 1
    assert "s3cret" not in caplog.text + repr(cluster.snapshot()) + repr(cluster.events())
    patroni.answer = patroni.honest
    assert eventually(lambda: complaints(cluster) == [])


@SYNC
def test_a_role_change_that_patroni_sees_has_the_nodes_asked_at_once(
    postgres: PostgresCluster, patroni: FakePatroni, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By themselves they would be asked in an hour; Patroni is asked each 0.36 s."""
    monkeypatch.setattr(asking, "CALM", 0.0001)
    cluster = make(probe_interval=3600.0)
    cluster.open()
    n2, n3 = at(postgres, "n2"), at(postgres, "n3")
    assert has(cluster, "n1", n2, n3), cluster.view
    postgres.set_read_only("n1")
    patroni.members[0]["role"], patroni.members[1]["role"] = "replica", "leader"
    assert eventually(lambda: cluster.view.by_name["n1"].role is Role.REPLICA), cluster.view
    assert cluster.view.by_name[n2].role is Role.REPLICA, "its own word decides"


@ASYNC
def test_without_urls_the_nodes_own_hosts_are_asked(
    postgres: PostgresCluster, patroni: FakePatroni, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PORT", patroni.port)
    cluster = make(patroni=None)
    cluster.open()
    assert has(cluster, "n1", at(postgres, "n2"), at(postgres, "n3")), (cluster.view, complaints(cluster))
