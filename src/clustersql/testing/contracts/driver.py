"""What every adapter keeps when something goes wrong, hangs or is closed."""

from __future__ import annotations

import os
import socket
import time
from typing import Any

import pytest

from ...core.faults import Fault
from .background import Background, until
from .breaking import broken_in
from .subject import Subject
from .work import WorkContract


class DriverContract(WorkContract):
    """What every driver keeps.  Inherit it; ``subject`` is the only fixture to give."""

    # What errors prove

    def test_the_statements_own_errors(self, subject: Subject, raw: Any, table: str) -> None:
        for statement in ("SELEKT 1", f"INSERT INTO {table} VALUES (1, 1)", "SELECT * FROM no_such_table_at_all"):
            facts = subject.facts_of(raw, statement)
            assert (facts.fault, facts.lost, facts.not_sent) == (Fault.STATEMENT, False, False), statement
            raw.rollback()

    def test_a_refused_write(self, subject: Subject, raw: Any, table: str) -> None:
        """A dialect without a read-only mode has no way back from it either, and writes are taken."""
        driver = subject.driver
        assert bool(driver.dialect.read_only_on) is bool(driver.dialect.read_only_off)
        self._set(subject, raw, driver.dialect.read_only_on)
        if driver.dialect.read_only_on:
            facts = subject.facts_of(raw, f"INSERT INTO {table} VALUES (9, 9)")
            assert (facts.fault, facts.lost) == (Fault.READ_ONLY, False)
            raw.rollback()
        self._set(subject, raw, driver.dialect.read_only_off)
        self._run(raw, f"INSERT INTO {table} VALUES (9, 9)")
        raw.rollback()

    def test_a_closed_connection_is_lost(self, subject: Subject, raw: Any) -> None:
        cursor = raw.cursor()
        raw.close()
        assert subject.driver.is_closed(raw)
        with pytest.raises(subject.driver.module.Error) as failed:
            cursor.execute("SELECT 1")
        facts = subject.driver.facts(failed.value, raw)
        assert (facts.fault, facts.lost) == (Fault.LOST, True)

    def test_what_is_not_the_drivers_is_no_news(self, subject: Subject, raw: Any) -> None:
        """Whatever it looks like: a signal handler may raise a TimeoutError, which is an OSError, and a codec
        anything.
        """
        for error in broken_in():
            assert subject.driver.facts(error, raw).fault is Fault.FOREIGN, error

    def test_no_question_raises(self, subject: Subject, raw: Any) -> None:
        """Of a closed connection neither: who asks it is in the middle of another error."""
        subject.driver.close(raw)
        driver = subject.driver
        for question in (driver.session_id, driver.peer, driver.received, driver.in_transaction, driver.autocommit):
            question(raw)
        assert not driver.failed_transaction(raw)
        assert not driver.has_answered(raw, None)

    # Idle connections

    def test_a_healthy_idle_connection_is_not_stale(self, subject: Subject, raw: Any) -> None:
        assert not subject.driver.is_stale(raw)
        self._run(raw, "SELECT 1")
        raw.rollback()
        assert not subject.driver.is_stale(raw)
        assert not subject.driver.is_closed(raw)

    def test_a_connection_closed_here_is_stale(self, subject: Subject, raw: Any) -> None:
        """So much is known even without a descriptor."""
        subject.driver.close(raw)
        assert subject.driver.is_closed(raw)
        assert subject.driver.is_stale(raw)

    # Waking and closing

    def test_abort_tells_what_it_did_to_an_idle_connection(self, subject: Subject, raw: Any) -> None:
        """With a descriptor the connection is dead and known to be; without one it is interrupted at most, and stays
        good.
        """
        shut = subject.driver.abilities.descriptor
        assert subject.driver.abort(raw) or not shut
        assert subject.driver.is_stale(raw) is shut
        if shut:
            facts = subject.facts_of(raw, "SELECT 1")
            assert (facts.fault, facts.lost) == (Fault.LOST, True)
        else:
            assert subject.driver.ask(raw, ["SELECT 1"]) == [[(1,)]]

    def test_abort_wakes_a_call_in_another_thread(self, subject: Subject, raw: Any, other: Any) -> None:
        """False means that the call goes on, as if nobody had tried."""
        able = subject.driver.abort(other)
        call = Background(lambda: self._run(raw, subject.say("sleep" if able else "nap")))
        time.sleep(0.3)
        assert subject.driver.abort(raw) is able
        if not able:
            assert call.error() is None
            assert subject.driver.ask(raw, ["SELECT 1"]) == [[(1,)]]
            return
        until(lambda: call.has_ended(0.1) or not subject.driver.abort(raw))  # on a busy machine it may begin only now
        error = call.error()
        assert error is not None
        facts = subject.driver.facts(error, raw)
        assert facts.lost is subject.driver.abilities.descriptor
        assert facts.not_sent is False

    def test_abort_of_a_closed_connection_harms_no_stranger(self, subject: Subject, raw: Any) -> None:
        """The descriptor's number is given to the next socket that opens."""
        subject.driver.close(raw)
        left, right = socket.socketpair()
        with left, right:
            assert subject.driver.abort(raw) is False
            left.sendall(b"x")
            assert right.recv(1) == b"x"

    def test_abort_leaves_no_descriptor(self, subject: Subject, raw: Any) -> None:
        before = len(os.listdir("/dev/fd"))
        subject.driver.abort(raw)
        assert len(os.listdir("/dev/fd")) == before

    def test_closing_is_quiet(self, subject: Subject) -> None:
        raw, aborted = subject.connect(), subject.connect()
        subject.driver.close(raw)
        subject.driver.close(raw)
        subject.driver.abort(aborted)
        subject.driver.close(aborted)
        assert subject.driver.is_closed(raw)
        assert subject.driver.is_closed(aborted)
