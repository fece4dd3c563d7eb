"""The commit guard before the reader's eyes: two COMMITs whose answers are cut, and what became of each."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from ... import Cluster, TransactionLost
from ...core.guard.table import DEFAULT, KEYS, Table
from ...testing import FaultProxy
from .frame import duration

if TYPE_CHECKING:
    from .screen import Screen
    from .story import Engine

COMMIT = rb"(?i:\bcommit\b)"
TABLE = "demo_guarded"


def make(cluster: Cluster, db: Any) -> None:
    """Make the guard's tables, as ``clustersql commit-guard --create`` does."""
    assert cluster.driver is not None
    dialect = cluster.driver.dialect
    assert dialect.guard is not None
    commits = dialect.guard.table(Table.parse(DEFAULT), "app")
    for statement in dialect.guard.create(*(each.quoted(dialect.quote) for each in (commits, commits.beside(KEYS)))):
        db.execute(statement)


def show(engine: Engine, servers: Any, screen: Screen) -> None:
    """Cut the answer of a COMMIT after the server got it, and of another one before, and tell what is found out."""
    node = getattr(servers, "primary", servers.nodes[0])
    cluster = Cluster("guarded", driver=engine.driver, commit_guard=True)
    with FaultProxy(servers.port(node)) as way:
        cluster.add_node(node, servers.dsn(node).replace(f":{servers.port(node)}", f":{way.port}"))
        with cluster.open() as db:
            make(cluster, db)
            db.execute(f"CREATE TABLE {TABLE} (number int PRIMARY KEY)")
            for number, before in enumerate((False, True)):
                screen.say(f"a COMMIT whose answer is cut, {'before' if before else 'after'} {node} got it")
                way.cut_on(COMMIT, before=before)
                _cut(db, number, screen)
            kept = [number for (number,) in db.execute(f"SELECT number FROM {TABLE}").fetchall()]
            screen.say(f"  of the two rows {len(kept)} is there: the guard was {'right' if kept == [0] else 'wrong'}")
    cluster.close()


def _cut(db: Any, number: int, screen: Screen) -> None:
    with db.connection() as conn:
        conn.cursor().execute(f"INSERT INTO {TABLE} VALUES ({number})")
        began = monotonic()
        try:
            conn.commit()
            found = "it has committed, so commit() returns"
        except TransactionLost:
            found = "it never will commit, so TransactionLost: run it again"
        screen.say(f"  the guard asks {duration(monotonic() - began)} long, and knows: {found}")
