"""What passes through a connection to the driver's own, by the adapter's table (`drivers.base.surface`).  Shared by
both APIs; nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from ..config.pooler import check_arguments
from ..drivers.base.surface import ERRORS, PEP_249, UNKNOWN_CONNECTION, UNKNOWN_CURSOR, Effect, Surface
from ..drivers.contract import AnyDriver
from ..errors import ConfigError
from .borrowed import Borrowed
from .state import State, passing
from .statements import UNSET

__all__ = [
    "EXCEPTIONS",
    "OWN",
    "Below",
    "assign",
    "effect_of",
    "exception_of",
    "lend_all",
    "looked_at",
    "looked_at_cursor",
    "mode_changed",
    "positional",
    "refused",
    "text_of",
]

EXCEPTIONS = frozenset(ERRORS.split())
"""PEP 249's exception classes, which a connection has as attributes."""
OWN = (Effect.ASKS, Effect.ENDS, Effect.MODE, Effect.OURS, Effect.PINGS, Effect.RUNS)
"""Effects of names that each API must know itself, because their methods wait."""
_HARMLESS = (Effect.TELLS, Effect.LOCAL, Effect.ACCESS, Effect.OURS)
_BEGINS_ANEW = (
    "another session, or another state of it, would be under this connection, which could not know what was lost"
)


def _table(state: State) -> Surface:
    """Return the table of the driver's connection."""
    return getattr(state.driver, "connection_names", UNKNOWN_CONNECTION)


def effect_of(state: State, name: str) -> Effect:
    """Return what a name of the driver's connection does."""
    return _table(state).effect(name)


def exception_of(state: State, name: str) -> Any:
    """Return one of the driver's `EXCEPTIONS`, its connection's, or its module's where there is none: ``except
    conn.Error`` comes when the session may be lost.
    """
    return getattr(state.driver.module if state.session is None else state.session.raw, name)


