"""Open one connection to one node, with a deadline that is forced on every driver.

A dial runs in a thread of its own, because some drivers cannot be told how long to wait, and the caller must be free to
dial the next node after the stagger.  A dial that is late is abandoned: its room is given back at once, and what it
finishes with is closed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .. import fork
from ..config.address import Address
from ..core.booking.mode import greet
from ..core.view.node import Report, Role
from ..core.view.probe import Probe
from ..core.view.use import Use
from ..drivers.contract import Driver
from ..errors import ConfigError
from ..nodes.dial import (
    HOOK,
    Answer,
    CalledOff,
    Raised,
    Told,
    address_of,
    is_hooks,
    is_login_refused,
    is_refusal,
    late,
    means_of,
    more_time,
    recognized,
    target_of,
    told_at_connect,
)
from ..nodes.topology import Topology
from .background import in_background
from .login import credentials_for
from .mode import make


def connect(
    topology: Topology,
    driver: Driver,
    name: str,
    arguments: Mapping[str, Any] | None = None,
    hold: Callable[[Any], None] | None = None,
    in_full: bool = False,
    use: Use | None = None,
    told: Told | None = None,
) -> Probe:
    """Dial ``name`` and ask it what it is.  Returns the driver's connection and the node's report; blocks.

    ``arguments`` are the caller's driver arguments and win over the node's, but for address and credentials.  ``hold``
    is given the connection as soon as there is one, so that somebody else can abort it while its first answer is
    awaited.  ``in_full``: ask everything, as a probe does.  ``use``: what its sessions are made with.  ``told`` is told
    where a function of the program's raises, its password function or ``on_connect``.  Raises what the driver raises,
    what those raise, and `ConfigError`.
    """
    while True:
        address = address_of(topology, name)
        try:
            answer = _connected(topology, driver, name, address, arguments, hold, in_full, use, told)
        except Exception:
            # The node was given another address meanwhile: what the old one did is no news about the new one.
            if topology.is_at(name, address):
                raise
            if told is not None:
                told(None)
        else:
            if topology.is_at(name, address):
                return answer
            if hold is not None:
                hold(None)
            driver.close(answer.raw)


def _connected(
    topology: Topology,
    driver: Driver,
    name: str,
    address: Address,
    arguments: Mapping[str, Any] | None,
    hold: Callable[[Any], None] | None,
    in_full: bool,
    use: Use | None,
    told: Told | None,
) -> Probe:
    """As `connect`, to the address that the node has at this moment: it may have another one when this returns."""
    settings = topology.settings
    given = credentials_for(topology, address, False, told)
    target = target_of(topology, driver, name, arguments, given.address)
    if driver.own_thread(target.arguments) and not (arguments and driver.own_thread(arguments)):
        raise ConfigError(
            f"node {name!r}: what the pool and the probes open is used by several threads; ask dial() or connect() for"
            " one of a thread"
        )
    try:
        raw = driver.connect(target, settings.connect_timeout)
    except Exception as exc:
        if given.credentials is None or not is_login_refused(driver, exc):
            raise
        given.settled(False)
        # At once, before any pause: the user or the password may have been changed a moment ago.
        other = credentials_for(topology, address, True, told)
        if other.is_same(given):
            raise
        given = other
        raw = driver.connect(target_of(topology, driver, name, arguments, given.address), settings.connect_timeout)
    try:
        given.settled(True)
        if hold is not None:
            hold(raw)
        report = _asked(topology, driver, name, raw, in_full)
        try:
            make(greet(means_of(topology, driver, use)), driver, raw)
        except BaseException as exc:
            if told is not None and is_hooks(driver, raw, exc):
                told(Raised(HOOK, Probe(raw, report).news(name, driver.peer(raw))))
            raise
    except BaseException:
        if hold is not None:
            hold(None)  # before it is closed: nobody may abort a descriptor that is somebody else's by then
        driver.close(raw)
        raise
    return Probe(raw, report, ends=given.ends)


def _asked(topology: Topology, driver: Driver, name: str, raw: Any, in_full: bool) -> Report:
    """Ask a new connection what it has led to: as little as will do, unless ``in_full``."""
    pushed = None if in_full else told_at_connect(topology, driver, name, raw)
    if pushed is not None:
        who = driver.dialect.who(driver.ask(raw, driver.dialect.ask_who))
        if (known := recognized(topology, name, pushed, who)) is not None:
            return known
    return ask(driver, raw)


def ask(driver: Driver, raw: Any) -> Report:
    """Ask the node behind ``raw`` for its role and readiness, with the dialect's probe."""
    dialect, asked = driver.dialect, time.monotonic()
    if not dialect.probe:
        return Report(Role.PRIMARY)
    report = replace(dialect.report(driver.ask(raw, dialect.probe)), asked=asked)
    if not (further := dialect.ask_further(report)):
        return report
    try:
        answers = driver.ask(raw, further)
    except Exception as exc:
        if not is_refusal(driver, exc, raw):
            raise
        return report  # the node is believed as far as it has told
    return dialect.further(report, answers)


