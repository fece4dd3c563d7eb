"""The errors that clustersql raises itself.

Exceptions of the driver pass through untouched.  Ours arise only where no driver exception exists::

    ClusterError
     +-- NoNodeAvailable    no node could serve; carries every node's error
     +-- PoolTimeout        no connection became free within the deadline
     +-- PoolClosed         used after close
     +-- OutcomeUnknown     it may have happened; nothing could find out
     +-- TransactionLost    it did not happen; run the transaction again
     +-- CausalityLost      what a bookmark stands for cannot be read here
     +-- AlreadyCommitted   the work of this key was done before; never an OperationalError
     +-- ReplayMismatch     a replayed transaction saw other data than the first time
    ConfigError(ValueError)

Each but `CausalityLost` is *also* an instance of the driver's ``OperationalError`` (`bind`), so ``except
pymysql.OperationalError`` in a program that knows nothing of clustersql still catches it, and finds what it asks of
such an error: ``errno``, ``sqlstate``, ``diag``, the driver's form of ``args`` (`Form`).

Rules of that form
------------------
1. Codes are those of the driver's error that is the cause; without one, what the driver has where it knows nothing, or
   a general code.  So a program that looks for the code of a conflict never finds it in an error of which nobody knows
   that it was one.
2. Texts are our sentence.
3. What is asked is answered from the cause in that moment (``raise ours from theirs`` is all that is needed), and goes
   into a pickle.
4. Whatever it carries, an error of ours can be copied and pickled; what cannot go to another process stays behind.
"""

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from operator import attrgetter
from typing import Any, TypeVar

__all__ = [
    "GENERAL",
    "AlreadyCommitted",
    "CausalityLost",
    "ClusterError",
    "ConfigError",
    "Form",
    "NoNodeAvailable",
    "OutcomeUnknown",
    "PoolClosed",
    "PoolTimeout",
    "ReplayMismatch",
    "TransactionLost",
    "bind",
    "look_in",
    "numbered",
]


class ClusterError(Exception):
    """Base of the errors that clustersql raises itself."""


class NoNodeAvailable(ClusterError):
    """No node could serve the request within its deadline.

    Raised *from* the latest node's error.  ``errors`` maps each node's name to its own latest error.
    """

    def __init__(self, message: str = "", errors: Mapping[str, BaseException] | None = None, *others: Any) -> None:
        # A framework that makes an error anew of its ``args`` gives what the driver has there.
        args = (message,) if isinstance(errors, Mapping | None) else (message, errors, *others)
        Exception.__init__(self, *args)  # not by ``super()``, which is the driver's class once it is bound
        self.errors: dict[str, BaseException] = dict(errors) if isinstance(errors, Mapping) else {}


class PoolTimeout(ClusterError):
    """Every connection was in use and none became free within the deadline."""


class PoolClosed(ClusterError):
    """The database, or the handle, was used after it was closed or given back."""


class OutcomeUnknown(ClusterError):
    """The work may have happened or not, and nothing could find out.  The driver's error is the cause."""

    commit_id: str | None = None
    """By which `Database.settle` finds it out later, where the commit guard is on; None: it is not, or no COMMIT was
    under way."""


class TransactionLost(ClusterError):
    """The transaction did not happen: its connection was lost before COMMIT was sent.  Running it again is safe."""


class AlreadyCommitted(ClusterError):
    """The work of this key has been committed before, so nothing was done (`Database.once`)."""

    def __init__(self, message: str = "", key: str = "", at: Any = None) -> None:
        Exception.__init__(self, message)
        self.key = key
        """The caller's key."""
        self.at = at
        """When it was committed, by the server's clock, as the driver reads a time."""


class ReplayMismatch(ClusterError):
    """A replayed transaction was given other results than the first time, so it was rolled back."""


class CausalityLost(ClusterError):
    """What a bookmark stands for cannot be read here: it was lost in a failover, was never written, or is of another
    database.

    No driver's ``OperationalError``, so that nobody's retry loops on it: the same bookmark leads to the same end.
    """


class ConfigError(ValueError):
    """A mistake in the configuration: names the thing, the place and the remedy.  Never holds a password."""


E = TypeVar("E", bound=ClusterError)