def text_of(state: State, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return the statement that a method of the driver's runs."""
    return _table(state).runs[name](*args, **kwargs)


def positional(
    state: State, operation: Any, parameters: Any, options: dict[str, Any], many: bool
) -> tuple[Any, Any, dict[str, Any]]:
    """Return a statement and its parameters that were given by the driver's names for them in their places."""
    statement, values, rows = getattr(state.driver, "keywords", PEP_249)
    left = dict(options)
    if operation is UNSET:
        operation = left.pop(statement, UNSET)
    if parameters is UNSET and operation is not UNSET:
        parameters = left.pop(rows if many else values, UNSET)
    return operation, parameters, left


def refused(state: State, name: str) -> ConfigError:
    """Return the error of a call that would replace the session."""
    return ConfigError(
        f"{name} of {state.driver.name} is refused: {_BEGINS_ANEW}.  A session that is lost is replaced by clustersql"
        " where nothing is lost with it; for a clean one give this connection back and check out another, for another"
        " user or other arguments use another cluster, connect() or dial().  driver_connection passes everything by"
    )


def looked_at(state: State, raw: Any, name: str) -> Any:
    """Return an attribute or a method of the driver's connection as a caller may have it, where none of it waits."""
    table, value = _table(state), getattr(raw, name)
    effect = table.effect(name)
    if effect is Effect.LENT:
        return _borrowed(state).lent(raw, name)
    if effect is Effect.HANDLE:
        return Below(state, name, value, table)
    if value is raw:  # psycopg's helpers ask a context for it; whatever is done with it is undone at the return
        state.unclean = state.touched = True
    if not callable(value) or isinstance(value, type):
        if effect is Effect.UNMANAGED and name in table.effects:
            state.unmanaged(name)
        return value
    if effect in _HARMLESS:
        return value
    if effect is Effect.REPLACES:
        return _refusing(state, name)
    if effect is Effect.SETS:
        return _setting(state, raw, name, value, table.sets[name])
    if effect is Effect.REGISTERS:
        return _registering(state, raw, name, value)
    return passing(state, name, value)


def looked_at_cursor(state: State, name: str, value: Any) -> Any:
    """Return an attribute or a method of the driver's cursor as a caller may have it."""
    effect = getattr(state.driver, "cursor_names", UNKNOWN_CURSOR).effect(name)
    if effect in _HARMLESS or not callable(value):
        return value
    return passing(state, name, value)


def lend_all(state: State, raw: Any) -> None:
    """Somebody is about to look at the driver's own connection: let what he registers there be gone after
    the return.
    """
    for name in [name for name, effect in _table(state).effects.items() if effect is Effect.LENT]:
        _borrowed(state).lent(raw, name)


def turns_on(driver: AnyDriver, name: str, value: Any) -> bool:
    """Return whether setting this attribute turns the autocommit mode on; an adapter knows its driver's other ways."""
    asks: Callable[[str, Any], bool] | None = getattr(driver, "turns_on", None)
    return asks(name, value) if asks is not None else name == "autocommit" and bool(value)


def assign(state: State, raw: Any, name: str, value: Any) -> None:
    """Set an attribute of the driver's connection for a caller."""
    effect = effect_of(state, name)
    if effect is Effect.REPLACES:
        raise refused(state, name)
    if effect in (Effect.LOCAL, Effect.ACCESS, Effect.LENT) and not state.driver.sends(raw):
        _before(state, raw, (name,), value)
        setattr(raw, name, value)
        _after(state, raw, (name,))
    elif effect is Effect.MODE:
        _assign_mode(state, raw, name, value)
    else:
        setattr(raw, name, value)
        state.unmanaged(name)


def _assign_mode(state: State, raw: Any, name: str, value: Any) -> None:
    """sqlite3 tells its autocommit mode by its isolation level, which has other values too, and commits what is open
    when it is taken away.
    """
    level = name != "autocommit"
    if level and state.driver.in_transaction(raw):
        state.unmanaged(name)
    if level:
        _before(state, raw, (name,), value)
    setattr(raw, name, value)
    if level:
        _after(state, raw, (name,))
    mode_changed(state, raw, name)


def mode_changed(state: State, raw: Any, name: str) -> None:
    """The caller has set the autocommit mode.  What was only this side's before may have been sent with it."""
    if not state.mode_changed() or (state.borrowed is not None and state.driver.sends(raw)):
        state.unmanaged(name)


def _before(state: State, raw: Any, names: tuple[str, ...], value: Any) -> None:
    """Names are about to be set: refuse what the session must not become, and remember what is to be put back."""
    session, table = state.session, _table(state)
    assert session is not None
    if any(table.effect(name) is Effect.ACCESS for name in names) and session.read_only and value is not True:
        raise ConfigError(
            f"{', '.join(names)} is refused: this connection was checked out read-only, and a transaction that may"
            " write would be begun"
        )
    if value and any(table.effect(name) is Effect.ACCESS for name in names):
        state.changed = True
    if session.shared:
        check_arguments(session.node, dict.fromkeys(names, value))
    borrowed = _borrowed(state)
    for name in names:
        if table.effect(name) is Effect.LENT:
            borrowed.lent(raw, name)
        else:
            borrowed.noted(raw, name)


def _after(state: State, raw: Any, names: tuple[str, ...]) -> None:
    for name in names:
        _borrowed(state).set(raw, name)


def _borrowed(state: State) -> Borrowed:
    if state.borrowed is None:
        state.borrowed = Borrowed(state.driver)
    state.touched = True
    return state.borrowed


def _refusing(state: State, name: str) -> Callable[..., Any]:
    def refusing(*_: Any, **__: Any) -> Any:
        raise refused(state, f"{name}()")

    refusing.__name__ = name
    return refusing


def _setting(
    state: State, raw: Any, name: str, function: Callable[..., Any], names: tuple[str, ...]
) -> Callable[..., Any]:
    """Return a method that sets ``names``; one of them may be the mode, which `State.mode_changed` sees."""

    def setting(*args: Any, **kwargs: Any) -> Any:
        session = state.session
        if session is None or session.raw is not raw or state.driver.sends(raw):
            state.unmanaged(f"{name}()")
            return function(*args, **kwargs)
        _before(state, raw, names, _access(names, args, kwargs))
        mode, opened = state.driver.autocommit(raw), state.driver.in_transaction(raw)

        def was_set() -> None:
            _after(state, raw, names)
            if state.driver.autocommit(raw) is not mode:
                mode_changed(state, raw, f"{name}()")
            if opened and state.driver.in_transaction(raw) is False:  # psycopg2's set_isolation_level rolls back
                state.unmanaged(f"{name}()")

        return _then(function(*args, **kwargs), was_set)

    setting.__name__ = name
    return setting


def _then(result: Any, after: Callable[[], None]) -> Any:
    """Call ``after`` when the result is there: at once, or where it is awaited."""
    if not isawaitable(result):
        after()
        return result

    async def awaited() -> Any:
        value = await result
        after()
        return value

    return awaited()


def _access(names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what a method is given of the names that it sets: of several, whether its transactions may write."""
    if len(names) == 1:
        return args[0] if args else next(iter(kwargs.values()), None)
    given = kwargs.get("readonly", args[1] if len(args) > 1 else None)
    return True if given is None else given


def _registering(state: State, raw: Any, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def registering(*args: Any, **kwargs: Any) -> Any:
        undo = state.driver.undo(raw, name, args, kwargs)
        if undo is None:
            state.unmanaged(f"{name}()")
        result = function(*args, **kwargs)
        if undo is not None:
            _borrowed(state).registered((name, args, kwargs), undo)
        return result

    registering.__name__ = name
    return registering


class Below:
    """An object of the driver's below its connection (psycopg's ``pgconn``): what it tells is told, its methods are
    noted, or refused.
    """

    __slots__ = ("_name", "_object", "_state", "_table")

    def __init__(self, state: State, name: str, object_: Any, table: Surface) -> None:
        for slot, value in (("_state", state), ("_name", name), ("_object", object_), ("_table", table)):
            object.__setattr__(self, slot, value)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._object, name)
        effect = self._table.below.get(name, Effect.UNMANAGED)
        if not callable(value) or effect is Effect.TELLS:
            return value
        if effect is Effect.REPLACES:
            return _refusing(self._state, f"{self._name}.{name}")
        return passing(self._state, f"{self._name}.{name}", value)

    def __setattr__(self, name: str, value: Any) -> None:
        self._state.unmanaged(f"{self._name}.{name}")
        setattr(self._object, name, value)

    def __repr__(self) -> str:
        return repr(self._object)
