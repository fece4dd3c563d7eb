"""What both APIs know of the dials and probes that are under way, and what it means when one fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from inspect import iscoroutine
from types import MappingProxyType
from typing import Any, Protocol, TypeVar, cast

from ..config.address import Address, Template
from ..config.credentials import NodeAddress
from ..config.pooler import check_arguments
from ..core.booking.mode import Means
from ..core.booking.shelf import Session
from ..core.faults import Facts, Fault
from ..core.view.node import Report, Role
from ..core.view.observations import Answered, Silent, Unreachable
from ..core.view.servers import group, reached
from ..core.view.use import Use
from ..core.words import first_line
from ..drivers.contract import AnyDriver, Target
from ..errors import ConfigError
from .topology import Topology


class CalledOff(BaseException):
    """Ends a dial whose caller was interrupted while it began it: that is no news about the node."""


class Answer(Protocol):
    """What a dial or a question has ended with."""

    @property
    def raw(self) -> Any:
        """The driver's connection that it has used."""


class Dialling(Protocol):
    """A dial under way: `sync.dial.Attempt` or `aio.dial.Attempt`."""

    name: str
    """The node's name."""
    began: float
    """When, in monotonic seconds."""
    patience: float
    """Seconds that it, or the question that it asks, may take."""
    deadline: float
    """When it is late, in monotonic seconds."""
    seconds: float
    """How long it took; 0.0: it has not ended."""
    result: Any
    """What it has ended with, an `Answer`; None: nothing yet, or an error."""
    error: BaseException | None
    """What it has failed with."""
    let_in: bool
    """Whether it has logged in; what it still waits for is the answer to its question."""
    late: bool
    """Whether it was abandoned."""
    raised: Raised | None
    """Which function of the program's it is in, or has raised: so nothing is wrong with the node."""

    def heed(self, now: float, most: float) -> None:
        """Move the deadline where the node has sent something since it was asked, or since it was last heeded; see
        `more_time`.
        """

    @property
    def held(self) -> Any:
        """The driver's connection that it is working on, if any."""

    def start(self) -> None:
        """Begin."""

    def abandon(self) -> None:
        """Stop waiting for it: it is late."""

    def cancel(self) -> None:
        """Nobody wants it any more, which says nothing about the node."""


@dataclass(frozen=True, slots=True)
class Raised:
    """A function of the program's has raised in a dial, or has not answered, which is no news about the node."""

    who: str
    """How errors name it: `HOOK`, `PASSWORD` or `PROVIDER`."""
    answer: Answered | None = None
    """What the node had answered before; None: it was not asked yet."""


HOOK, PASSWORD, PROVIDER = "on_connect", "the password function", "the credentials provider"
Told = Callable[["Raised | None"], object]
"""Is told which function of the program's a dial is in, or has failed in; None: in none any more."""

D = TypeVar("D", bound=Dialling)


@dataclass(frozen=True, slots=True)
class Owed:
    """An answer that a node owes: to the statement that ``session`` began at ``started``.  ``number``: the server's of
    the session, if known.
    """

    session: Session
    started: float
    number: int | None

    def is_owed(self) -> bool:
        """Whether it still is, to the same statement."""
        session = self.session
        return session.started == self.started > session.ended and not session.tainted


@dataclass(frozen=True, slots=True)
class Order:
    """What a node is to do with a session of ours, which it knows by a number; later that may be the number of another
    one.
    """

    form: str
    """`Dialect.cancel` or `Dialect.terminate`."""
    number: int
    """The server's number of the session."""
    opened: float
    """When the session was opened, in monotonic seconds."""
    server: str = ""
    """Which server it is of (`server_of`); "": not known."""
    identity: str = ""
    """Which server has the session, as `Report.identity`; "": not told."""

    def is_for(self, identity: str) -> bool:
        """Whether it may be given to the server of that ``identity``: to another one, the number is a stranger's."""
        return not self.identity or identity == self.identity

    @property
    def statement(self) -> str:
        """The statement that says so now."""
        return self.form.format(self.number, f"{max(0.0, time.monotonic() - self.opened):.3f}")

    def is_anothers(self, uptime: Sequence[Sequence[Any]], report: Report) -> bool:
        """Tell whether the server, which answers `Dialect.uptime` so, in whole seconds, and the probe with ``report``,
        has begun since the session was opened, or is another one: an address can move.
        """
        if self.server and self.server != server_of(report):
            return True
        return any(float(row[-1]) + 1.0 < time.monotonic() - self.opened for row in uptime)


