"""What a dial logs in with while a credentials provider gives nothing: `nodes.login`, by its values."""

from __future__ import annotations

import time

import pytest

from clustersql import Credentials
from clustersql.config.dsn import parse
from clustersql.nodes.dial import resolve
from clustersql.nodes.login import Late, Login, given_of

ONE, TWO = Credentials("app", "one"), Credentials("app", "two")


def test_a_lease_is_left_before_its_end() -> None:
    address = parse("n", None, {"host": "db1", "credentials": "vault:read"})
    given = given_of(address, Credentials("app", "secret", time.time() + 100.0), Login())
    assert (given.address.user, resolve(given.address).password) == ("app", "secret")
    assert given.ends == pytest.approx(time.monotonic() + 90.0, abs=5.0)
    assert given_of(address, Credentials("app", "secret"), Login()).ends is None


def test_what_has_logged_in_last_can_be_gone_on_with_until_it_is_refused_or_its_lease_ends() -> None:
    login = Login()
    assert login.usable() is None
    login.settled(ONE, True)
    login.settled(TWO, False)  # a wrong one, which says nothing of the one before
    assert login.usable() is ONE
    login.settled(Credentials("app", "one"), False)
    assert login.usable() is None
    ended = Credentials("app", "one", time.time() - 0.001)
    login.settled(ended, True)
    assert login.usable() is None


def test_while_a_provider_that_was_late_hangs_nobody_waits_for_it() -> None:
    login = Login()
    with login.asking():
        assert login.patience(5.0) == 2.5, "it is under way, and not late yet"
        assert login.missed(Late("slow"))
        assert (login.patience(5.0), login.patience(0.0)) == (0.0, 0.0)
    assert login.patience(5.0) == 0.0, "it was late less than connect_timeout ago"
    assert login.patience(1e-9) > 0.0, "it hangs no more, and was late long ago"
    login.answered()
    assert login.patience(5.0) == 2.5


def test_a_forked_child_does_not_wait_for_the_parent_s_threads() -> None:
    login = Login()
    with login.asking():
        login.missed(Late("slow"))
        login.after_fork()
        assert login.patience(1e-9) > 0.0


def test_a_row_of_failures_is_told_once() -> None:
    login = Login()
    assert [login.missed(OSError()), login.missed(OSError())] == [True, False]
    login.answered()
    assert login.missed(OSError())
