"""What the adapter of a server keeps besides, and of one whose server sends notifications unasked."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from ...core.faults import Facts, Fault
from ..ports import closed_port, deaf_port
from .background import Background, until
from .driver import DriverContract
from .subject import Subject

GIVEN_UP = 6.0
"""Seconds within which a dial with a timeout of 1 s is given up; some drivers round up to 2 s."""


class ServerContract(DriverContract):
    """What a driver of a server keeps besides: dials that fail, sessions that end."""

    for_servers: ClassVar = True

    def test_an_answer_is_told_from_silence(self, subject: Subject, raw: Any) -> None:
        """Also while another thread is in a call: the silence of a node is what it is judged by."""
        driver = subject.driver
        before = driver.received(raw)
        assert not driver.has_answered(raw, before)
        driver.ask(raw, ["SELECT 1"])
        assert driver.has_answered(raw, before) is driver.abilities.descriptor
        call = Background(lambda: self._run(raw, subject.say("nap")))
        time.sleep(0.1)  # the driver's BEGIN may have an answer of its own
        until(lambda: not driver.has_answered(raw, driver.received(raw)))
        before = driver.received(raw)
        assert call.error() is None
        assert driver.has_answered(raw, before) is driver.abilities.descriptor
        driver.close(raw)
        assert driver.received(raw) is None
        assert not driver.has_answered(raw, before)

    # Connecting

    def test_a_closed_port_is_lost_and_unsent(self, subject: Subject) -> None:
        facts = self._refused(subject, port=closed_port())
        assert (facts.fault, facts.lost, facts.not_sent) == (Fault.LOST, True, True)

    def test_a_wrong_password_is_a_mistake_of_configuration(self, subject: Subject) -> None:
        assert self._refused(subject, password="wrong").fault is Fault.MISCONFIGURED

    def test_a_wrong_database_is_a_mistake_of_configuration(self, subject: Subject) -> None:
        assert self._refused(subject, database="no_such_database").fault is Fault.MISCONFIGURED

    @staticmethod
    def _refused(subject: Subject, **changes: Any) -> Facts:
        with pytest.raises((subject.driver.module.Error, OSError)) as failed:
            subject.connect(**changes)
        return subject.driver.facts(failed.value, None)

    def test_a_deaf_server_is_given_up(self, subject: Subject) -> None:
        """It accepts and never answers: the handshake has a deadline too.

        A driver without one waits until the server hangs up; then it is lost all the same.
        """
        with deaf_port() as port:
            target = dataclasses.replace(subject.target, port=port)
            dial = Background(lambda: subject.driver.connect(target, 1.0))
            given_up = dial.has_ended(GIVEN_UP)
        error = dial.error()
        assert given_up is subject.driver.abilities.connect_timeout
        assert error is not None
        facts = subject.driver.facts(error, None)
        assert (facts.fault, facts.lost, facts.not_sent) == (Fault.LOST, True, True)

    # What errors prove

    def test_the_loser_of_a_deadlock_is_rolled_back(self, subject: Subject, raw: Any, other: Any, table: str) -> None:
        """Two sessions that wait for each other's row locks."""
        self._want_autocommit(subject, raw, False)
        self._want_autocommit(subject, other, False)
        self._run(raw, f"UPDATE {table} SET n = 1 WHERE id = 1")
        self._run(other, f"UPDATE {table} SET n = 2 WHERE id = 2")
        crossing = Background(lambda: self._run(other, f"UPDATE {table} SET n = 2 WHERE id = 1"))
        mine = Background(lambda: self._run(raw, f"UPDATE {table} SET n = 1 WHERE id = 2"))
        failed = [(error, conn) for call, conn in ((mine, raw), (crossing, other)) if (error := call.error())]
        assert [subject.driver.facts(error, conn).fault for error, conn in failed] == [Fault.ROLLED_BACK]

    def test_a_killed_session_is_lost(self, subject: Subject, raw: Any) -> None:
        subject.kill(raw)
        facts = subject.facts_of(raw, "SELECT 1")
        assert (facts.fault, facts.lost, facts.not_sent) == (Fault.LOST, True, False)

    # Idle connections

    def test_a_killed_idle_connection_is_stale(self, subject: Subject, raw: Any) -> None:
        """Without a descriptor nobody can know: then the next statement finds it lost, and from there on it is
        known.
        """
        subject.kill(raw)
        if subject.driver.abilities.descriptor:
            until(lambda: subject.driver.is_stale(raw))
            return
        assert not subject.driver.is_stale(raw)
        assert subject.facts_of(raw, "SELECT 1").lost
        assert subject.driver.is_stale(raw)


class ListenContract(ServerContract):
    """What a driver keeps besides whose server sends notifications to an idle session, as PostgreSQL does after
    LISTEN.
    """

    for_listening: ClassVar = True

    def heard(self, raw: Any) -> Sequence[str]:
        """Return the channels of the notifications that the driver holds for its user; give it as the driver has it."""
        raise NotImplementedError("give a method called heard")

    @pytest.fixture
    def notified(self, subject: Subject, raw: Any, other: Any) -> Any:
        """The connection ``raw``, to which a notification was sent."""
        self._run(raw, subject.say("listen"))
        raw.commit()
        self._run(other, subject.say("notify"))
        other.commit()
        return raw

    def test_a_notification_is_no_death_and_is_kept(self, subject: Subject, notified: Any) -> None:
        for _ in range(20):  # it arrives when it likes: on a quiet machine before the second look
            assert not subject.driver.is_stale(notified)
            time.sleep(0.02)
        heard: list[str] = []

        def has_heard() -> bool:
            assert subject.driver.ask(notified, ["SELECT 1"]) == [[(1,)]]  # some take it in only with an answer
            heard.extend(self.heard(notified))
            return bool(heard)

        until(has_heard)
        assert heard == ["contract"]

    def test_a_death_behind_a_notification_is_seen(self, subject: Subject, notified: Any) -> None:
        subject.kill(notified)
        if subject.driver.abilities.descriptor:
            until(lambda: subject.driver.is_stale(notified))
        assert subject.facts_of(notified, "SELECT 1").lost
        assert subject.driver.is_stale(notified)
