"""The errors that clustersql raises itself.

Exceptions of the driver pass through untouched.  Ours arise only where no driver exception exists::

    ClusterError
     +-- NoNodeAvailable    no node could serve; carries every node's error
     +-- PoolTimeout        no connection became free within the deadline
     +-- PoolClosed         used after close
     +-- OutcomeUnknown     it may have happened; nothing could find out
     +-- TransactionLost    it did not happen; run the transaction again
     +-- ReplayMismatch     a replayed transaction saw other data than the first time
    ConfigError(ValueError)

Each is *also* an instance of the driver's ``OperationalError`` (`bind`), so ``except pymysql.OperationalError`` in a
program that knows nothing of clustersql still catches it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

__all__ = [
    "ClusterError",
    "ConfigError",
    "NoNodeAvailable",
    "OutcomeUnknown",
    "PoolClosed",
    "PoolTimeout",
    "ReplayMismatch",
    "TransactionLost",
    "bind",
]


class ClusterError(Exception):
    """Base of the errors that clustersql raises itself."""


class NoNodeAvailable(ClusterError):
    """No node could serve the request within its deadline.

    Raised *from* the latest node's error.  ``errors`` maps each node's name to its own latest error.
    """

    def __init__(self, message: str = "", errors: Mapping[str, BaseException] | None = None) -> None:
        super().__init__(message)
        self.errors: dict[str, BaseException] = dict(errors or {})


class PoolTimeout(ClusterError):
    """Every connection was in use and none became free within the deadline."""


class PoolClosed(ClusterError):
    """The database, or the handle, was used after it was closed or given back."""


class OutcomeUnknown(ClusterError):
    """The work may have happened or not, and nothing could find out.  The driver's error is the cause."""


class TransactionLost(ClusterError):
    """The transaction did not happen: its connection was lost before COMMIT was sent.  Running it again is safe."""


class ReplayMismatch(ClusterError):
    """A replayed transaction was given other results than the first time, so it was rolled back."""


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
    bound: type[E] = _bound(*pair)
    return bound


@cache
def _bound(error: Any, base: Any) -> Any:
    if issubclass(error, base):
        return error
    members: dict[str, Any] = {
        "__module__": error.__module__,
        "__doc__": error.__doc__,
        "__init__": error.__init__,  # never the driver's: some take the fields of a server's answer
        "__str__": Exception.__str__,
        "__reduce__": _reduce,
        "_pair": (error, base),
    }
    return type(error.__name__, (error, base), members)


def _reduce(self: Any) -> tuple[Any, ...]:
    error, base = self._pair
    return _rebuild, (error, base, self.args, self.__dict__)


def _rebuild(error: type[E], base: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> E:
    exc = bind(error, base)(*args)
    exc.__dict__.update(state)
    return exc
