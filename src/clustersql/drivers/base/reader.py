"""What all adapters have in common, for threads and asyncio: reading errors and connection states.

Rules
-----
* An error is read by its codes first, then by the connection's state, by its text last; what stays unknown is the
  statement's own.
* At connect everything that the tables do not know is `Fault.LOST`: the node could not be reached.
* What is neither the driver's own error nor the end of its connection is `Fault.FOREIGN`, whatever the tables say
  (`foreign`).
* The text of an error that the driver calls its caller's mistake (`MISTAKES`) is not looked at: it may quote the
  caller.
* ``not_sent`` is claimed only where the driver's own source refuses before it writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any, ClassVar

from ...core.faults import Facts, Fault
from ...core.view.node import Role
from ...dialects import Dialect, by_name, classify, ends_session, never_sent
from ...errors import ConfigError, Form
from ..contract import Abilities, Target
from . import sockets
from .foreign import is_foreign, packages_of
from .surface import PEP_249, UNKNOWN_CONNECTION, UNKNOWN_CURSOR, Surface

Codes = tuple[str | None, int | None, str]
"""SQLSTATE, error number, text."""
MISTAKES = ("ProgrammingError", "DataError", "IntegrityError", "NotSupportedError")
"""PEP 249's classes for what is wrong with a statement or its values: https://peps.python.org/pep-0249/#exceptions."""