def server_of(report: Report) -> str:
    """Return which server has told this, for as long as it runs; "": it does not say."""
    told = (report.details.get(name, "") for name in ("hostname", "server_id"))
    return " ".join(one for one in told if one)


@dataclass(frozen=True, slots=True)
class Spare:
    """A connection that was opened for probes: when (monotonic seconds), how many seconds the latest answer on it
    took, and to which server (`Report.identity`).
    """

    raw: Any
    opened: float
    seconds: float
    identity: str = ""


def late(attempt: Dialling) -> TimeoutError:
    """Return the error of a dial or a question that is late: of the node, or of the program's function that it is
    in.
    """
    who = f"node {attempt.name!r}" if attempt.raised is None else "it"
    return TimeoutError(f"{who} did not answer within {attempt.patience:g} s")


def allowed(attempt: Dialling, now: float, stalled: float) -> float:
    """Return the deadline of a dial after this process did not run for ``stalled`` seconds: later by that, but no more
    than its patience.
    """
    return min(attempt.deadline + stalled, now + attempt.patience) if stalled else attempt.deadline


def more_time(attempt: Dialling, now: float, most: float) -> float:
    """Return the deadline of a question that is late although the node has answered: it is this process that has not
    come to heed it.

    With many busy threads, or a blocked event loop, an answer waits longer for us than the node took: a node must not
    be condemned for that.  One that froze in the middle of its answer has no more to say, and is late the next time.
    ``most``: seconds from its begin, in all.
    """
    return min(now + attempt.patience, attempt.began + most)


def judge(topology: Topology, attempt: Dialling, now: float, stalled: float) -> None:
    """Abandon a question that is late, unless the node is not to blame.  ``stalled``: seconds for which this process
    did not run.
    """
    if stalled:  # not otherwise: a probe that dials after all moves its deadline itself, in its own thread
        attempt.deadline = allowed(attempt, now, stalled)
    if attempt.deadline <= now:
        attempt.heed(now, attempt.patience + topology.settings.connect_timeout)
        if attempt.deadline <= now:
            attempt.abandon()


def patience(topology: Topology, dials: bool) -> float:
    """Seconds that a node may take: an open connection is asked one small question, so silence there says more than at
    a dial.
    """
    settings = topology.settings
    return settings.connect_timeout if dials else min(settings.connect_timeout, settings.stall_after)


class Probing(Protocol):
    """What asks each node what it is: `sync.prober.Prober` or `aio.prober.Prober`."""

    def tick(self, now: float, starving: bool, owed: Mapping[str, tuple[Owed, ...]], stalled: float) -> float:
        """Begin the probes that are due; return when to come again."""

    def say(self, name: str, order: Order) -> None:
        """Tell a node in the background what to do with a session of ours."""

    def spare(self, name: str) -> Spare | None:
        """Give the connection for probes to a node away; None: there is none."""

    def close(self) -> None:
        """Close its connections."""

    def after_fork(self) -> list[Any]:
        """Begin anew; return the parent's connections."""


def means_of(topology: Topology, driver: AnyDriver, use: Use | None = None) -> Means:
    """Return what the driver, its database and the user have for making a session ready; ``use``: what it
    is made with.
    """
    dialect, abilities = driver.dialect, driver.abilities
    hooks = (topology.settings.on_connect, None if use is None else use.on_connect)
    return Means(
        dialect.read_only_on,
        dialect.read_only_off,
        abilities.autocommit,
        abilities.shared_autocommit,
        dialect.reset_proof,
        tuple(hook for hook in hooks if hook is not None),
        abilities.reset_keeps_hook,
    )


