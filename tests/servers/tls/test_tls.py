"""TLS on real servers: the documentation's own examples, a certificate that is refused, and failures that are noticed
through it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import clustersql
from clustersql import Cluster, NoNodeAvailable
from clustersql.testing import MariaDBServer, PostgresCluster
from clustersql.testing.certificates import make_certificates
from clustersql.testing.processes import Account, wait_until

PAGE = Path(__file__).parents[3] / "docs" / "tls.md"
POSTGRES = ["psycopg", "psycopg2", "pg8000"]
MARIADB = ["pymysql", "mysqlclient", "mysql-connector", "mariadb"]
ENCRYPTED = {
    "postgresql": "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    "mysql": "SHOW SESSION STATUS LIKE 'Ssl_version'",
}
SESSION = {"postgresql": "SELECT pg_backend_pid()", "mysql": "SELECT CONNECTION_ID()"}

Example = Callable[..., Cluster]


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresCluster]:
    with PostgresCluster(2, tls=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDBServer]:
    with MariaDBServer(tls=True) as server:
        yield server


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The certificate of an authority that signed none of our servers."""
    folder = tmp_path_factory.mktemp("other") / "tls"
    make_certificates(folder, Account())
    return str(folder / "ca.pem")


@pytest.fixture(params=POSTGRES + MARIADB)
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def servers(driver: str, request: pytest.FixtureRequest) -> PostgresCluster | MariaDBServer:
    servers: PostgresCluster | MariaDBServer = request.getfixturevalue("postgres" if driver in POSTGRES else "mariadb")
    servers.heal()
    return servers


def page(driver: str) -> tuple[str, str]:
    """The language and the text of the page's example for a driver, which its first line names."""
    found = re.findall(r"^```(\w+)\n# ([\w-]+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return next((language, text) for language, name, text in found if name == driver)


@pytest.fixture
def example(
    driver: str, servers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Cluster]]:
    """Runs the page's example for the driver as it stands, but for the host, the port and the file of the authority."""
    made: list[Cluster] = []

    def run(ca: str = "") -> Cluster:
        language, text = page(driver)
        text = text.replace("/etc/shop/ca.pem", ca or servers.ca_file)
        for number, name in enumerate(servers.nodes, 1):
            text = re.sub(rf"dbhost{number}:\d+", f"127.0.0.1:{servers.port(name)}", text)
        if language == "toml":
            monkeypatch.setenv("SHOP_PASSWORD", "secret")
            (tmp_path / "clusters.toml").write_text(text)
            [cluster] = clustersql.load(tmp_path / "clusters.toml")
        else:
            names: dict[str, Any] = {}
            exec(compile(text, PAGE, "exec"), names)
            cluster = names["shop"]
        made.append(cluster)
        return cluster

    yield run
    clustersql.unregister("shop")
    for cluster in made:
        cluster.close()


def test_the_page_s_example_encrypts_every_kind_of_connection(example: Example) -> None:
    cluster = example()
    question = ENCRYPTED[cluster.driver.dialect.name]
    pooled = cluster.open().execute(question).fetchall()
    with closing(cluster.connect()) as conn:
        cursor = conn.cursor()
        cursor.execute(question)
        outside = list(cursor.fetchall())
    with closing(cluster.dial()) as raw:
        [dialled] = cluster.driver.ask(raw, [question])
    for rows in (pooled, outside, dialled):
        [row] = rows
        assert row[-1] is True or str(row[-1]).startswith("TLS")


def test_a_certificate_of_another_authority_is_refused(example: Example, other_ca: str) -> None:
    cluster = example(other_ca)
    with pytest.raises(NoNodeAvailable, match=r"(?i)certificate"):
        cluster.open().options(timeout=1.0).execute("SELECT 1")
    assert all("certificate" in node["LastErrorMessage"].lower() for node in cluster.metrics()["Nodes"].values())


@pytest.mark.parametrize("driver", ["psycopg"], indirect=True)
def test_a_certificate_for_another_name_is_refused(driver: str, servers: PostgresCluster) -> None:
    with closing(Cluster("named", driver=driver)) as cluster:
        arguments = {"sslmode": "verify-full", "sslrootcert": servers.ca_file, "hostaddr": "127.0.0.1"}
        port = servers.port("n1")
        cluster.add_node(
            "n1", host="wrong.example", port=port, user="app", password="secret", database="app", **arguments
        )
        with pytest.raises(NoNodeAvailable, match="does not match host name"):
            cluster.open().options(timeout=1.0).execute("SELECT 1")


def test_the_death_of_an_idle_connection_is_seen_without_a_round_trip(servers: Any, example: Example) -> None:
    """Over TLS what can be read may be news of the protocol itself: a live connection must not pass for a dead one."""
    cluster = example()
    db, driver = (
        cluster.open().options(idempotent=True),
        cluster.driver,
    )  # the server ends a session when it gets round to it
    session = SESSION[driver.dialect.name]
    with closing(cluster.dial()) as raw:
        assert not driver.is_stale(raw), "just connected"
        [[(number,)]] = driver.ask(raw, [session])
        assert not driver.is_stale(raw), "after a statement"
        servers.execute(
            "n1", f"KILL {number}" if "mysql" in driver.family else f"SELECT pg_terminate_backend({number})"
        )
        wait_until(lambda: driver.is_stale(raw), "its death is seen", timeout=10)
    first = db.execute(session).fetchall()
    assert db.execute(session).fetchall() == first, "a live connection is used again"
    [(number,)] = first
    servers.execute("n1", f"KILL {number}" if "mysql" in driver.family else f"SELECT pg_terminate_backend({number})")
    for _ in range(5):
        assert db.execute(session).fetchall() != first


def replayed(servers: PostgresCluster) -> bool:
    """Whether n2 has replayed all that n1 has written: a table that is not there yet is no error."""
    [(written,)] = servers.execute("n1", "SELECT pg_current_wal_lsn()::text")
    return servers.execute("n2", "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (written,)) == [(True,)]


def test_kill_9_over_tls(servers: Any, example: Example) -> None:
    """On PostgreSQL the other node takes over; the single MariaDB is started again while its callers wait."""
    cluster = example()
    db = cluster.open()
    db.execute("DROP TABLE IF EXISTS killed")
    db.execute("CREATE TABLE killed (id INTEGER PRIMARY KEY)")
    with db.connection() as conn:
        conn.cursor().execute("INSERT INTO killed VALUES (0)")
    if isinstance(servers, PostgresCluster):
        wait_until(lambda: replayed(servers), "n2 has it", timeout=10)
    servers.kill("n1")
    if isinstance(servers, PostgresCluster):
        servers.promote("n2")
    else:
        servers.start("n1")
    for number in range(1, 6):
        db.run(lambda conn, number=number: conn.cursor().execute(f"INSERT INTO killed VALUES ({number})"))
    assert [tuple(row) for row in db.execute("SELECT COUNT(*) FROM killed").fetchall()] == [(6,)]
