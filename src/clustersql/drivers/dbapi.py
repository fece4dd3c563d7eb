"""Any other PEP 249 module.  What PEP 249 does not say stands in a `Profile`: of psycopg2 and pg8000, or guessed.

Guesses are made only where a wrong one does no harm: an unknown driver is never believed that no transaction is open,
and nothing of it counts as "not sent".
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from weakref import WeakKeyDictionary

from ..dialects import by_name
from ..errors import GENERAL, ConfigError, Form
from .base import sockets
from .base.adapter import Adapter, Codes, LocalAutocommit, converted, server_arguments
from .base.libpq import NAMES as LIBPQ_NAMES
from .base.libpq import libpq_defaults, libpq_fields
from .base.surface import CONNECTION, CURSOR, ERRORS, PEP_249, UNKNOWN_CONNECTION, UNKNOWN_CURSOR, Surface, surface
from .contract import Abilities, Target

_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Profile:
    """What PEP 249 leaves open, for one driver."""

    name: str
    """The name by which the driver is chosen."""
    family: str | None
    """Which URLs it takes; None: any."""
    dialect: str
    """The name of the database's dialect."""
    abilities: Abilities
    """What the driver can do."""
    names: Mapping[str, str]
    """Our name of a field of the target -> the driver's keyword."""
    codes: Callable[[BaseException], Codes]
    """Reads SQLSTATE and number off an error."""
    descriptor: Callable[[Any], int | None]
    """The file descriptor of a connection's socket; None: not known."""
    closed: Callable[[Any], bool]
    """Whether this side knows that a connection is closed."""
    status: Callable[[Any], bool | None]
    """Whether a transaction is open; None: not known."""
    timeout: str | None = None
    """The keyword of the connect timeout, in seconds."""
    numbers: Mapping[str, type] = field(default_factory=dict)
    """The arguments that the driver wants as a number, which a URL has as a text, and its type."""
    unsent: tuple[str, ...] = ()
    """The whole texts of errors that the driver raises before it writes."""
    defaults: Callable[[float], Mapping[str, Any]] = lambda timeout: _NONE
    """The arguments of a connect with this timeout, in seconds, that the caller's win over."""
    fields: Callable[[Target], dict[str, Any]] | None = None
    """Makes the arguments of a target, where that is more than `names`."""
    opened: Callable[[Any, Mapping[str, Any]], None] = lambda raw, given: None
    """Called with a new connection and the user's arguments."""
    has_news: Callable[[Any, int], bool] = lambda raw, descriptor: False
    """Whether what can be read of an idle connection is harmless."""
    takes_dsn: bool = True
    """Whether it has a connection string of its own."""
    leaving: str = "commit"
    """What ``with connection:`` does at its end."""
    failed: Callable[[Any], bool] = lambda raw: False
    """Whether the open transaction has failed."""
    session: Callable[[Any], int | None] = lambda raw: None
    """The server's number of the session."""
    read_only: Callable[[Any, bool], None] | None = None
    """Begins transactions by BEGIN READ ONLY from now on, or as ever."""
    wants_password: Callable[[BaseException], bool] = lambda exc: False
    """Whether an error at connect says in the driver's own way that a password is missing."""
    form: Form = field(default_factory=Form)
    """What a program may ask of its errors."""
    connection_names: Surface = UNKNOWN_CONNECTION
    """What the public names of its connection do."""
    cursor_names: Surface = UNKNOWN_CURSOR
    """The same for its cursor."""
    keywords: tuple[str, str, str] = PEP_249
    """The names of the parameters of its ``execute``, and of the rows of its ``executemany``."""
    text: Callable[[Any, Any], str | None] = lambda operation, raw: None
    """The text of a statement that is neither str nor bytes."""
    fold: Callable[[Any, str], object] | None = None
    """Runs a text of several statements that ends with COMMIT; None: the driver would not notice its COMMIT."""
    sends: Callable[[Any], bool] = lambda raw: False
    """Whether setting a name that is only this side's otherwise would be sent to the server now."""