class Attempt:
    """One dial or probe that runs in a thread, and may be abandoned by another.

    The thread and whoever abandons it meet in `_settle`: the first of the two decides how the attempt ended, under the
    lock, so that its room is given back once, and a connection that is finished too late is closed by the thread that
    made it.
    """

    def __init__(
        self,
        topology: Topology,
        driver: Driver,
        name: str,
        work: Callable[[Attempt], Answer],
        ended: Callable[[Attempt], None],
        patience: float | None = None,
        came_late: Callable[[Any], object] | None = None,
        here: bool = False,
    ) -> None:
        """``patience``: seconds until it is late, by default ``connect_timeout``; ``came_late`` is given a result that
        nobody waits for.

        ``here``: what it opens can be used in the thread only that begins it, so it runs there.
        """
        self._here = here
        self.topology = topology
        self.driver = driver
        self.name = name
        self.began = time.monotonic()
        self.patience = topology.settings.connect_timeout if patience is None else patience
        self.deadline = self.began + self.patience
        self.seconds = 0.0
        self.result: Any = None
        self.error: BaseException | None = None
        self.let_in = self.late = False
        self.raised: Raised | None = None
        self._work = work
        self._ended = ended
        self._came_late = came_late
        self._raw: Any = None
        self._received: int | None = None
        self._settled = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin in a thread of its own, or run in this one."""
        if self._here:
            with fork.calls:
                self._run()
            return
        in_background(self._run, f"clustersql-dial-{self.topology.name}-{self.name}")

    def hold(self, raw: Any) -> None:
        """Remember the connection, so that `abandon` can wake a call that hangs on it; None: forget it."""
        with self._lock:
            self._raw, self._received = raw, None  # what another connection has received says nothing of this one

    def asks(self, raw: Any) -> None:
        """As `hold`, before a question is put on it.  Its time runs from here: until now it was this process that had
        to start a thread.
        """
        received = self.driver.received(raw)
        with self._lock:
            self._raw, self._received = raw, received
            self.deadline = max(self.deadline, time.monotonic() + self.patience)

    def heed(self, now: float, most: float) -> None:
        """Move the deadline where the node has sent something since it was asked, or since it was last heeded; see
        `more_time`.
        """
        # the thread may not close it, and its descriptor be reused, meanwhile; nor dial, and move the deadline itself
        with self._lock:
            raw = self._raw
            if raw is not None and not self._settled and self.driver.has_answered(raw, self._received):
                self._received = self.driver.received(raw)
                self.deadline = more_time(self, now, most)

    def entered(self, raw: Any) -> None:
        """As `hold`, of a connection that was dialled for this."""
        self.let_in = self.let_in or raw is not None
        self.hold(raw)

    def told(self, raised: Raised | None) -> None:
        """It is in this function of the program's, or that has raised; None: it is in none any more."""
        self.raised = raised

    def redial(self) -> None:
        """The open connection that it asked is gone, so it dials: that may take longer than one small answer."""
        self.patience = self.topology.settings.connect_timeout
        self.deadline = time.monotonic() + self.patience

    @property
    def settled(self) -> bool:
        """Whether it has ended, or was abandoned."""
        return self._settled

    @property
    def held(self) -> Any:
        """The connection that its thread is using now, if any."""
        return self._raw

    def let_go(self) -> None:
        """Forget the connection: from here on nobody may abort it."""
        with self._lock:
            self._raw = None

    def abandon(self) -> None:
        """Stop waiting for it: the node did not answer within its deadline."""
        with self._lock:
            raw, self._raw = self._raw, None
            if self._settled:
                return
            # Both under the lock.  Once it is cut, its thread is woken with the error of a connection that has ended:
            # if that could settle it first, a pooler that only keeps us waiting would be a dead node.  And the thread
            # may not close the connection, and its descriptor be reused, before it is cut.
            self._settled = self.late = True
            if raw is not None:
                self.driver.abort(raw)
        self._end(None, late(self))

    def cancel(self) -> None:
        """Nobody wants it any more, which says nothing about the node; it may not even have started."""
        self.raised = None
        self._settle(None, CalledOff())

    def _run(self) -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = self._work(self)
        except BaseException as exc:
            if self._here and not isinstance(exc, Exception):
                self._settle(None, exc)
                raise
            # In a thread of its own nobody else would hear of it (a library's timeout is a BaseException), and it would
            # be taken for a node that does not answer.
            error = exc
        self.let_go()
        if not self._settle(result, error) and result is not None:
            if self._came_late is not None:
                self._came_late(result)
            self.driver.close(result.raw)

    def _settle(self, result: Any, error: BaseException | None) -> bool:
        # The thread that `abandon` has woken comes here too, and finds it settled.
        with self._lock:
            if self._settled:
                return False
            self._settled = True
        self._end(result, error)
        return True

    def _end(self, result: Any, error: BaseException | None) -> None:
        self.result, self.error = result, error
        self.seconds = time.monotonic() - self.began
        self._ended(self)