def bind(error: type[E], base: type[BaseException]) -> type[E]:
    """Return ``error`` as a class that is also a ``base``, the driver's ``OperationalError``.

    One class per pair, so that ``except`` and pickling see the same type each time.

    >>> issubclass(bind(PoolTimeout, OSError), OSError)
    True
    """
    pair: Any = (error, base)
    kind: type[E] = bound(*pair)
    return kind


# -- the driver's form -------------------------------------------------------------------------------------------------

GENERAL = "HY000"
"""The SQLSTATE of an error of which nothing is known, where it has to be a text."""


def _text_alone(text: str, cause: BaseException | None) -> tuple[Any, ...]:
    return (text,)


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a driver's errors, beyond the attributes that one of its errors has when it is made of a text
    alone.
    """

    args: Callable[[str, BaseException | None], tuple[Any, ...]] = _text_alone
    """What ``args`` is: made of our sentence, and of the driver's error that is the cause, if there is one."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Attributes that only an error of the server has, with their values where there was none."""
    texts: Sequence[str] = ()
    """Attributes that are the sentence, as `str` is."""
    unsent: Sequence[str] = ()
    """Attributes that are left out of a pickle: they belong to this process, or hold a password."""


def numbered(nothing: int) -> Callable[[str, BaseException | None], tuple[Any, ...]]:
    """Return `Form.args` of drivers whose ``args`` are a number and a text; ``nothing``: the number where there is
    none.
    """

    def args(text: str, cause: BaseException | None) -> tuple[Any, ...]:
        number = cause.args[0] if cause is not None and cause.args else None
        return (number if isinstance(number, int) else nothing), text

    return args


Finder = Callable[[type[BaseException]], "Form | None"]
_finders: list[Finder] = []


def look_in(finder: Finder) -> None:
    """Ask ``finder`` for the form of a driver's errors, by their base class; None: it does not know that driver."""
    _finders.append(finder)


@cache
def bound(error: Any, base: Any) -> Any:
    """Return ``error`` as a class that is also a ``base``, in its form.  One class per pair."""
    if issubclass(error, base):
        return error
    if not _finders:  # a process that has read a pickle, and used nothing else of ours yet
        import_module(".drivers", __package__)
    root = next((one for one in reversed(base.__mro__) if _is_of_a_driver(one)), None)
    form = next((form for finder in _finders if (form := finder(base)) is not None), Form())
    members: dict[str, Any] = {
        "__module__": error.__module__,
        "__doc__": error.__doc__,
        "__init__": error.__init__,  # never the driver's: some take the fields of a server's answer
        "__str__": _sentence,
        "__reduce__": _reduce,
        "__copy__": _copied,
        "__deepcopy__": _deeply_copied,
        "_pair": (error, base),
        "_root": root,
        "_form": form,
        "_names": (),
        "args": property(_args, _set_args),
    }
    made = type(error.__name__, (error, base), members)
    _give_fields(made, {**_of_a_text(base), **form.fields} if root is not None else {}, form.texts)
    return made


def _is_of_a_driver(kind: type) -> bool:
    return issubclass(kind, BaseException) and kind.__module__ != "builtins"


def _of_a_text(base: type[BaseException]) -> dict[str, Any]:
    """Return the attributes of an error of the driver's that is made of nothing but a text."""
    with contextlib.suppress(Exception):
        error = base("")
        plain = set(dir(Exception()))
        values = {name: getattr(error, name, None) for name in dir(error) if name not in plain}
        return {name: value for name, value in values.items() if not (callable(value) or name.startswith("__"))}
    return {}


def _give_fields(made: Any, fields: Mapping[str, Any], texts: Sequence[str]) -> None:
    """Afterwards, for asyncpg's metaclass registers a class that is made with a SQLSTATE."""
    for name, value in fields.items():
        setattr(made, name, _Field(name, value))
    for name in texts:
        setattr(made, name, _Text())
    made._names = tuple(name for name in fields if name not in texts)


class _Field:
    """An attribute that the driver's errors have.  What is set on the error itself goes before it."""

    def __init__(self, name: str, nothing: Any) -> None:
        self.name = name
        self.nothing = nothing

    def __get__(self, error: Any, owner: Any = None) -> Any:
        cause = None if error is None else _cause(error)
        value = None if cause is None else getattr(cause, self.name, None)
        return self.nothing if value is None else value