class Generic(Adapter):
    """Adapter for a PEP 249 module, guided by a profile."""

    def __init__(self, module: Any, profile: Profile) -> None:
        super().__init__(module)
        self.profile = profile
        self.name, self.family, self.abilities = profile.name, profile.family, profile.abilities
        self.dialect = by_name(profile.dialect)
        self.leaving, self.form = profile.leaving, profile.form
        self.connection_names, self.cursor_names = profile.connection_names, profile.cursor_names
        self.keywords = profile.keywords

    def connect(self, target: Target, timeout: float) -> Any:
        """Connect; ``timeout`` in seconds is passed where the driver takes one."""
        profile = self.profile
        given = converted(target.arguments, profile.numbers)
        fields = profile.fields(target) if profile.fields else server_arguments(target, profile.names)
        self._refuse_unknown(target)
        defaults = profile.defaults(timeout) or ({profile.timeout: timeout} if profile.timeout else {})
        missing = {name: value for name, value in defaults.items() if not _names(target.dsn, name)}
        try:
            raw = self.module.connect(*([] if target.dsn is None else [target.dsn]), **(missing | fields | given))
        except Exception as exc:
            if target.password is None and profile.wants_password(exc):
                raise ConfigError(f"{self.name}: the server asks for a password, and none is given") from exc
            raise
        profile.opened(raw, given)
        if "tcp_user_timeout" not in defaults and (descriptor := self.descriptor(raw)) is not None:
            sockets.keep_alive(descriptor)
        return raw

    def _refuse_unknown(self, target: Target) -> None:
        if target.dsn is not None and not self.profile.takes_dsn:
            raise ConfigError(f"{self.name} takes no connection string; give host, port, user, password and database")
        for name in ("host", "port", "user", "password", "database", "unix_socket"):
            if getattr(target, name) is not None and name not in self.profile.names:
                raise ConfigError(
                    f"{self.name}: its connect has no argument that we know for {name}; give its own instead"
                )

    def codes(self, exc: BaseException) -> Codes:
        """Return what the exception carries."""
        return self.profile.codes(exc)

    def refused_unsent(self, exc: BaseException, codes: Codes) -> bool:
        """Tell by the whole text."""
        return isinstance(exc, self.interface_error) and codes[2] in self.profile.unsent

    def descriptor(self, raw: Any) -> int | None:
        """Return the socket's descriptor, where it is known."""
        return self.profile.descriptor(raw)

    def is_closed(self, raw: Any) -> bool:
        """Tell whether this side knows that it is closed."""
        return self.profile.closed(raw)

    def is_stale(self, raw: Any) -> bool:
        """Tell by the socket where there is one; otherwise only whether this side closed it."""
        descriptor = self.descriptor(raw)
        if descriptor is None:
            return self.abilities.descriptor or self.is_closed(raw)
        return sockets.is_readable(descriptor) and not self.profile.has_news(raw, descriptor)

    def set_read_only(self, raw: Any, on: bool) -> None:
        """Do as the profile says."""
        assert self.profile.read_only is not None, "only asked of drivers that can (`Abilities.shared`)"
        self.profile.read_only(raw, on)

    def folds(self, raw: Any) -> bool:
        """Tell by the profile."""
        return self.profile.fold is not None

    def commit_folded(self, raw: Any, text: str) -> None:
        """Do as the profile says."""
        assert self.profile.fold is not None, "only asked of drivers that can (`folds`)"
        self.profile.fold(raw, text)

    def text(self, operation: Any, raw: Any) -> str | None:
        """Return the text, where the profile can tell it."""
        return self.profile.text(operation, raw)

    def sends(self, raw: Any) -> bool:
        """Tell by the profile."""
        return self.profile.sends(raw)

    def failed_transaction(self, raw: Any) -> bool:
        """Tell what the driver knows."""
        return self.profile.failed(raw)

    def session_id(self, raw: Any) -> int | None:
        """Tell what the driver knows."""
        return None if self.is_closed(raw) else self.profile.session(raw)

    def in_transaction(self, raw: Any) -> bool | None:
        """Tell what the driver knows for sure."""
        return None if self.is_closed(raw) else self.profile.status(raw)


