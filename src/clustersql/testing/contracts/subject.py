"""What is tested: an adapter, and a server for it; and what can be said to that server."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from ...core.faults import Facts
from ...drivers.contract import Driver, Target
from .background import until

__all__ = ["SQL", "Subject"]


SQL: Mapping[str, Mapping[str, str]] = {
    "postgresql": {
        "me": "SELECT pg_backend_pid()",
        "kill": "SELECT pg_terminate_backend({})",
        "alive": "SELECT count(*) FROM pg_stat_activity WHERE pid = {}",
        "sleep": "SELECT pg_sleep(30)",
        "nap": "SELECT pg_sleep(1)",
        "begin": "BEGIN",
        "listen": "LISTEN contract",
        "notify": "NOTIFY contract",
    },
    "mysql": {
        "me": "SELECT CONNECTION_ID()",
        "kill": "KILL CONNECTION {}",
        "alive": "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {}",
        "sleep": "SELECT SLEEP(30)",
        "nap": "SELECT SLEEP(1)",
        "begin": "START TRANSACTION",
    },
    "sqlite": {
        "sleep": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "nap": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000000) SELECT count(*) FROM n",
        "begin": "BEGIN",
    },
}
"""Statements by dialect.

``me`` tells a session's number, ``kill`` ends that session, ``alive`` counts it; without ``kill`` it is no server.
``sleep`` is a call that must be woken, ``nap`` one that ends after about a second.  ``listen`` and ``notify`` use the
channel "contract".
"""


@dataclasses.dataclass(frozen=True)
class Subject:
    """An adapter and a server for it.  ``sql`` replaces statements of `SQL`."""

    driver: Driver
    target: Target
    sql: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def statements(self) -> Mapping[str, str]:
        """The statements of the dialect, and the subject's own in their place."""
        return {**SQL.get(self.driver.dialect.name, {}), **self.sql}

    @property
    def is_served(self) -> bool:
        """Whether there is a server with sessions, and not just a file."""
        return self.target.host is not None or self.target.port is not None or "kill" in self.statements

    def say(self, name: str) -> str:
        """Return the statement called ``name``; fail the test where none is known."""
        known = self.statements
        if name not in known:
            pytest.fail(f"no statement {name!r} is known for {self.driver.dialect.name}: give it, Subject(sql=...)")
        return known[name]

    def connect(self, **changes: Any) -> Any:
        """Open a connection to the target, with other fields."""
        return self.driver.connect(dataclasses.replace(self.target, **changes), 5.0)

    def facts_of(self, raw: Any, *statements: str) -> Facts:
        """Run the statements on ``raw`` until one fails; return what its error proves.

        That may be the socket's own OSError: pg8000 lets one through when the server resets the connection.
        """
        errors = (self.driver.module.Error, OSError)
        with pytest.raises(errors) as failed:  # noqa: PT012 - which of them fails is the database's affair
            cursor = raw.cursor()  # mysql-connector asks the server for a sign of life here
            for statement in statements:
                cursor.execute(statement)
                if cursor.description:
                    cursor.fetchall()
        return self.driver.facts(failed.value, raw)

    def kill(self, raw: Any) -> None:
        """End the session of ``raw`` on the server, and wait until it is gone."""
        [[(number,)]] = self.driver.ask(raw, [self.say("me")])
        with contextlib.closing(self.connect()) as killer:
            self.driver.ask(killer, [self.say("kill").format(number)])
            until(lambda: self.driver.ask(killer, [self.say("alive").format(number)]) == [[(0,)]])