def is_left_open(driver: AnyDriver, raw: Any, received: int | None) -> bool:
    """Whether the user's ``on_connect`` may have left a transaction open: then it is committed, or what was set in it
    would not hold.

    ``received``: what `AnyDriver.received` told before it; with nothing come since, it has executed nothing.  Raises
    `ConfigError` when a statement of it failed, and the hook went on.
    """
    if driver.failed_transaction(raw):
        raise hook_failed()
    is_open = driver.in_transaction(raw)
    return (received is None or driver.received(raw) != received) if is_open is None else is_open


def check_closed(driver: AnyDriver, raw: Any) -> None:
    """Raise `ConfigError` where a driver commits nothing in its autocommit mode, though the hook has begun a
    transaction by a statement.
    """
    if driver.autocommit(raw) and driver.in_transaction(raw):
        raise ConfigError(
            "on_connect leaves a transaction open that the driver does not commit in autocommit mode: commit it there"
        )


def hook_failed() -> ConfigError:
    """Return the error of a hook whose transaction has failed."""
    return ConfigError(
        "on_connect: a statement of its failed, and its transaction with it: nothing that it has set would hold"
    )


NODES_OWN = (Fault.LOST, Fault.NOT_READY, Fault.OVERLOADED)
"""What an error of the driver's says of the node, also where a statement of ``on_connect`` met it."""


def is_hooks(driver: AnyDriver, raw: Any, error: BaseException) -> bool:
    """Whether an error that ``on_connect`` has raised is its own, and so no news about the node.

    It is news where the driver's error says that the connection has ended, or that the node cannot work now; also where
    the hook has made an error of its own of that one.
    """
    seen: set[int] = set()
    inner: BaseException | None = error
    while inner is not None and id(inner) not in seen:
        seen.add(id(inner))
        if isinstance(inner, Exception) and not isinstance(inner, ConfigError):
            facts = driver.facts(inner, raw)
            if facts.fault is not Fault.FOREIGN and (facts.lost or facts.fault in NODES_OWN):
                return False
        inner = inner.__cause__ or inner.__context__
    return True


BEHIND = "pgbouncer let us in, and no server behind it answered: its pool is in use, it is paused, or the server hangs"


def tell_failure(
    topology: Topology, driver: AnyDriver, attempt: Dialling, error: BaseException, own: bool = True
) -> None:
    """Record that a dial or probe failed with ``error``; where that is a function's of the program's, it is no news
    about the node.

    ``own`` False: its address was dialled, which may lead to other servers too.
    """
    if attempt.raised is not None:
        who, answer = attempt.raised.who, attempt.raised.answer
        topology.events.note("dial", attempt.name, f"{who} raised {type(error).__name__}: {first_line(error)}")
        if answer is not None:
            topology.tell(answer)
        return
    topology.failed(attempt.name, error)
    topology.events.note("dial", attempt.name, f"it failed: {type(error).__name__}: {first_line(error)}")
    if is_behind(topology, driver, attempt, error):
        topology.tell(Silent(attempt.name, BEHIND))
    else:
        topology.tell(Unreachable(attempt.name, connect_facts(driver, error).fault, first_line(error), own))


def is_callers(driver: AnyDriver, error: BaseException) -> bool:
    """Whether an error at connect may be due to the arguments of the one who dials, and so is no news about the node.

    What the server refuses for good (no such database, no right to it), what the driver takes for a mistake of the
    program, and what is none of its errors: an argument that it does not know.
    """
    if not isinstance(error, (OSError, *_kinds(driver.error))) or isinstance(error, _kinds(_mistake(driver))):
        return True
    return connect_facts(driver, error).fault is Fault.MISCONFIGURED


def _mistake(driver: AnyDriver) -> Any:
    return getattr(driver.module, "ProgrammingError", ())


def _kinds(error: Any) -> tuple[type[BaseException], ...]:
    return error if isinstance(error, tuple) else (error,)


def is_behind(topology: Topology, driver: AnyDriver, attempt: Dialling, error: BaseException) -> bool:
    """Whether it was a pooler's queue that gave no answer: it is alive, and has let us in."""
    if not (attempt.let_in and topology.is_shared(attempt.name)):
        return False
    return attempt.late or connect_facts(driver, error).fault is Fault.OVERLOADED