class GenericLocal(Generic, LocalAutocommit):
    """The same for drivers with PEP 249's optional ``autocommit`` attribute."""


class Psycopg2(GenericLocal):
    """psycopg2.  libpq drops what the server has said before it ended the session ("server closed the connection
    unexpectedly"), and that tells whether it can have read a COMMIT: so it is looked for before one is sent.
    """

    def __init__(self, module: Any, profile: Profile) -> None:
        super().__init__(module, profile)
        self._words: WeakKeyDictionary[Any, str] = WeakKeyDictionary()

    def to_the_end(self, raw: Any, call: Callable[[], Any]) -> Any:
        """Call ``call``, a COMMIT."""
        descriptor = self.descriptor(raw)
        if descriptor is not None and sockets.is_readable(descriptor):
            word = sockets.last_word(sockets.peek(descriptor))
            if word is not None:
                self._words[raw] = word
        return call()

    def last_word(self, raw: Any) -> str | None:
        """Return what was found before a COMMIT."""
        return self._words.get(raw)


def _names(dsn: str | None, keyword: str) -> bool:
    """Whether the connection string sets ``keyword`` itself, and so must not be overruled."""
    return dsn is not None and f"{keyword}=" in dsn.replace(" ", "")


def _first_text(exc: BaseException) -> str:
    return str(exc.args[0]) if len(exc.args) == 1 else str(exc)


# psycopg2


def _psycopg2_descriptor(raw: Any) -> int | None:
    return None if raw.closed else raw.fileno()


def _psycopg2_status(raw: Any) -> bool | None:
    status = raw.get_transaction_status()
    return None if status == 4 else status != 0  # libpq: 4 unknown, 0 idle


def _psycopg2_news(raw: Any, descriptor: int) -> bool:
    """A notification is taken in and stays for the user; what is still to read after that is the end."""
    if not raw.info.ssl_in_use and not sockets.only_news(sockets.peek(descriptor)):
        return False
    with contextlib.suppress(Exception):
        raw.poll()
        return not raw.closed and not sockets.is_readable(descriptor)
    return False


def _psycopg2_read_only(raw: Any, on: bool) -> None:
    raw.readonly = on or None


def _psycopg2_text(operation: Any, raw: Any) -> str | None:
    """Composed SQL quotes its parts by the connection's encoding."""
    if not hasattr(operation, "as_string"):
        return None
    text: str = operation.as_string(raw)
    return text


PSYCOPG2_CONNECTION = surface(
    tells=f"{ERRORS} async async_ closed dsn encoding fileno get_backend_pid get_dsn_parameters get_parameter_status"
    " get_transaction_status info isexecuting notices notifies pgconn_ptr protocol_version server_version status xid",
    local="cursor_factory deferrable isolation_level",
    access="readonly",
    lent="binary_types string_types",
    sets={
        "set_isolation_level": ("isolation_level",),
        "set_session": ("isolation_level", "readonly", "deferrable"),
    },
    mode="autocommit",
    replaces="reset",
    ours=CONNECTION,
    unmanaged="cancel get_native_connection lobject poll set_client_encoding tpc_begin tpc_commit tpc_prepare"
    " tpc_recover tpc_rollback",
)
PSYCOPG2_CURSOR = surface(
    tells="arraysize binary_types cast closed description itersize lastrowid mogrify name nextset pgresult_ptr query"
    " row_factory rowcount rownumber scroll scrollable setinputsizes setoutputsize statusmessage string_types"
    " typecaster tzinfo_factory withhold",
    ours=CURSOR,
    unmanaged="callproc copy_expert copy_from copy_to",
)

