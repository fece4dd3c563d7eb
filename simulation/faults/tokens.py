"""What a simulated server makes of the commit guard's statements: a table of tokens with one key, and who waits for whom.

A row's key is taken by the open transaction that has written it; whoever comes with the same one waits until that has
ended, as long as its ``lock_timeout`` lets it, and then finds the row, or takes its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .servers import Node, Reply, ServerSession

COMMITTED, VOID, GONE = "c", "v", ""
"""The fates in the table; the last one: the row was deleted."""
FOREVER = float("inf")
AGAIN = 0.01
"""Seconds, at most, between two looks at a key that is taken."""

_TOKEN = r"X?'([0-9a-f]{32})'"
_INSERT = re.compile(rf"(BEGIN NOT ATOMIC )?INSERT INTO \S+ \(token\) VALUES \({_TOKEN}\)(; COMMIT)?")
_UPSERT = re.compile(rf"INSERT INTO \S+ \(token, fate\) VALUES \({_TOKEN}, 'v'\)")
_LOOK = re.compile(rf"SELECT fate FROM \S+ WHERE token = {_TOKEN}")
_STATUS = re.compile(r"SELECT pg_xact_status\('(\d+)'\)")
_WAIT = re.compile(r"SET (?:LOCAL lock_timeout = (\d+)|SESSION innodb_lock_wait_timeout = (\d+))")
_END = re.compile(
    r"SELECT pg_catalog.pg_terminate_backend\(pid\).* WHERE pid = (\d+) AND .*'idle in transaction'"
    r"|SET @clustersql_end = .* WHERE ID = (\d+) AND COMMAND = 'Sleep'\)"
)


def execute(node: Node, session: ServerSession, sql: str, reply: Reply) -> bool:
    """Do what a statement of the guard's asks for.  Returns whether it was one."""
    for form, work in _FORMS:
        if found := form.match(sql):
            work(node, session, found, reply)
            return True
    if sql in node.servers.family.identify:
        reply(node.answer(session, rows=node.servers.family.born(sql, session.number, node.servers.loop.now)))
        return True
    return False


def fate(node: Node, token: str) -> str:
    """Return what the node's journal says of a token."""
    return next((said for entry in reversed(node.log) for name, said in entry.rows if name == token), GONE)


def free(node: Node, session: ServerSession) -> None:
    """The session's transaction has ended: its keys are free."""
    session.rows = []
    for token in [token for token, holder in node.keys.items() if holder is session]:
        del node.keys[token]


def _insert(node: Node, session: ServerSession, found: re.Match[str], reply: Reply) -> None:
    token, folded = found[2], found[3]

    def written() -> None:
        if fate(node, token) != GONE:
            node.refuse(session, node.servers.family.duplicate, reply)
            return
        session.rows.append((token, COMMITTED))
        node.commit(session, reply) if folded else reply(node.answer(session))

    _take(node, session, token, FOREVER, written, reply)


def _upsert(node: Node, session: ServerSession, found: re.Match[str], reply: Reply) -> None:
    token = found[1]

    def written() -> None:
        said = fate(node, token) or VOID
        session.rows.append((token, said))  # it writes, also where the row was there
        reply(node.answer(session, rows=[(said, "7300000000000000001", f"{node.epoch:08X}", True)]))

    _take(node, session, token, node.servers.loop.now + session.patience, written, reply)


def _take(node: Node, session: ServerSession, token: str, until: float, then: Callable[[], None], reply: Reply) -> None:
    """Take a key, or wait for it."""
    if session.ended:
        return
    if (error := node.refusal(session, writes=True, duplicates=False)) is not None:
        node.refuse(session, error, reply)
    elif node.keys.get(token, session) is session:
        node.keys[token] = session
        node.number(session)
        then()
    elif node.servers.loop.now >= until:
        node.refuse(session, node.servers.family.waited, reply)
    else:
        seconds = AGAIN * node.servers.chance.random()
        node.servers.loop.at(seconds, node.when_running, partial(_take, node, session, token, until, then, reply))


def _look(node: Node, session: ServerSession, found: re.Match[str], reply: Reply) -> None:
    own = dict(session.rows).get(found[1])
    reply(node.answer(session, rows=[(own or fate(node, found[1]),)]))


def _form(node: Node, session: ServerSession, found: re.Match[str], reply: Reply) -> None:
    reply(node.answer(session, rows=[("clustersql_commit", "CREATE TABLE ... PRIMARY KEY (`token`)) ENGINE=InnoDB")]))


def _status(node: Node, session: ServerSession, found: re.Match[str], reply: Reply) -> None:
    """By the number of a transaction, which says nothing of whose it was."""
    number = int(found[1])
    if any(other.transaction == number and other.writes is not None for other in node.sessions):
        node.refuse(session, node.servers.family.waited, reply)
    elif number > node.newest():
        node.refuse(session, ("22023", None, "transaction ID is in the future"), reply)
    else:
        known = any(entry.number == number for entry in node.log)
        reply(node.answer(session, rows=[("committed" if known else "aborted",)]))


def _wait(node: Node, session: ServerSession, found: re.Match[str], reply: Reply) -> None:
    session.patience = float(found[1]) / 1000 if found[1] else float(found[2])
    reply(node.answer(session))


def _end(node: Node, session: ServerSession, found: re.Match[str], reply: Reply) -> None:
    number = int(found[1] or found[2])
    idle = [one for one in node.sessions if one.writes is not None and not one.busy and one.number == number]
    node.servers.end_sessions(node, idle)
    reply(node.answer(session, rows=[(True,) for _ in idle]))


def _nothing(node: Node, session: ServerSession, found: re.Match[str], reply: Reply) -> None:
    """The text that `_end` has made is executed there."""
    reply(node.answer(session))


def _delete(node: Node, session: ServerSession, found: re.Match[str], reply: Reply) -> None:
    if (error := node.refusal(session, writes=True, duplicates=False)) is not None:
        node.refuse(session, error, reply)
        return
    for token in re.findall(r"\b[0-9a-f]{32}\b", found.string):
        if fate(node, token) != GONE:
            session.rows.append((token, GONE))
    if session.writes is None:
        node.commit(session, reply)
    else:
        reply(node.answer(session))


_FORMS: tuple[tuple[re.Pattern[str], Callable[[Node, ServerSession, Any, Reply], None]], ...] = (
    (_INSERT, _insert),
    (_UPSERT, _upsert),
    (_LOOK, _look),
    (re.compile(r"SHOW CREATE TABLE "), _form),
    (_STATUS, _status),
    (_WAIT, _wait),
    (_END, _end),
    (re.compile(r"(?:PREPARE|EXECUTE) clustersql_end"), _nothing),
    (re.compile(r"DELETE FROM "), _delete),
)
