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
program that knows nothing of clustersql still catches it, and finds what it asks of such an error: ``errno``, ``sqlstate``, ``diag``,
the driver's form of ``args`` (`bound`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from .bound import GENERAL, Form, bound, look_in, numbered

__all__ = [
    "GENERAL",
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
    kind: type[E] = bound(*pair)
    return kind