class _Text:
    """An attribute that is the sentence."""

    def __get__(self, error: Any, owner: Any = None) -> Any:
        return None if error is None else str(error)


_given: Any = BaseException.__dict__["args"]
"""What the error was made of: `args` shows it in the driver's form."""


def _cause(error: Any) -> BaseException | None:
    """Return the nearest error of the driver's among the causes."""
    cause: BaseException | None = error.__cause__
    for _ in range(8):
        if cause is None or isinstance(cause, error._root or ()):
            return cause
        cause = cause.__cause__
    return None


def _sentence(self: Any) -> str:
    given = _given.__get__(self)
    return next((one for one in given if isinstance(one, str)), "") or Exception.__str__(self)


def _args(self: Any) -> tuple[Any, ...]:
    given: tuple[Any, ...] = self.__dict__.get("_args") or _given.__get__(self)
    if len(given) == 1 and isinstance(given[0], str):
        return self._form.args(given[0], _cause(self))  # type: ignore[no-any-return]
    return given  # in the driver's form already: a framework has made it anew of its `args`


def _set_args(self: Any, args: Any) -> None:
    self.__dict__.pop("_args", None)
    _given.__set__(self, args)


# -- copies and pickles ------------------------------------------------------------------------------------------------


def _copied(self: Any) -> Any:
    return _made(type(self), _given.__get__(self), self.__dict__, self.__cause__)


def _deeply_copied(self: Any, memo: dict[int, Any]) -> Any:
    """The causes stay the same: a copy would be without the traceback."""
    return _made(type(self), _given.__get__(self), _deep(self.__dict__, memo), self.__cause__)


def _deep(value: Any, memo: dict[int, Any]) -> Any:
    if isinstance(value, dict):
        return {name: _deep(one, memo) for name, one in value.items()}
    try:
        return copy.deepcopy(value, memo)
    except Exception:  # a connection of the driver's, say
        return value


def _reduce(self: Any) -> tuple[Any, ...]:
    error, base = self._pair
    state = {name: getattr(self, name) for name in self._names} | self.__dict__ | {"_args": self.args}
    state = {name: value for name, value in state.items() if name not in self._form.unsent}
    where = base.__module__, base.__qualname__
    return _rebuild, (
        error,
        where if _found(*where) is base else base,
        _given.__get__(self),
        _portable(state),
        _portable(self.__cause__),
    )


def _rebuild(error: Any, base: Any, given: tuple[Any, ...], state: dict[str, Any], cause: BaseException | None) -> Any:
    """Make the error of a pickle.  Where the driver is not installed, it is ours alone, and still has its
    attributes.
    """
    kind = _found(*base) if isinstance(base, tuple) else base
    return _made(error if kind is None else bound(error, kind), given, state, cause)


def _made(kind: Any, given: tuple[Any, ...], state: Mapping[str, Any], cause: BaseException | None) -> Any:
    made = kind.__new__(kind)
    _given.__set__(made, given)
    made.__dict__.update(state)
    if cause is not None:
        made.__cause__ = cause
    return made


def _found(module: str, name: str) -> Any:
    try:
        return attrgetter(name)(import_module(module))
    except (ImportError, AttributeError):
        return None


_NOTHING = object()


def _portable(value: Any) -> Any:
    """Return what of ``value`` another process can be given."""
    if isinstance(value, dict):
        items = {name: _portable(one) for name, one in value.items()}
        return {name: one for name, one in items.items() if one is not _NOTHING}
    if type(value) in (type(None), bool, int, float, str):
        return value
    words = _words(value) if isinstance(value, BaseException) else None
    try:
        stored = pickle.dumps(value)
        pickle.loads(stored)  # some can be written, but not read
    except Exception:
        return _NOTHING if words is None else RuntimeError(words)
    return _Packed(stored, words)


class _Packed:
    """A value in a pickle of its own: where it cannot be read, because its driver is not installed there, the rest
    still can.
    """

    def __init__(self, stored: bytes, words: str | None) -> None:
        self.stored = stored
        self.words = words

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked, (self.stored, self.words)


def _unpacked(stored: bytes, words: str | None) -> Any:
    try:
        return pickle.loads(stored)
    except Exception:
        return None if words is None else RuntimeError(words)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
