"""URLs, a driver's own strings and neutral fields become addresses; what is wrong is told without the password."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import clustersql
from clustersql.config.dsn import Address, check_family, parse, redacted, scheme_family
from clustersql.errors import ConfigError

GOOD: list[tuple[str | None, dict[str, object], dict[str, object]]] = [
    (
        "mysql://app:secret@dbhost1:3306/shop?ssl_ca=/ca.pem&x=1",
        {},
        {
            "scheme": "mysql",
            "host": "dbhost1",
            "port": 3306,
            "user": "app",
            "password": "secret",
            "database": "shop",
            "arguments": {"ssl_ca": "/ca.pem", "x": "1"},
        },
    ),
    ("mariadb://db", {}, {"scheme": "mariadb", "host": "db"}),
    ("MySQL://db/", {}, {"scheme": "mysql", "host": "db"}),
    ("postgres://a@db", {}, {"scheme": "postgres", "user": "a", "host": "db"}),
    ("postgresql://a:@db", {}, {"scheme": "postgresql", "user": "a", "password": "", "host": "db"}),
    ("postgresql://[::1]:5432/d", {}, {"scheme": "postgresql", "host": "::1", "port": 5432, "database": "d"}),
    ("postgresql://%2Frun%2Fpg/d", {}, {"scheme": "postgresql", "host": "/run/pg", "database": "d"}),
    ("postgresql:///d?host=/run/pg&port=1", {}, {"scheme": "postgresql", "host": "/run/pg", "port": 1, "database": "d"}),
    ("mysql://a%40b:p%3A%2F+%25@h", {}, {"scheme": "mysql", "user": "a@b", "password": "p:/+%", "host": "h"}),
    ("mysql://a:p@ss@h", {}, {"scheme": "mysql", "user": "a", "password": "p@ss", "host": "h"}),
    ("mysql:///d?unix_socket=/s", {}, {"scheme": "mysql", "database": "d", "unix_socket": "/s"}),
    ("mysql://h?user=u&password=a%26b", {}, {"scheme": "mysql", "host": "h", "user": "u", "password": "a&b"}),
    ("mysql://h?node=x&scheme=y", {}, {"scheme": "mysql", "host": "h", "arguments": {"node": "x", "scheme": "y"}}),
    ("sqlite:///rel/a.db", {}, {"scheme": "sqlite", "database": "rel/a.db"}),
    ("sqlite:////abs/my%20a.db", {}, {"scheme": "sqlite", "database": "/abs/my a.db"}),
    ("sqlite:///:memory:?uri=1", {}, {"scheme": "sqlite", "database": ":memory:", "arguments": {"uri": "1"}}),
    ("sqlite://", {}, {"scheme": "sqlite", "database": ":memory:"}),
    ("host=db dbname=shop", {}, {"dsn": "host=db dbname=shop"}),
    ("data/shop.db", {"timeout": 3}, {"dsn": "data/shop.db", "arguments": {"timeout": 3}}),
    (None, {"dsn": "weird://x"}, {"dsn": "weird://x"}),
    (None, {"host": "h", "port": None, "ssl": {"ca": 1}}, {"host": "h", "arguments": {"ssl": {"ca": 1}}}),
    ("mysql://a:b@h:1/d?x=1", {"host": "i", "port": 2, "x": 3}, {
        "scheme": "mysql", "host": "i", "port": 2, "user": "a", "password": "b", "database": "d", "arguments": {"x": 3},
    }),
]  # fmt: skip

ENCODE = "written %40 %3A %2F %3F %23"
BAD: list[tuple[Any, dict[str, object], str]] = [
    (None, {}, "n: no address: give a URL, "),
    ("", {}, "must be the driver's own connection string, with one host, not an empty text"),
    (5, {}, "not the int that is there"),
    ("myslq://h", {}, "unknown scheme myslq://; did you mean mysql?"),
    ("oracle://h", {}, "known: postgresql, postgres, mysql, mariadb, sqlite"),
    ("mysql+pymysql://h", {}, "write mysql:// alone"),
    ("mysql://a,b/shop", {}, "must be one host name or address"),
    ("mysql://a:1,b:2/shop", {}, "must name one host"),
    ("postgresql:///d?host=a,b", {}, "must be one host name or address"),
    ("host=a,b dbname=d", {}, "with one host"),
    ("mysql://h:0", {}, "the port must be a whole number from 1 to 65535"),
    ("mysql://h:65536", {}, "the port must be a whole number from 1 to 65535"),
    ("mysql://h:-1", {}, "the port must be"),
    ("mysql://h:²", {}, "the port must be"),
    ("mysql://h?port=x", {}, "the port must be"),
    ("mysql://::1/d", {}, "an IPv6 address stands in brackets"),
    ("mysql://h/a/b", {}, "one name of a database"),
    ("mysql://h?x", {}, "name=value pairs"),
    ("mysql://h?x=1&x=2", {}, "each name once"),
    ("mysql://a:SECRET#x@h/d", {}, ENCODE),
    ("mysql://a:12/SECRET@h/d", {}, ENCODE),
    ("mysql://a:12/SECRET@h", {}, ENCODE),
    ("mysql://a:12?SECRET=x@h/d", {}, ENCODE),
    ("mysql://app:SECRET/d", {}, ENCODE),
    (" mysql://h", {}, "white space"),
    ("mysql://h/d\n", {}, "white space"),
    ("sqlite://h/d", {}, "a file has no host"),
    (None, {"port": 0}, "port: must be a whole number from 1 to 65535, not 0"),
    (None, {"port": "3306"}, "not '3306'"),
    (None, {"port": True}, "not True"),
    (None, {"host": "SECRET@h"}, "host: must be one host name"),
    (None, {"host": "a b"}, "host: must be one host name"),
    (None, {"user": ""}, "user: must be a text, not an empty text"),
    (None, {"password": b"SECRET"}, "password: must be a text or a function that returns one, not the bytes"),
    (None, {"password": "SECRET", "password_file": "f"}, "either password or password_file"),
    (None, {"user": "a", "user_file": "f"}, "either user or user_file"),
    (None, {"credentials": "vault:read", "user": "a"}, "leave user out"),
    (None, {"credentials": "vault:read", "password": "SECRET", "user_file": "f"}, "leave password and user_file out"),
    (None, {"credentials": "no function"}, "in a file module:function"),
]


@pytest.mark.parametrize(("text", "fields", "expected"), GOOD)
def test_good(text: str | None, fields: dict[str, object], expected: dict[str, Any]) -> None:
    assert parse("n", text, fields) == Address(node="n", **expected)


@pytest.mark.parametrize(("text", "fields", "says"), BAD)
def test_bad(text: Any, fields: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse("n", text, fields)
    assert says in str(caught.value).replace("'n': url: ", "n: ")
    assert "node 'n': " in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_all_mistakes_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("n", "mysql://h:0/a/b?x", {"port": 0, "user": 1})
    assert len(str(caught.value).splitlines()) == 6


@pytest.mark.parametrize(
    ("url", "family"),
    [
        ("mysql://", "mysql"),
        ("mariadb://h/d", "mysql"),
        ("postgres", "postgresql"),
        ("sqlite:///x", "sqlite"),
        ("oracle://", None),
        ("host=db", None),
    ],
)
def test_scheme_family(url: str, family: str | None) -> None:
    assert scheme_family(url) == family


def test_check_family() -> None:
    mysql, own = parse("n", "mariadb://h", {}), parse("n", "host=h", {})
    for address, family in ((mysql, "mysql"), (mysql, None), (own, "postgresql")):
        check_family("n", address, family, "driver")
    with pytest.raises(ConfigError) as caught:
        check_family("n", mysql, "postgresql", "psycopg")
    says = "node 'n': wrong DSN for the driver: psycopg takes postgresql:// or postgres://, not mariadb://"
    assert str(caught.value) == says


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
names = st.from_regex(r"[a-z][a-z0-9.-]{0,12}", fullmatch=True)


@given(names, st.integers(1, 65535), texts, texts, texts, st.dictionaries(names, texts, max_size=3))
def test_a_url_that_is_percent_encoded_is_read_back(
    host: str, port: int, user: str, password: str, database: str, arguments: dict[str, str]
) -> None:
    assume(not arguments.keys() & {"via", "weight", "priority"})  # ours, with values of their own
    userinfo = f"{quote(user, '')}:{quote(password, '')}"
    query = "&".join(f"{quote(key, '')}={quote(value, '')}" for key, value in arguments.items())
    address = parse("n", f"postgresql://{userinfo}@{host}:{port}/{quote(database, '')}?{query}", {"host": host})
    if not arguments.keys() & {"host", "port", "user", "password", "database", "dsn"}:
        assert (address.user, address.password, address.host) == (user, password, host)
        assert (address.port, address.database, dict(address.arguments)) == (port, database, arguments)


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("host=h user=a password='x y' dbname=d", "host=h user=a password=***"),
        ("host=h PassWord = x y", "host=h PassWord =***"),
        ("Driver=x;UID=a;PWD={p;q};Server=s", "Driver=x;UID=a;PWD=***"),
        ("scott/tiger@db", "scott:***@db"),
        ("a:b@tcp(h:1)/d", "a:***@tcp(h:1)/d"),
        ("weird://u:a@b@h", "weird://u:***@h"),
        ("weird://u@h", "weird://u@h"),
        ("data/shop.db", "data/shop.db"),
    ],
)
def test_redacted(dsn: str, shown: str) -> None:
    assert redacted(dsn) == shown


def test_a_url_of_several_hosts_is_a_node_for_each() -> None:
    cluster = clustersql.Cluster("several", driver="psycopg", policy="weighted")
    cluster.add_nodes("postgresql://app:s%2Ccret@a,b:5433,[::1]:5434,b/shop?application_name=mine", weight=2)
    assert cluster.nodes == ["[::1]", "a", "b", "b:5433"]
    addresses = cluster._topology.addresses
    assert {name: (one.host, one.port) for name, one in addresses.items()} == {
        "a": ("a", None),
        "b:5433": ("b", 5433),
        "[::1]": ("::1", 5434),
        "b": ("b", None),
    }
    for one in addresses.values():
        assert (one.user, one.password, one.database, one.weight) == ("app", "s,cret", "shop", 2)
        assert one.arguments == {"application_name": "mine"}


@pytest.mark.parametrize(
    "url",
    [
        "a,b",
        "postgresql://app:s3cret@a,,b/shop",
        "postgresql://app:s3cret@a,a/shop",
        "postgresql://app:s3cret@a,b:x/shop",
        "mysql://a,b/shop",
        7,
    ],
)
def test_a_url_of_several_hosts_that_is_wrong_adds_none(url: Any) -> None:
    cluster = clustersql.Cluster("several", driver="psycopg")
    with pytest.raises(clustersql.ConfigError) as caught:
        cluster.add_nodes(url)
    assert "s3cret" not in str(caught.value)
    assert cluster.nodes == []


def test_a_url_of_several_hosts_adds_none_where_one_is_there() -> None:
    cluster = clustersql.Cluster("several", driver="psycopg")
    cluster.add_node("b", host="b")
    with pytest.raises(clustersql.ConfigError, match="has a node 'b' already"):
        cluster.add_nodes("postgresql://a,b,c/shop")
    assert cluster.nodes == ["b"]
