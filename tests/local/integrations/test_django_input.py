"""What DATABASES may say over a cluster: each mistake is a clear error at start, and shows no password."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test.utils import override_settings

import clustersql
from clustersql.integrations.django import PinningMiddleware, ReadRouter, checks, rerun, router
from clustersql.integrations.django.checks import MIDDLEWARE, ROUTER, check_all, check_settings
from clustersql.integrations.django.clusters import named
from clustersql.integrations.django.middleware import COOKIE
from clustersql.integrations.django.pinning import current, is_pinned, is_written_by, note_write
from clustersql.integrations.django.rerun import Transaction
from clustersql.integrations.django.settings import adopt, read

ENGINE = "clustersql.integrations.django.postgresql"
NODES = ["db1:5432", "db2:5432"]
PLAIN = {"ENGINE": ENGINE, "NAME": "shop", "USER": "app", "PASSWORD": "s3cret", "NODES": NODES}
REPLICA = {"ENGINE": ENGINE, "REPLICA_OF": "default"}


@pytest.fixture(autouse=True, scope="module")
def configured() -> None:
    if not settings.configured:
        settings.configure()


def over(**entry: Any) -> dict[str, dict[str, Any]]:
    return {"default": PLAIN | entry}


def beside(**entry: Any) -> dict[str, dict[str, Any]]:
    return {"default": dict(PLAIN), "replica": REPLICA | entry}


@pytest.mark.parametrize(
    ("databases", "expected"),
    [
        (over(HOST="db3"), r"NODES and HOST together: name all servers by NODES"),
        (over(KNOB={"max_size": 3}), r"KNOB: there is no such key; did you mean KNOBS\?"),
        (beside(REPLICA="default"), r"REPLICA: there is no such key; did you mean REPLICA_OF\?"),
        (over(NODES=None), r"it names no server: give NODES = "),
        (over(NODES="db1"), r"NODES must be a list of texts"),
        (over(NODES=["db1:x"]), r"each server must be NAME, NAME:PORT or the path of a socket"),
        (over(NODES=["db1", "db1"]), r"a server stands there twice"),
        (over(PORT="5432,5433"), r"PORT must be one number"),
        (over(KNOBS={"max_sise": 3}), r"KNOBS: max_sise: no such knob; did you mean max_size"),
        (over(KNOBS={"max_size": 0}), r"KNOBS: max_size: must be"),
        (over(KNOBS={"timeout": -1}), r"KNOBS: timeout: must be a number of seconds above 0"),
        (over(KNOBS={"max_lag": 5}), r"max_lag has no effect on the primary"),
        (over(KNOBS=["max_size"]), r"KNOBS must be a dictionary"),
        (over(OPTIONS={"pool": True}), r"OPTIONS\['pool'\] has no effect over a cluster.*max_size"),
        (over(OPTIONS={"host": "db9", "service": "shop"}), r"OPTIONS: host, service: address and credentials are those of"),
        (over(CLUSTER="shop"), r"NODES, USER, PASSWORD beside CLUSTER"),
        (beside(REPLICA_OF="defualt"), r"DATABASES\['replica'\]: REPLICA_OF: there is no alias 'defualt'; did you mean default"),
        (beside(REPLICA_OF="replica"), r"'replica' is a replica itself"),
        (beside(ENGINE="clustersql.integrations.django.mysql"), r"its ENGINE must be that of 'default'"),
        (beside(NODES=NODES, NAME="shop"), r"NAME, NODES beside REPLICA_OF: a replica has them from 'default'"),
        (beside(KNOBS={"max_size": 3}), r"KNOBS: max_size: a replica is the same cluster"),
        (beside(KNOBS={"max_lag": "soon"}), r"KNOBS: max_lag"),
        (beside(TEST={"MIRROR": "other"}), r"TEST\['MIRROR'\] must be 'default'"),
    ],
)  # fmt: skip
def test_mistakes(databases: dict[str, dict[str, Any]], expected: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=expected) as caught:
        check_all(databases)
    assert "s3cret" not in str(caught.value)


def test_a_mistake_of_an_alias_that_is_used_later_is_told_with_the_first() -> None:
    databases = {"default": PLAIN | {"HOST": "db3"}, "other": PLAIN | {"KNOBS": {"max_size": 0}}}
    with pytest.raises(ImproperlyConfigured, match=r"(?s)\['default'\]: NODES and HOST.*\['other'\]: KNOBS: max_size"):
        check_all(databases)


@pytest.mark.parametrize(
    ("entry", "nodes"),
    [
        ({}, (("db1", 5432), ("db2", 5432))),
        ({"NODES": None, "HOST": "db1:5432, db2", "PORT": "7"}, (("db1", 5432), ("db2", 7))),
        ({"NODES": ["[::1]:5432", "/run/db"]}, (("::1", 5432), ("/run/db", None))),
    ],
)
def test_the_servers(entry: dict[str, Any], nodes: Any) -> None:
    assert read("default", over(**entry)).nodes == nodes


def test_a_replica_is_its_alias_read_only_and_a_mirror_of_it_under_test() -> None:
    databases = beside(KNOBS={"max_lag": 5})
    asked = read("replica", databases)
    assert (asked.source, asked.nodes) == ("default", read("default", databases).nodes)
    assert asked.options == {"timeout": 10.0, "max_lag": 5, "read_only": True}
    adopt("replica", databases)
    assert databases["replica"]["TEST"] == {"MIRROR": "default"}
    assert databases["replica"]["NAME"] == "shop"
    databases["default"]["NAME"] = "test_shop"
    assert read("replica", databases) == asked
    adopt("replica", databases)  # by the wrapper of another thread: the runner's word stands
    assert databases["replica"]["NAME"] == "shop"


@pytest.fixture
def shop() -> Iterator[clustersql.Cluster]:
    yield clustersql.register(clustersql.Cluster("shop", driver="psycopg2"))
    clustersql.unregister("shop")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("shpo", r"no cluster 'shpo' is registered; did you mean shop"), ("shop", r"Django uses the driver psycopg, .* has psycopg2")],
)  # fmt: skip
def test_a_named_cluster(shop: clustersql.Cluster, name: str, expected: str) -> None:
    databases: Any = {"default": {"ENGINE": ENGINE, "NAME": "shop", "CLUSTER": name}}
    with pytest.raises(ImproperlyConfigured, match=expected):
        named("default", read("default", databases), "psycopg")
    with pytest.raises(ImproperlyConfigured, match="KNOBS: max_size: a cluster with a name has its knobs"):
        read("default", {"default": databases["default"] | {"KNOBS": {"max_size": 3}}})


@pytest.mark.parametrize(
    ("databases", "routers", "middleware", "expected"),
    [
        (over(CONN_MAX_AGE=60), [ROUTER], [MIDDLEWARE], ["clustersql.W001", "clustersql.E001"]),
        (beside(), [], [MIDDLEWARE], ["clustersql.W002"]),
        (beside(), [ROUTER], [MIDDLEWARE], []),
        ({"default": {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": 60}}, [], [], ["clustersql.W003"]),
    ],
)
def test_checks(
    databases: Any, routers: Any, middleware: Any, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = SimpleNamespace(
        DATABASES=databases, DATABASE_ROUTERS=routers, MIDDLEWARE=middleware, CLUSTERSQL_BOOKMARK_COOKIE="seen"
    )
    monkeypatch.setattr(checks, "settings", told)
    assert [found.id for found in check_settings()] == expected


# -- routing -----------------------------------------------------------------------------------------------------------


def primary(**values: Any) -> SimpleNamespace:
    return SimpleNamespace(**({"in_atomic_block": False, "written": False, "creation": SimpleNamespace()} | values))


class Connections(dict[str, Any]):
    """What the router asks of Django: settings and wrappers by alias."""

    settings: dict[str, Any]


@pytest.fixture
def aliases(monkeypatch: pytest.MonkeyPatch) -> Connections:
    found = Connections(default=primary(), replica=primary(), other=primary())
    found.settings = beside() | {"other": dict(PLAIN)}
    monkeypatch.setattr(router, "connections", found)
    return found


def row(alias: str | None) -> SimpleNamespace:
    return SimpleNamespace(_state=SimpleNamespace(db=alias))


def test_reads_go_to_the_replica_but_where_they_would_miss_something(aliases: Connections) -> None:
    route = ReadRouter()
    assert route.db_for_read(None) == "replica"
    assert route.db_for_read(None, instance=row("replica")) == "replica"
    assert route.db_for_read(None, instance=row("other")) is None
    for name in ("in_atomic_block", "written"):
        aliases["default"] = primary(**{name: True})
        assert route.db_for_read(None) == "default"
        assert route.db_for_read(None, instance=row("replica")) == "default"
    aliases["default"] = primary()
    aliases["replica"] = primary(creation=SimpleNamespace(is_mirror=True))
    assert route.db_for_read(None) == "default"


def test_what_was_read_on_a_replica_is_written_on_the_primary(aliases: Connections) -> None:
    route = ReadRouter()
    assert route.db_for_write(None) is None
    assert route.db_for_write(None, instance=row("replica")) == "default"
    assert route.allow_relation(row("replica"), row("default")) is True
    assert route.allow_relation(row("replica"), row("other")) is None
    assert (route.allow_migrate("replica", "shop"), route.allow_migrate("default", "shop")) == (False, None)


@pytest.mark.parametrize(
    ("sql", "writes"),
    [
        ("SELECT 1", False),
        ("  (select 1)", False),
        ('SAVEPOINT "s1"', False),
        ("EXPLAIN SELECT 1", False),
        ("INSERT INTO t VALUES (1)", True),
        ("WITH x AS (DELETE FROM t RETURNING 1) SELECT 1", True),
        ("CALL p()", True),
    ],
)
def test_what_counts_as_a_write(sql: str, writes: bool) -> None:
    assert is_written_by(sql) is writes


def answer(request: HttpRequest, writes: bool, seen: list[bool]) -> HttpResponse:
    seen.append(is_pinned())
    if writes:
        note_write("default")
        seen.append(is_pinned())
    return HttpResponse()


@pytest.mark.parametrize("is_async", [False, True])
def test_the_browser_that_has_written_reads_from_the_primary(is_async: bool) -> None:
    seen: list[bool] = []

    def ask(writes: bool, cookie: bool) -> Any:
        request = HttpRequest()
        request.COOKIES = {COOKIE: "1"} if cookie else {}

        async def later(request: HttpRequest) -> HttpResponse:
            return answer(request, writes, seen)

        if is_async:
            made = PinningMiddleware(later)

            async def main() -> Any:
                return await made(request)

            return asyncio.run(main())
        return PinningMiddleware(lambda request: answer(request, writes, seen))(request)

    assert COOKIE not in ask(False, False).cookies
    assert ask(True, False).cookies[COOKIE]["max-age"] == 10
    assert COOKIE not in ask(False, True).cookies
    assert COOKIE not in ask(False, False).cookies
    assert seen == [False, False, True, True, False]


def test_a_time_for_the_cookie_that_is_none() -> None:
    with (
        override_settings(CLUSTERSQL_PIN_SECONDS="soon"),
        pytest.raises(ImproperlyConfigured, match="whole number of seconds above 0"),
    ):
        PinningMiddleware(lambda request: HttpResponse())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"COOKIE": "a b"}, r"CLUSTERSQL_BOOKMARK_COOKIE: cookie: 'a b' is no name of a cookie"),
        ({"HEADER": "X:"}, r"CLUSTERSQL_BOOKMARK_HEADER: header: 'X:' is no name of a header"),
        ({"COOKIE": ""}, r"CLUSTERSQL_BOOKMARK_COOKIE: cookie: '' is no name"),
        ({"COOKIE": True}, r"CLUSTERSQL_BOOKMARK_COOKIE: cookie: True is no name"),
        ({"COOKIE": "seen", "HEADER": "X-Seen"}, r"CLUSTERSQL_BOOKMARK_COOKIE and CLUSTERSQL_BOOKMARK_HEADER together"),
    ],
)  # fmt: skip
def test_a_name_for_bookmarks_that_is_none(given: dict[str, Any], expected: str) -> None:
    names = {f"CLUSTERSQL_BOOKMARK_{name}": value for name, value in given.items()}
    with override_settings(**names), pytest.raises(ImproperlyConfigured, match=expected):
        PinningMiddleware(lambda request: HttpResponse())


class View:
    """A causal view that tells a bookmark, or cannot."""

    def __init__(self, told: str | Exception) -> None:
        self._told = told

    @property
    def bookmark(self) -> str:
        if isinstance(self._told, Exception):
            raise self._told
        return self._told


@pytest.mark.parametrize(
    ("brought", "wrote", "checked_out", "told", "expected"),
    [
        ("", True, True, "1~p~1~1~2", ["seen"]),
        ("1~p~1~1~1", True, True, "1~p~1~1~2", ["seen"]),
        ("1~p~1~1~1", False, False, "1~p~1~1~1", []),
        ("nonsense", False, False, "1~p~1~1~2", ["seen"]),
        ("", False, True, "1~p~1~1~2", []),
        ("", True, False, "", [COOKIE]),
        ("1~p~1~1~1", True, False, "1~p~1~1~1", [COOKIE]),
        ("", True, True, clustersql.CausalityLost("gone"), [COOKIE]),
        ("", True, True, clustersql.ConfigError("keeps no positions"), [COOKIE]),
    ],
)
def test_what_an_answer_carries(
    brought: str, wrote: bool, checked_out: bool, told: str | Exception, expected: list[str]
) -> None:
    """A bookmark where there is news; the pin where something was written and no bookmark has it, as on a connection
    that is older than its request.
    """

    def work(request: HttpRequest) -> HttpResponse:
        pin = current.get()
        assert pin is not None
        pin.views["default"] = View(told)
        if checked_out:
            pin.remembered.add("default")
        if wrote:
            note_write("default")
        return HttpResponse()

    request = HttpRequest()
    request.COOKIES = {"seen": brought} if brought else {}
    with override_settings(CLUSTERSQL_BOOKMARK_COOKIE="seen"):
        answer = PinningMiddleware(work)(request)
    assert list(answer.cookies) == expected


def test_rerun_refuses_what_it_cannot_run() -> None:
    async def later() -> None:
        """Is awaited by nobody."""

    with pytest.raises(clustersql.ConfigError, match="@rerun"):
        rerun(later)


def test_nothing_is_run_again_after_its_commit() -> None:
    """Whatever then failed: a hook of ``on_commit`` may have lost a transaction of its own."""
    attempt, error = Transaction(SimpleNamespace()), clustersql.TransactionLost()
    attempt.again[id(error)] = error, True
    assert attempt.allows(error)
    attempt.committed = True
    assert not attempt.allows(error)