def is_refusal(driver: AnyDriver, error: Exception, raw: Any) -> bool:
    """Whether the node has answered a question with no (a privilege that is not granted), and works on."""
    facts = driver.facts(error, raw)
    return facts.fault is Fault.STATEMENT and not facts.lost


def is_answer(driver: AnyDriver, error: Exception, raw: Any) -> bool:
    """Whether an error is what the node has answered to a question of ours, after which its connection works on.

    After one that is not the driver's the answer may be on its way still: whoever is lent the connection next would
    read it as the answer to his own statement.
    """
    facts = driver.facts(error, raw)
    return facts.fault is not Fault.FOREIGN and not facts.lost and not driver.is_closed(raw)


def connect_facts(driver: AnyDriver, error: BaseException) -> Facts:
    """Return what an error at connect proves."""
    if isinstance(error, ConfigError):
        return Facts(Fault.MISCONFIGURED, lost=True, not_sent=True)
    return driver.facts(error, None)


def resolve(address: Address) -> Target:
    """Return what the driver is given: the environment is read, the password asked for.  Call it at every dial.

    Raises `ConfigError` for a variable that is not set, a password file that cannot be read, a password function that
    returns no text, or a TLS context's that cannot make one.  What a password function raises passes through.
    """
    texts = {name: _plain(getattr(address, name), address.node) for name in _TEXTS}
    if callable(address.user):
        texts["user"] = address.user()
    arguments = _contexts(cast("dict[str, Any]", _plain(address.arguments, address.node)), address.node)
    shared = address.via is not None
    return Target(**texts, port=address.port, password=resolve_password(address), shared=shared, arguments=arguments)


def _contexts(arguments: dict[str, Any], node: str) -> dict[str, Any]:
    """Return a driver's arguments with a TLS context made where a function stands for it."""
    made = {name: value for name in TLS_CONTEXTS if callable(value := arguments.get(name))}
    if not made:
        return arguments
    try:
        return arguments | {name: function() for name, function in made.items()}
    except OSError as exc:  # a file that is not there, or is none; ssl.SSLError is one
        raise ConfigError(f"node {node!r}: the function for {', '.join(made)} raised: {first_line(exc)}") from exc


TLS_CONTEXTS = ("ssl", "ssl_context")
"""Drivers' names for an `ssl.SSLContext`.  What it has read is never read again, so a function may stand for it, which
is called at every dial."""
_TEXTS = ("host", "user", "database", "unix_socket", "dsn")


def place_of(address: Address) -> NodeAddress:
    """Return what a credentials provider is told of the node.  Raises `ConfigError` as `resolve`."""
    host, database = (_plain(value, address.node) for value in (address.host, address.database))
    return NodeAddress(address.node, host, address.port, database)


def is_login_refused(driver: AnyDriver, error: BaseException) -> bool:
    """Whether the server has refused who logs in, or the password: other credentials may do."""
    return isinstance(error, Exception) and connect_facts(driver, error).fault is Fault.MISCONFIGURED


def resolve_password(address: Address) -> str | None:
    """Return the password as it is now; see `resolve` for what it raises."""
    password = address.password() if callable(address.password) else _plain(address.password, address.node)
    return checked_password(password, address.node)


def checked_password(password: object, node: str) -> str | None:
    """Return what a password function has returned; raises `ConfigError` where that is no password."""
    if password is None or isinstance(password, str):
        return password
    if iscoroutine(password):
        password.close()  # or Python warns that it was never awaited, far from the cause
    found = type(password).__name__
    raise ConfigError(f"node {node!r}: {PASSWORD} must return a text or None, not {found}")


@contextmanager
def asking(told: Told | None, ends: tuple[type[BaseException], ...] = (), who: str = PASSWORD) -> Iterator[None]:
    """Call a function of the program's within this: until it has answered, ``told`` is told that the dial is in it, as
    where it raises.  ``who``: how errors name it.

    Not for `ConfigError`, which names what is wrong with the configuration, nor for ``ends``, which end the dial
    itself.
    """
    if told is None:
        yield
        return
    told(Raised(who))
    try:
        yield
    except BaseException as exc:
        if isinstance(exc, (ConfigError, *ends)):
            told(None)
        raise
    told(None)