PSYCOPG2 = Profile(
    name="psycopg2",
    family="postgresql",
    dialect="postgresql",
    abilities=Abilities(descriptor=True, transaction_status=True, autocommit=True, connect_timeout=True, shared=True),
    read_only=_psycopg2_read_only,
    names=LIBPQ_NAMES | {"unix_socket": "host"},
    fields=libpq_fields,
    defaults=libpq_defaults,
    codes=lambda exc: (getattr(exc, "pgcode", None), None, str(exc)),
    descriptor=_psycopg2_descriptor,
    closed=lambda raw: bool(raw.closed),
    status=_psycopg2_status,
    failed=lambda raw: raw.get_transaction_status() == 3,
    session=lambda raw: raw.get_backend_pid() or None,
    unsent=("connection already closed", "cursor already closed"),
    has_news=_psycopg2_news,
    form=Form(unsent=("cursor", "diag")),
    connection_names=PSYCOPG2_CONNECTION,
    cursor_names=PSYCOPG2_CURSOR,
    keywords=("query", "vars", "vars_list"),
    text=_psycopg2_text,
    # In autocommit mode its isolation level and the like are settings of the server's session.
    sends=lambda raw: bool(raw.autocommit),
)


# pg8000: pure Python; its socket and its status are private, but have kept their names since 1.16


def _pg8000_codes(exc: BaseException) -> Codes:
    told = exc.args[0] if exc.args and isinstance(exc.args[0], dict) else _pg8000_told_before(exc)
    return told.get("C"), None, str(told.get("M", _first_text(exc)))


def _pg8000_told_before(exc: BaseException) -> dict[str, Any]:
    """Return the fields of the error by which the server has ended the session; {}: there was none.

    ``handle_messages`` has read it when it meets the end of file, and says only "network error": it is in its frame.
    """
    trace = exc.__traceback__
    while trace is not None:
        error = getattr(trace.tb_frame.f_locals.get("context"), "error", None)
        if error is not None and error.args and isinstance(error.args[0], dict):
            return error.args[0] if error.args[0].get("V") in ("FATAL", "PANIC") else {}
        trace = trace.tb_next
    return {}


def _pg8000_fields(text: str, cause: BaseException | None) -> tuple[Any, ...]:
    """The fields of the server's message, by the letters of the protocol."""
    told = cause.args[0] if cause is not None and cause.args and isinstance(cause.args[0], dict) else {}
    return ({"S": "ERROR", "V": "ERROR", "C": GENERAL, **told, "M": text},)


def _pg8000_descriptor(raw: Any) -> int | None:
    sock = getattr(raw, "_usock", None)
    descriptor = -1 if sock is None else sock.fileno()
    return None if descriptor < 0 else descriptor


def _pg8000_status(raw: Any) -> bool | None:
    """The byte of the last ReadyForQuery; none yet after connecting.  Without the (private) field: not known."""
    status = getattr(raw, "_transaction_status", b"?")
    return status not in (None, b"I") if status in (None, b"I", b"T", b"E") else None


def _pg8000_session(raw: Any) -> int | None:
    """The pid comes first in the (private) message BackendKeyData."""
    key = getattr(raw, "_backend_key_data", None)
    return int.from_bytes(key[:4]) if key else None


def _pg8000_wants_password(exc: BaseException) -> bool:
    """For SCRAM it looks at no password as at one; for the others it says so."""
    return isinstance(exc, AttributeError) or "no password was provided" in str(exc)


def _pg8000_opened(raw: Any, given: Mapping[str, Any]) -> None:
    """Its timeout is the socket's, and would end every slow statement too: that is meant only if the user set it."""
    if getattr(raw, "_usock", None) is not None:
        raw._usock.settimeout(given.get("timeout"))


