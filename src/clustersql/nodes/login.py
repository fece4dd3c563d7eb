"""Who logs in at one node, where a credentials provider says so; and with what, while the provider says nothing.

1. The provider is asked at every dial, and once more where the server refuses what it gave.
2. It may raise, return nonsense or hang: then a dial goes on with the credentials that have logged in last at that
   node, for as long as their lease lasts, or until the server refuses them.  Where there are none, its error is the
   dial's.
3. It gets half of ``connect_timeout`` where there is something to go on with, so that the other half is left for that.
   While one that was late still hangs, and for as long again, nobody waits for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..config.address import Address
from ..config.credentials import Credentials, checked, lease_margin
from ..core.words import first_line
from ..errors import ConfigError

if TYPE_CHECKING:
    from .topology import Topology

log = logging.getLogger("clustersql")


class Login:
    """What is known of the credentials for one node."""

    def __init__(self) -> None:
        self.accepted: Credentials | None = None
        """Those that have logged in last, and were not refused since."""
        self.failing = False
        """Whether the provider's latest answer was none."""
        self._late: float | None = None
        self._under_way: set[object] = set()

    def usable(self) -> Credentials | None:
        """Return what a dial can go on with where the provider gives nothing; None: there is nothing."""
        last = self.accepted
        return last if last is not None and (last.expires is None or last.expires > time.time()) else None

    def patience(self, connect_timeout: float) -> float:
        """Return how many seconds the provider is waited for; 0.0: it was late, and may hang still."""
        late = self._late
        if late is not None and (self._under_way or time.monotonic() < late + connect_timeout):
            return 0.0
        return connect_timeout / 2

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Call the provider within this, in whichever thread: whether one still hangs is known by it."""
        call = object()
        self._under_way.add(call)
        try:
            yield
        finally:
            self._under_way.discard(call)

    def settled(self, credentials: Credentials, let_in: bool) -> None:
        """The server has ``let_in`` who had these ``credentials``, or has refused them."""
        if let_in:
            self.accepted = credentials
        elif self.accepted == credentials:
            self.accepted = None

    def answered(self) -> None:
        """The provider has given something."""
        self._late, self.failing = None, False

    def missed(self, error: BaseException) -> bool:
        """The provider has given nothing.  Returns whether that is new."""
        if isinstance(error, Late):
            self._late = time.monotonic()
        new, self.failing = not self.failing, True
        return new

    def after_fork(self) -> None:
        """The parent's threads, which may hang in the provider, do not exist here."""
        self._under_way.clear()


class Late(TimeoutError):
    """The provider has not answered in its time."""


class Hangs(TimeoutError):
    """The provider was late, and so is not waited for."""


@dataclass(frozen=True, slots=True)
class Given:
    """What one dial logs in with."""

    address: Address
    """The node's, with user and password in it."""
    ends: float | None = None
    """When a connection that is opened with it is to be retired, in monotonic seconds; None: never for this."""
    credentials: Credentials | None = None
    """What a provider gave; None: there is no provider."""
    login: Login | None = None
    """What is known of the node's credentials; None: there is no provider."""

    def settled(self, let_in: bool) -> None:
        """The server has ``let_in`` who had these, or has refused them."""
        if self.login is not None and self.credentials is not None:
            self.login.settled(self.credentials, let_in)

    def is_same(self, other: Given) -> bool:
        """Whether both log in as the same user with the same password: to try it again would be for nothing."""
        one, two = self.credentials, other.credentials
        return one is not None and two is not None and (one.user, one.password) == (two.user, two.password)


def given_of(address: Address, answer: object, login: Login) -> Given:
    """Return what a dial logs in with, by what a provider has answered.  Raises `ConfigError` where that is nothing of
    the kind.
    """
    found = checked(answer, address.node)
    ends = None
    if found.expires is not None:
        seconds = found.expires - time.time()
        ends = time.monotonic() + seconds - lease_margin(max(0.0, seconds))
    return Given(replace(address, user=found.user, password=lambda: found.password), ends, found, login)


def answered(
    topology: Topology, address: Address, last: Credentials, answer: object, error: BaseException | None
) -> Given:
    """Return what a dial goes on with after the provider has ended with ``answer``, or with ``error``: where it gave
    nothing, the ``last`` credentials.
    """
    login = topology.login(address.node)
    if error is None:
        try:
            given = given_of(address, answer, login)
        except ConfigError as exc:
            error = exc
        else:
            login.answered()
            return given
    if login.missed(error):
        said = str(error) if isinstance(error, Late) else f"raised {type(error).__name__}: {first_line(error)}"
        text = f"the credentials provider {said}; those that have logged in last stay in use"
        topology.events.note("dial", address.node, text)
        log.warning("cluster %s: node %s: %s", topology.name, address.node, topology.without_passwords(text))
    return given_of(address, last, login)
