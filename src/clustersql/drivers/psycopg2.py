"""psycopg2."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from ..errors import Form
from .base import sockets
from .base.generic import GenericLocal
from .base.libpq import NAMES as LIBPQ_NAMES
from .base.libpq import libpq_defaults, libpq_fields
from .base.profile import Profile
from .base.surface import CONNECTION, CURSOR, ERRORS, surface
from .contract import Abilities


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


def _descriptor(raw: Any) -> int | None:
    return None if raw.closed else raw.fileno()


def _status(raw: Any) -> bool | None:
    status = raw.get_transaction_status()
    return None if status == 4 else status != 0  # libpq: 4 unknown, 0 idle


def _news(raw: Any, descriptor: int) -> bool:
    """A notification is taken in and stays for the user; what is still to read after that is the end."""
    if not raw.info.ssl_in_use and not sockets.only_news(sockets.peek(descriptor)):
        return False
    with contextlib.suppress(Exception):
        raw.poll()
        return not raw.closed and not sockets.is_readable(descriptor)
    return False


def _read_only(raw: Any, on: bool) -> None:
    raw.readonly = on or None


def _text(operation: Any, raw: Any) -> str | None:
    """Composed SQL quotes its parts by the connection's encoding."""
    if not hasattr(operation, "as_string"):
        return None
    text: str = operation.as_string(raw)
    return text


CONNECTION_NAMES = surface(
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
CURSOR_NAMES = surface(
    tells="arraysize binary_types cast closed description itersize lastrowid mogrify name nextset pgresult_ptr query"
    " row_factory rowcount rownumber scroll scrollable setinputsizes setoutputsize statusmessage string_types"
    " typecaster tzinfo_factory withhold",
    ours=CURSOR,
    unmanaged="callproc copy_expert copy_from copy_to",
)

PROFILE = Profile(
    name="psycopg2",
    family="postgresql",
    dialect="postgresql",
    abilities=Abilities(descriptor=True, transaction_status=True, autocommit=True, connect_timeout=True, shared=True),
    read_only=_read_only,
    names=LIBPQ_NAMES | {"unix_socket": "host"},
    fields=libpq_fields,
    defaults=libpq_defaults,
    codes=lambda exc: (getattr(exc, "pgcode", None), None, str(exc)),
    descriptor=_descriptor,
    closed=lambda raw: bool(raw.closed),
    status=_status,
    failed=lambda raw: raw.get_transaction_status() == 3,
    session=lambda raw: raw.get_backend_pid() or None,
    unsent=("connection already closed", "cursor already closed"),
    has_news=_news,
    form=Form(unsent=("cursor", "diag")),
    connection_names=CONNECTION_NAMES,
    cursor_names=CURSOR_NAMES,
    keywords=("query", "vars", "vars_list"),
    text=_text,
    # In autocommit mode its isolation level and the like are settings of the server's session.
    sends=lambda raw: bool(raw.autocommit),
)


def adapter(module: Any) -> Psycopg2:
    """Return the adapter over the module psycopg2."""
    return Psycopg2(module, PROFILE)
