"""What the public names of a driver's connection and cursor do: the shared words, and what holds for a driver that
nobody has looked through.

Each adapter has two tables, made by `surface`: every public name of the driver's connection, and of its cursor, has
exactly one `Effect` there.  A name that stands in no table is `Effect.UNMANAGED`: it may do anything, so the session is
closed at its return.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

__all__ = ["ERRORS", "PEP_249", "UNKNOWN_CONNECTION", "UNKNOWN_CURSOR", "Effect", "Surface", "surface"]


class Effect(Enum):
    """What comes of a look at a name, of setting it, or of calling it."""

    TELLS = "tells"
    """Changes nothing, here and on the server.  Setting it is unmanaged."""
    ASKS = "asks"
    """Asks the server, and takes the whole answer in; leaves nothing behind."""
    LOCAL = "local"
    """Sends nothing.  A value that is set goes along in a move, and the first one is put back at the return."""
    LENT = "lent"
    """A registry of this driver's object, which can be changed in place: the caller gets a copy, that goes along; the
    first one is put back."""
    ACCESS = "access"
    """As `LOCAL`; whether its transactions may write.  Refused where the session is read-only, unless it stays so."""
    SETS = "sets"
    """A method that only sets names which are `LOCAL`, `LENT` or `ACCESS`: `Surface.sets` says which."""
    REGISTERS = "registers"
    """A method that registers something for as long as the connection lives; the adapter knows how to undo it
    (`Reading.undo`)."""
    RUNS = "runs"
    """A method that runs one statement, whose text `Surface.runs` tells: noted and recovered as `execute` is."""
    MODE = "mode"
    """The autocommit mode, set by an attribute or a method."""
    PINGS = "pings"
    """Asks for a sign of life, and may connect again when there is none: only asked, and recovered as a read."""
    ENDS = "ends"
    """Closes it."""
    REPLACES = "replaces"
    """Would put another session, or another state of it, under a connection that knows nothing of that: refused."""
    HANDLE = "handle"
    """An object of the driver's below the connection: what it tells is told, its methods are unmanaged or, by
    `Surface.below`, refused."""
    OURS = "ours"
    """Our connection or cursor has a method, or a property, of that name."""
    UNMANAGED = "unmanaged"
    """May do anything: it pins the connection, nothing is run again, and the session is closed at its return."""


@dataclass(frozen=True, slots=True)
class Surface:
    """The public names of one kind of object."""

    effects: dict[str, Effect]
    """Of each name."""
    sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of a method that sets: the names that it sets."""
    runs: Mapping[str, Callable[..., str]] = field(default_factory=dict)
    """Of a method that runs a statement: the text, from the method's own arguments."""
    below: Mapping[str, Effect] = field(default_factory=dict)
    """Of an object below the connection: what its methods do that are not unmanaged."""

    def effect(self, name: str) -> Effect:
        """Return what a name does; in doubt anything."""
        return self.effects.get(name, Effect.UNMANAGED)


def surface(
    sets: Mapping[str, tuple[str, ...]] | None = None,
    runs: Mapping[str, Callable[..., str]] | None = None,
    below: Mapping[str, Effect] | None = None,
    **words: str,
) -> Surface:
    """Return the table of ``words``: the names of each effect, in one text.  Raises ValueError for a name that stands
    there twice.

    >>> surface(tells="info", replaces="reset").effect("reset")
    <Effect.REPLACES: 'replaces'>
    """
    effects: dict[str, Effect] = {}
    pairs = [(name, Effect(word)) for word, names in words.items() for name in names.split()]
    pairs += [(name, Effect.SETS) for name in sets or {}] + [(name, Effect.RUNS) for name in runs or {}]
    for name, effect in pairs:
        if name in effects:
            raise ValueError(f"{name} stands in the table twice")
        effects[name] = effect
    return Surface(effects, sets or {}, runs or {}, below or {})


ERRORS = (
    " DataError DatabaseError Error IntegrityError InterfaceError InternalError NotSupportedError OperationalError"
    " ProgrammingError Warning "
)
"""PEP 249's optional extension: the exception classes as attributes."""

PEP_249 = ("operation", "parameters", "seq_of_parameters")
"""PEP 249's names for a statement, its parameters, and the rows of ``executemany``."""

CONNECTION = " close commit cursor rollback "
CURSOR = " close connection execute executemany fetchall fetchmany fetchone "

UNKNOWN_CONNECTION = surface(
    tells=f"{ERRORS} character_set_name escape escape_string escape_sequence get_backend_pid get_parameter_status"
    " get_server_info get_host_info get_proto_info get_autocommit get_dsn_parameters get_transaction_status"
    " get_character_set_info fileno insert_id literal thread_id string_literal server_version server_capabilities"
    " info total_changes in_transaction open closed",
    asks="show_warnings",
    local="row_factory cursor_factory text_factory",
    mode="autocommit set_autocommit",
    replaces="change_user cmd_change_user cmd_reset_connection connect ping reconnect reset reset_connection"
    " reset_session",
    ours=CONNECTION,
)
"""What is taken for granted of a driver that nobody has looked through: no method of it that can replace the session is
called."""

UNKNOWN_CURSOR = surface(
    tells="arraysize description nextset rowcount lastrowid mogrify rownumber setinputsizes setoutputsize"
    " setoutputsizes row_factory query statusmessage messages format itersize scrollable withhold pgresult"
    " warning_count info tzinfo_factory",
    ours=CURSOR,
)
"""The same for its cursor."""