def _pg8000_news(raw: Any, descriptor: int) -> bool:
    """It cannot take a notification in without a statement, but the next one does.  Over TLS nothing can be seen."""
    encrypted = hasattr(raw._usock, "cipher")
    return not encrypted and sockets.only_news(sockets.peek(descriptor))


def _pg8000_read_only(raw: Any, on: bool) -> None:
    """Its cursor has "begin transaction" sent by the connection: by a subclass's method, which makes no cycle, as a
    closure would.
    """
    kind = type(raw)
    if on and not hasattr(kind, "_begins_read_only"):

        def execute_simple(self: Any, statement: str) -> Any:
            return kind.execute_simple(self, "BEGIN READ ONLY" if statement == "begin transaction" else statement)

        raw.__class__ = type(kind.__name__, (kind,), {"execute_simple": execute_simple, "_begins_read_only": True})
    elif not on and hasattr(kind, "_begins_read_only"):
        raw.__class__ = kind.__mro__[1]


PG8000_CONNECTION = surface(
    tells=f"{ERRORS} auth message_types notices notifications parameter_statuses password user xid",
    lent="pg_types py_types",
    sets={"register_in_adapter": ("pg_types",), "register_out_adapter": ("py_types",)},
    mode="autocommit",
    ours=CONNECTION,
    unmanaged="close_prepared_statement execute_named execute_simple execute_unnamed handle_AUTHENTICATION_REQUEST"
    " handle_BACKEND_KEY_DATA handle_BIND_COMPLETE handle_CLOSE_COMPLETE handle_COMMAND_COMPLETE handle_COPY_DATA"
    " handle_COPY_DONE handle_COPY_IN_RESPONSE handle_COPY_OUT_RESPONSE handle_DATA_ROW handle_EMPTY_QUERY_RESPONSE"
    " handle_ERROR_RESPONSE handle_NOTICE_RESPONSE handle_NOTIFICATION_RESPONSE handle_NO_DATA"
    " handle_PARAMETER_DESCRIPTION handle_PARAMETER_STATUS handle_PARSE_COMPLETE handle_PORTAL_SUSPENDED"
    " handle_READY_FOR_QUERY handle_ROW_DESCRIPTION handle_messages prepare_statement send_BIND"
    " send_DESCRIBE_STATEMENT send_EXECUTE send_PARSE send_QUERY tpc_begin tpc_commit tpc_prepare tpc_recover"
    " tpc_rollback",
)
PG8000_CURSOR = surface(
    tells="arraysize description input_types rowcount setinputsizes setoutputsize",
    ours=CURSOR,
    unmanaged="callproc",
)

PG8000 = Profile(
    name="pg8000",
    family="postgresql",
    dialect="postgresql",
    # A statement with parameters goes out in three parts, each with a Sync of its own: between them, outside a
    # transaction, a pooler may give the session to somebody else, whose unnamed statement would be executed in place of
    # ours.
    abilities=Abilities(
        descriptor=True,
        transaction_status=True,
        autocommit=True,
        connect_timeout=True,
        shared=True,
        shared_autocommit=False,
    ),
    read_only=_pg8000_read_only,
    fold=lambda raw, text: raw.execute_simple(text),
    names={"unix_socket": "unix_sock"} | {name: name for name in ("host", "port", "user", "password", "database")},
    timeout="timeout",
    numbers={"port": int, "timeout": float, "tcp_keepalive": bool},
    codes=_pg8000_codes,
    descriptor=_pg8000_descriptor,
    closed=lambda raw: _pg8000_descriptor(raw) is None,
    status=_pg8000_status,
    failed=lambda raw: getattr(raw, "_transaction_status", None) == b"E",
    session=_pg8000_session,
    leaving="close",
    opened=_pg8000_opened,
    wants_password=_pg8000_wants_password,
    unsent=("connection is closed", "Cursor closed"),
    has_news=_pg8000_news,
    form=Form(args=_pg8000_fields),
    takes_dsn=False,
    connection_names=PG8000_CONNECTION,
    cursor_names=PG8000_CURSOR,
    keywords=("operation", "args", "param_sets"),
)

