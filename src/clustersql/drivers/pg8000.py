"""pg8000: pure Python; its socket and its status are private, but have kept their names since 1.16."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import GENERAL, Form
from .base import sockets
from .base.adapter import Codes
from .base.generic import GenericLocal
from .base.profile import Profile
from .base.surface import CONNECTION, CURSOR, ERRORS, surface
from .contract import Abilities


def _codes(exc: BaseException) -> Codes:
    told = exc.args[0] if exc.args and isinstance(exc.args[0], dict) else _told_before(exc)
    return told.get("C"), None, str(told.get("M", _first_text(exc)))


def _told_before(exc: BaseException) -> dict[str, Any]:
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


def _fields(text: str, cause: BaseException | None) -> tuple[Any, ...]:
    """The fields of the server's message, by the letters of the protocol."""
    told = cause.args[0] if cause is not None and cause.args and isinstance(cause.args[0], dict) else {}
    return ({"S": "ERROR", "V": "ERROR", "C": GENERAL, **told, "M": text},)


def _descriptor(raw: Any) -> int | None:
    sock = getattr(raw, "_usock", None)
    descriptor = -1 if sock is None else sock.fileno()
    return None if descriptor < 0 else descriptor


def _status(raw: Any) -> bool | None:
    """The byte of the last ReadyForQuery; none yet after connecting.  Without the (private) field: not known."""
    status = getattr(raw, "_transaction_status", b"?")
    return status not in (None, b"I") if status in (None, b"I", b"T", b"E") else None


def _session(raw: Any) -> int | None:
    """The pid comes first in the (private) message BackendKeyData."""
    key = getattr(raw, "_backend_key_data", None)
    return int.from_bytes(key[:4]) if key else None


def _wants_password(exc: BaseException) -> bool:
    """For SCRAM it looks at no password as at one; for the others it says so."""
    return isinstance(exc, AttributeError) or "no password was provided" in str(exc)


def _opened(raw: Any, given: Mapping[str, Any]) -> None:
    """Its timeout is the socket's, and would end every slow statement too: that is meant only if the user set it."""
    if getattr(raw, "_usock", None) is not None:
        raw._usock.settimeout(given.get("timeout"))


def _news(raw: Any, descriptor: int) -> bool:
    """It cannot take a notification in without a statement, but the next one does.  Over TLS nothing can be seen."""
    encrypted = hasattr(raw._usock, "cipher")
    return not encrypted and sockets.only_news(sockets.peek(descriptor))


def _read_only(raw: Any, on: bool) -> None:
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


CONNECTION_NAMES = surface(
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
CURSOR_NAMES = surface(
    tells="arraysize description input_types rowcount setinputsizes setoutputsize",
    ours=CURSOR,
    unmanaged="callproc",
)

PROFILE = Profile(
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
    read_only=_read_only,
    fold=lambda raw, text: raw.execute_simple(text),
    names={"unix_socket": "unix_sock"} | {name: name for name in ("host", "port", "user", "password", "database")},
    timeout="timeout",
    numbers={"port": int, "timeout": float, "tcp_keepalive": bool},
    codes=_codes,
    descriptor=_descriptor,
    closed=lambda raw: _descriptor(raw) is None,
    status=_status,
    failed=lambda raw: getattr(raw, "_transaction_status", None) == b"E",
    session=_session,
    leaving="close",
    opened=_opened,
    wants_password=_wants_password,
    unsent=("connection is closed", "Cursor closed"),
    has_news=_news,
    form=Form(args=_fields),
    takes_dsn=False,
    connection_names=CONNECTION_NAMES,
    cursor_names=CURSOR_NAMES,
    keywords=("operation", "args", "param_sets"),
)


def _first_text(exc: BaseException) -> str:
    return str(exc.args[0]) if len(exc.args) == 1 else str(exc)


def adapter(module: Any) -> GenericLocal:
    """Return the adapter over the module ``pg8000.dbapi``."""
    return GenericLocal(module, PROFILE)