class BaseDriver:
    """A driver seen through `contract.AnyDriver`: what needs no round trip, the same for most drivers and for both
    APIs.
    """

    name: str
    family: str | None
    abilities: Abilities
    form: Form = Form()
    dialect_name: ClassVar[str] = "generic"
    numbers: ClassVar[Mapping[str, type]] = {}
    """Arguments that a URL gives as text and the driver wants as a number or truth."""
    connection_names: Surface = UNKNOWN_CONNECTION
    cursor_names: Surface = UNKNOWN_CURSOR
    keywords: tuple[str, str, str] = PEP_249
    packages: frozenset[str] = frozenset()
    """The packages that the driver's code is in, to tell its own exceptions from those that only passed through it."""
    mistakes: tuple[type[BaseException], ...] = ()
    """The classes by which the driver says that its caller is wrong: of these the text proves nothing."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.packages = packages_of(module.__name__)
        self.dialect: Dialect = by_name(self.dialect_name)
        self.error: type[BaseException] | tuple[type[BaseException], ...] = module.Error
        self.operational_error: type[BaseException] = module.OperationalError
        self.interface_error: type[BaseException] = module.InterfaceError
        self.mistakes = tuple(getattr(module, name) for name in MISTAKES if hasattr(module, name))

    def __repr__(self) -> str:
        return f"<driver {self.name}: {self.module.__name__}>"

    # What each adapter answers for itself

    def codes(self, exc: BaseException) -> Codes:
        """Return what the exception carries."""
        raise NotImplementedError

    def refused_unsent(self, exc: BaseException, codes: Codes) -> bool:
        """Tell whether the driver raised this before it wrote a byte."""
        return False

    def descriptor(self, raw: Any) -> int | None:
        """Return the socket's descriptor; None: unknown, or closed."""
        return None

    def descriptor_in_call(self, raw: Any) -> int | None:
        """Return the socket's descriptor, also while another thread is in a call."""
        return self.descriptor(raw)

    def is_closed(self, raw: Any) -> bool:
        """Tell whether this side knows that the connection is closed or broken."""
        raise NotImplementedError

    # What is changed of the driver's object for a caller, and put back

    def text(self, operation: Any, raw: Any) -> str | None:
        """Return the text of a statement that is neither str nor bytes; None: the driver has no such thing."""
        return None

    def stale(self, exc: BaseException) -> Fault | None:
        """Return which of the stale faults ``exc`` proves beyond its codes; None: none."""
        return None

    def last_word(self, raw: Any) -> str | None:
        """Return the SQLSTATE by which the server has ended the session, where the driver does not pass that on; None:
        not known.
        """
        return None

    def forget_plans(self, raw: Any) -> None:
        """Most drivers prepare nothing by themselves."""

    def before_change(self, raw: Any) -> None:
        """Most servers reset a session by themselves."""

    def sends(self, raw: Any) -> bool:
        """Tell whether setting a name that is only this side's otherwise would be sent to the server now."""
        return False

    def put(self, raw: Any, name: str, value: Any) -> None:
        """Set a name that is only this side's, without a round trip."""
        try:
            setattr(raw, name, value)
        except AttributeError:  # psycopg2's registries can only be changed in place
            if not isinstance(value, dict):
                raise
            registry = getattr(raw, name)
            if registry is not value:
                registry.clear()
                registry.update(value)

    def lend(self, raw: Any, name: str) -> Any:
        """Put a copy of a registry in its place, for a caller to change.  Returns the registry, for `put`."""
        registry = getattr(raw, name)
        lent = copy(registry)
        if isinstance(lent, dict):  # mysqlclient keeps lists in it
            lent.update({key: list(value) for key, value in lent.items() if isinstance(value, list)})
        self.put(raw, name, lent)
        return registry if getattr(raw, name) is lent else lent

    def undo(
        self, raw: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Callable[[], object] | None:
        """Return what undoes the registration that is about to be made; None: nothing can."""
        return None

    def is_foreign(self, exc: BaseException, raw: Any) -> bool:
        """Tell whether ``exc`` is neither the driver's own error nor the end of its connection; ``raw`` is where it was
        raised.
        """
        return is_foreign(exc, self.error, self.packages)

    def survives(self, exc: BaseException) -> bool:
        """Tell whether the connection is as good as before after a foreign exception: only where no answer can be
        pending.
        """
        return False

    # The same for all

    def facts(self, exc: BaseException, raw: Any | None) -> Facts:
        """Return what ``exc`` proves.  ``raw`` is the connection it came from; None: it was raised while connecting."""
        if raw is not None and self.is_foreign(exc, raw):
            return Facts(Fault.FOREIGN, lost=not self.survives(exc))
        sqlstate, errno, message = self.codes(exc)
        if raw is not None and sqlstate is None and errno is None:
            sqlstate = self.last_word(raw)
        codes = sqlstate, errno, message
        # A closed cursor "is not connected", and a parameter may be quoted: that is no news about the connection.
        said = "" if raw is not None and isinstance(exc, self.mistakes) else message
        fault = self.stale(exc) or classify(self.dialect, sqlstate, errno, said, connecting=raw is None)
        lost = raw is None or self._is_lost(fault, codes, exc, raw)
        if fault is None:
            fault = Fault.LOST if lost else Fault.STATEMENT
        unsent = raw is None or self.refused_unsent(exc, codes) or never_sent(self.dialect, sqlstate, message)
        undone = errno in self.dialect.undone_at_commit or sqlstate in self.dialect.undone_at_commit
        unheard = errno in self.dialect.unheard or sqlstate in self.dialect.unheard
        return Facts(fault, lost, unsent, undone and fault is not Fault.STATEMENT, sqlstate, errno, unheard)

    def _is_lost(self, fault: Fault | None, codes: Codes, exc: BaseException, raw: Any) -> bool:
        if fault is Fault.LOST or ends_session(self.dialect, codes[0], codes[1]) or self.is_closed(raw):
            return True
        return fault is None and isinstance(exc, OSError)

    def is_stale(self, raw: Any) -> bool:
        """Tell without a round trip whether an idle connection is dead.

        Here everything that can be read is the end: a server that speaks only when asked is silent while idle, and what
        it says then is why it closes.
        """
        descriptor = self.descriptor(raw)
        return descriptor is None or sockets.is_readable(descriptor)

    def abort(self, raw: Any) -> bool:
        """Wake a call that hangs on this connection in another thread; False: it is closed, or the driver cannot."""
        descriptor = self.descriptor(raw)
        return descriptor is not None and sockets.shut_down(descriptor)

    def own_thread(self, arguments: Mapping[str, Any]) -> bool:
        """Tell whether a connection with these arguments can only be used by the thread that has dialled it."""
        return False

    def socket(self, raw: Any) -> tuple[int, int] | None:
        """Return the descriptor's number and its socket's identity; None: it has none, or is closed."""
        descriptor = self.descriptor(raw)
        return None if descriptor is None else (descriptor, sockets.identity(descriptor))

    def unread(self, raw: Any, cursors: Sequence[Any]) -> bool:
        """Tell whether anything is still to be read; only drivers that leave results (`Abilities`) are asked."""
        return False

    def cut_off(self, raw: Any) -> None:
        """Shut the socket down."""
        self.abort(raw)

    def peer(self, raw: Any) -> str:
        """Return the address and port at the other end of its socket; "": not known."""
        descriptor = self.descriptor(raw)
        return sockets.peer(descriptor) if descriptor is not None else ""

    def received(self, raw: Any) -> int | None:
        """Return how many bytes have come from the node so far; None: not known."""
        descriptor = self.descriptor_in_call(raw)
        return None if descriptor is None else sockets.received(descriptor)

    def has_answered(self, raw: Any, since: int | None) -> bool:
        """Tell whether anything has come from the node since `received` was ``since``, or waits to be read."""
        descriptor = self.descriptor_in_call(raw)
        if descriptor is None:
            return False
        now = sockets.received(descriptor)
        return (None not in (now, since) and now != since) or sockets.is_readable(descriptor)

    def pushed_role(self, raw: Any) -> Role | None:
        """Return the role that the server told at connect; None: it did not."""
        return None

    def autocommit(self, raw: Any) -> bool | None:
        """Return the autocommit mode; None: the driver cannot tell."""
        return None

    def in_transaction(self, raw: Any) -> bool | None:
        """Tell whether a transaction is open; None: not known."""
        return None

    def failed_transaction(self, raw: Any) -> bool:
        """Tell that COMMIT would be a silent rollback; only PostgreSQL has such a state."""
        return False

    def session_id(self, raw: Any) -> int | None:
        """Return the server's number of this session; None: not known."""
        return None

    def folds(self, raw: Any) -> bool:
        """Tell whether `commit_folded` may be used now; where nothing is known of a driver it may not."""
        return False


SAME_NAMES: Mapping[str, str] = {name: name for name in ("host", "port", "user", "password", "database", "unix_socket")}
"""The target's fields under the driver's keywords, where these are the same."""


def server_arguments(target: Target, names: Mapping[str, str] = SAME_NAMES) -> dict[str, Any]:
    """Return the target's fields under the driver's keywords ``names``, without those that are not given."""
    given = {ours: getattr(target, ours) for ours in SAME_NAMES}
    return {names[ours]: value for ours, value in given.items() if value is not None and ours in names}


def converted(arguments: Mapping[str, Any], types: Mapping[str, type]) -> dict[str, Any]:
    """Return ``arguments`` with the texts of a URL's query made the numbers and truths that the driver wants.

    Raises ConfigError for a text that is none.

    >>> converted({"read_timeout": "5", "charset": "utf8mb4"}, {"read_timeout": float})
    {'read_timeout': 5.0, 'charset': 'utf8mb4'}
    """
    return {name: _convert(name, value, types[name]) if name in types else value for name, value in arguments.items()}


_TRUTHS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def _convert(name: str, value: Any, kind: type) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return _TRUTHS[value.lower()] if kind is bool else kind(value)
    except (KeyError, ValueError):
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, kind.__name__)
        raise ConfigError(f"{name}={value!r}: the driver wants {wanted}") from None


def no_dsn(name: str, target: Target) -> None:
    """Raise ConfigError when the target is a DSN string, which the driver called ``name`` does not take."""
    if target.dsn is not None:
        raise ConfigError(f"{name} takes no connection string; give a URL, or host, port, user, password and database")