def _plain(value: Any, node: str) -> Any:
    """Return ``value`` with every `Template` in it expanded; what holds none is the same object as before."""
    if isinstance(value, Template):
        return value.expand(node)
    if isinstance(value, MappingProxyType | dict):
        return {key: _plain(item, node) for key, item in value.items()}
    return [_plain(item, node) for item in value] if type(value) is list else value


NODE_ARGUMENTS = frozenset(
    "host hostaddr port unix_socket unix_sock user username password passwd passfile dsn conninfo".split()
)
"""Drivers' names for address and credentials.  Those are the node's: a program's unchanged ``connect(host=...)`` would
lead all dials to one host."""


DATABASE_ARGUMENTS = frozenset("database dbname db".split())
"""Drivers' names for the database.  That is the caller's, where he names one: a test runner that works in a database of
its own must never get the node's, whatever the driver would make of two names."""


def address_of(topology: Topology, name: str) -> Address:
    """Return the address of a node.  Raises `ConfigError` when it was removed meanwhile."""
    address = topology.addresses.get(name)
    if address is None:
        raise ConfigError(f"cluster {topology.name!r} has no node {name!r} any more")
    return address


def target_of(
    topology: Topology,
    driver: AnyDriver,
    name: str,
    arguments: Mapping[str, Any] | None = None,
    address: Address | None = None,
) -> Target:
    """Return where and how to connect to ``name``, everything resolved.

    ``arguments`` are the caller's driver arguments and win over the node's, but for address and credentials; a database
    that is None is none at all.  ``address`` is given where its password was asked for already.  Raises `ConfigError`,
    and what a password function raises.
    """
    target = resolve(address or address_of(topology, name))
    if target.password:
        topology.passwords[name] = target.password
    if arguments:
        if target.shared:
            check_arguments(name, arguments)
        target = _with_callers(target, _callers(arguments, driver.family))
    return target


def told_at_connect(topology: Topology, driver: AnyDriver, name: str, raw: Any) -> Role | None:
    """Return the role that the server told at connect, without a round trip, where that confirms what is known; then
    only which server it is has to be asked (`recognized`).  None: everything must be asked.

    A pooler tells what the server told *it*, some time ago.
    """
    if topology.is_shared(name) or not driver.dialect.ask_who:
        return None
    nodes, node, pushed = topology.view.nodes, topology.view.by_name.get(name), driver.pushed_role(raw)
    if pushed is None or node is None or not any(one.confirmed_by(pushed) for one in group(nodes, node)):
        return None
    return pushed


def recognized(topology: Topology, name: str, pushed: Role, who: tuple[str, str]) -> Report | None:
    """Return what is known of the server that says ``who`` it is, where it has the role that it ``pushed``; None:
    everything must be asked.
    """
    identity, server = who
    node = topology.view.by_name.get(reached(topology.view.nodes, name, server, identity))
    if node is None or node.identity != identity or not node.confirmed_by(pushed):
        return None
    return Report(pushed, complete=False, identity=identity, server=server)


def _with_callers(target: Target, given: Mapping[str, Any]) -> Target:
    if not DATABASE_ARGUMENTS.isdisjoint(given):
        others = {name: value for name, value in target.arguments.items() if name not in DATABASE_ARGUMENTS}
        target = replace(target, database=None, arguments=others)
    named = {name: value for name, value in given.items() if value is not None or name not in DATABASE_ARGUMENTS}
    return replace(target, arguments={**target.arguments, **named})


def _callers(arguments: Mapping[str, Any], family: str | None) -> dict[str, Any]:
    """Return what a caller may set: not where, nor as whom.  SQLite's address is its database."""
    fixed = NODE_ARGUMENTS | {"database"} if family == "sqlite" else NODE_ARGUMENTS
    return {name: value for name, value in arguments.items() if name not in fixed}