PROFILES = {"psycopg2": PSYCOPG2, "pg8000": PG8000, "pg8000.dbapi": PG8000}


# Unknown modules

_DIALECTS = {
    "pymysql": "mysql",
    "psycopg2cffi": "postgresql",
    "pg8000.legacy": "postgresql",
    "pgdb": "postgresql",
    "pysqlite3": "sqlite",
}
_KEYWORDS = {
    "host": ("host", "hostname", "server"),
    "port": ("port",),
    "user": ("user", "username"),
    "password": ("password", "passwd"),
    "database": ("database", "dbname", "db"),
    "unix_socket": ("unix_socket", "unix_sock"),
}
_TIMEOUTS = ("connect_timeout", "connection_timeout", "login_timeout")


def guess(module: Any) -> Profile:
    """Return a profile for a module that we do not know, from its connect's signature and its connection class."""
    names, timeout = _keywords(module.connect)
    connection = getattr(module, "Connection", None) or getattr(module, "connection", None)
    dialect = _DIALECTS.get(module.__name__, "generic")
    return Profile(
        name=module.__name__,
        family=None if dialect == "generic" else dialect,
        dialect=dialect,
        abilities=Abilities(
            descriptor=hasattr(connection, "fileno"),
            transaction_status=False,
            autocommit=_is_attribute(connection, "autocommit"),
            connect_timeout=timeout is not None,
            leaves_results=True,
            fetch_reads=True,
        ),
        names=names,
        timeout=timeout,
        numbers={"port": int} | ({timeout: float} if timeout else {}),
        codes=_guessed_codes,
        descriptor=_guessed_descriptor,
        closed=_guessed_closed,
        status=lambda raw: True if getattr(raw, "in_transaction", None) is True else None,
    )


def _is_attribute(connection: Any, name: str) -> bool:
    """PEP 249's optional extension is an attribute; a method of that name (MySQL's drivers) is something else."""
    return hasattr(connection, name) and not callable(getattr(connection, name))


def _keywords(connect: Any) -> tuple[dict[str, str], str | None]:
    """The keywords of ``connect``; those that PEP 249 suggests where it does not name its own."""
    try:
        known = set(inspect.signature(connect).parameters)
    except (TypeError, ValueError):
        known = set()
    names = {ours: word for ours, words in _KEYWORDS.items() for word in reversed(words) if word in known}
    return names or {name: name for name in ("host", "port", "user", "password", "database")}, next(
        (word for word in _TIMEOUTS if word in known), None
    )


def _guessed_codes(exc: BaseException) -> Codes:
    number = getattr(exc, "errno", None)
    if number is None and exc.args and isinstance(exc.args[0], int):
        number = exc.args[0]
    state = getattr(exc, "sqlstate", None) or getattr(exc, "pgcode", None)
    return (
        (state if isinstance(state, str) else None),
        (number if isinstance(number, int) and number > 0 else None),
        str(exc),
    )


def _guessed_descriptor(raw: Any) -> int | None:
    try:
        descriptor = raw.fileno()
    except Exception:  # no such method, or closed, in the driver's own words
        return None
    return descriptor if isinstance(descriptor, int) and descriptor >= 0 else None


def _guessed_closed(raw: Any) -> bool:
    """``closed`` or ``open``, where they are values and no methods."""
    closed, opened = getattr(raw, "closed", None), getattr(raw, "open", None)
    if isinstance(closed, int):
        return bool(closed)
    return not opened if isinstance(opened, int) else False


def adapter(module: Any) -> Generic:
    """Return the adapter over ``module``, by its profile or by guesses."""
    profile = PROFILES.get(module.__name__) or guess(module)
    if profile is PSYCOPG2:
        return Psycopg2(module, profile)
    return (GenericLocal if profile.abilities.autocommit else Generic)(module, profile)
