"""What every adapter keeps while all is well: questions, modes, transactions."""

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar
from uuid import uuid4

import pytest

from ...core.view.node import Report, Role
from ...errors import TransactionLost, bind
from .subject import Subject


class WorkContract:
    """What every driver keeps while all is well, and the fixtures."""

    for_servers: ClassVar = False
    for_listening: ClassVar = False

    @pytest.fixture
    def subject(self) -> Subject:
        """The adapter and the server under test."""
        raise NotImplementedError("give a fixture called subject")

    @pytest.fixture
    def raw(self, subject: Subject) -> Iterator[Any]:
        """A connection, closed after the test."""
        raw = subject.connect()
        yield raw
        subject.driver.close(raw)

    @pytest.fixture
    def other(self, subject: Subject) -> Iterator[Any]:
        """A second connection."""
        other = subject.connect()
        yield other
        subject.driver.close(other)

    @pytest.fixture
    def table(self, subject: Subject, raw: Any, other: Any) -> Iterator[str]:
        """A table with the key ``id``, and two rows in it."""
        name = f"contract_{uuid4().hex[:12]}"
        keeper = subject.connect()
        self._run(
            keeper, f"CREATE TABLE {name} (id INT PRIMARY KEY, n INT)", f"INSERT INTO {name} VALUES (1, 0), (2, 0)"
        )
        keeper.commit()
        yield name
        for conn in (raw, other):  # a transaction that a failed test left open would block the DROP for ever
            subject.driver.close(conn)
        self._run(keeper, f"DROP TABLE {name}")
        keeper.commit()
        subject.driver.close(keeper)

    @staticmethod
    def _run(raw: Any, *statements: str) -> None:
        cursor = raw.cursor()
        for statement in statements:
            cursor.execute(statement)
            if cursor.description:
                cursor.fetchall()
        cursor.close()

    @staticmethod
    def _want_autocommit(subject: Subject, raw: Any, on: bool) -> None:
        """Set the mode where there is one; a driver without is as PEP 249 has it: off."""
        if subject.driver.abilities.autocommit:
            subject.driver.set_autocommit(raw, on)

    def _set(self, subject: Subject, raw: Any, statements: Sequence[str]) -> None:
        """Change the session, as clustersql does it: by `ask`.  It must hold after that."""
        subject.driver.ask(raw, statements)

    @staticmethod
    def _tells(subject: Subject, raw: Any, truth: bool) -> None:
        """It tells the truth about an open transaction; None only where it says that it may not know."""
        told = subject.driver.in_transaction(raw)
        assert told is truth or (told is None and not subject.driver.abilities.transaction_status)

    # Who it is

    def test_the_whole_contract_is_asked(self, subject: Subject) -> None:
        """A class that fits less than it could would leave checks out unseen."""
        assert self.for_servers is subject.is_served, "ServerContract is for servers, and only for them"
        assert self.for_listening is ("listen" in subject.statements), "ListenContract is for LISTEN"

    def test_it_names_itself_and_its_dialect(self, subject: Subject) -> None:
        driver = subject.driver
        assert driver.name
        assert driver.module.apilevel == "2.0"
        assert issubclass(driver.operational_error, driver.module.Error)
        assert issubclass(driver.interface_error, driver.module.Error)

    def test_our_errors_have_the_codes_of_the_drivers(self, subject: Subject, raw: Any) -> None:
        """What a program reads from the driver's error, it reads from ours that was raised from it; also in another
        process.
        """
        driver, ours = subject.driver, bind(TransactionLost, subject.driver.operational_error)("lost")
        with pytest.raises(driver.module.Error) as failed:
            driver.ask(raw, ["SELEKT"])
        ours.__cause__ = failed.value
        codes = [
            (facts.sqlstate, facts.errno)
            for facts in (
                driver.facts(one, raw)
                for one in (failed.value, ours, pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours))
            )
        ]
        assert set(codes) == {codes[0]}
        assert str(ours) == "lost"

    # Asking

    def test_it_asks_and_leaves_no_transaction(self, subject: Subject, raw: Any) -> None:
        assert subject.driver.ask(raw, ["SELECT 1", "SELECT 2"]) == [[(1,)], [(2,)]]
        assert subject.driver.in_transaction(raw) is not True
        before = subject.driver.autocommit(raw)
        with pytest.raises(subject.driver.module.Error):
            subject.driver.ask(raw, ["SELEKT"])
        assert subject.driver.in_transaction(raw) is not True
        assert subject.driver.autocommit(raw) is before

    def test_the_probe_tells_a_role(self, subject: Subject, raw: Any) -> None:
        report = subject.driver.dialect.report(subject.driver.ask(raw, subject.driver.dialect.probe))
        assert isinstance(report, Report)
        assert report.role is Role.PRIMARY
        assert subject.driver.pushed_role(raw) in (None, Role.PRIMARY)

    # Modes

    def test_autocommit_is_set_and_told(self, subject: Subject, raw: Any) -> None:
        """Where there is no such mode it is refused, not ignored, and nothing is told."""
        if not subject.driver.abilities.autocommit:
            with pytest.raises(subject.driver.module.NotSupportedError):
                subject.driver.set_autocommit(raw, True)
            assert subject.driver.autocommit(raw) is None
            return
        for mode in (True, False, True, True):
            subject.driver.set_autocommit(raw, mode)
            assert subject.driver.autocommit(raw) is mode

    @pytest.mark.parametrize(
        "statements",
        [
            ["SELECT * FROM {}"],
            ["UPDATE {} SET n = 1"],
            ["SELECT * FROM {}", "SELEKT"],
            ["INSERT INTO {} VALUES (1, 1)"],
        ],
        ids=["read", "write", "error", "failed-first"],
    )
    def test_it_tells_a_transaction(self, subject: Subject, raw: Any, table: str, statements: Sequence[str]) -> None:
        """Whatever opened it, and when it has ended; never False while one is open."""
        self._want_autocommit(subject, raw, False)
        self._tells(subject, raw, False)
        with contextlib.suppress(subject.driver.module.Error):
            self._run(raw, *[statement.format(table) for statement in statements])
        opened = subject.driver.dialect.name != "sqlite" or "SELECT" not in statements[0]  # its reads open none
        self._tells(subject, raw, opened)
        raw.rollback()
        self._tells(subject, raw, False)

    @pytest.mark.parametrize("statement", ["SELECT 1", "SELECT * FROM {}", "UPDATE {} SET n = 1"])
    def test_it_tells_a_transaction_that_begin_opened(
        self, subject: Subject, raw: Any, table: str, statement: str
    ) -> None:
        """In autocommit mode too, where none is to be expected."""
        self._want_autocommit(subject, raw, True)
        self._run(raw, subject.say("begin"))
        self._tells(subject, raw, True)
        self._run(raw, statement.format(table))
        self._tells(subject, raw, True)
        self._run(raw, "ROLLBACK")
        self._tells(subject, raw, False)

    def test_of_a_closed_connection_no_transaction_is_denied(self, subject: Subject, raw: Any, table: str) -> None:
        """Its COMMIT may have got through or not: nobody may conclude that there was nothing to lose."""
        self._want_autocommit(subject, raw, False)
        self._run(raw, f"UPDATE {table} SET n = n")
        subject.driver.close(raw)
        assert subject.driver.in_transaction(raw) is not False
