"""A whole transaction of Django's, run again when it provably did not happen."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, TypeVar, overload

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from ...connection.functions import check_plain
from ..attempts import TIMEOUT, Again, Attempt, under_way

F = TypeVar("F", bound=Callable[..., Any])


class Transaction(Attempt):
    """One call of the function, in a transaction of one connection."""

    def __init__(self, connection: Any) -> None:
        super().__init__()
        self.connection = connection
        self.committed = False

    def allows(self, error: BaseException) -> bool:
        """Whether another attempt may follow: none after a commit, whatever then failed."""
        return not self.committed and super().allows(error)


@overload
def rerun(function: F, /) -> F: ...


@overload
def rerun(*, using: str = ..., timeout: float = ...) -> Callable[[F], F]: ...


def rerun(function: Any = None, /, *, using: str = DEFAULT_DB_ALIAS, timeout: float = TIMEOUT) -> Any:
    """Run a function in ``atomic(durable=True)``, and again when the former transaction provably did not happen.

    **The function may run more than once**, so it must have no effect but on the database; what must follow the commit
    belongs into ``transaction.on_commit``.  ``using``: an alias over a cluster.  ``timeout``: seconds after which no
    further attempt begins.  It raises what the function raises, and Django's errors: `cause` tells ours behind them.
    Raises `ConfigError` for an async or a generator function.
    """
    if function is None:
        return functools.partial(rerun, using=using, timeout=timeout)
    check_plain(function, "@rerun", "wrap what it does to the database in a plain function, and sync_to_async that")

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        connection, again = connections[using], Again(timeout)
        if not hasattr(connection, "cluster"):
            raise ImproperlyConfigured(f"@rerun: DATABASES[{using!r}] is not over a cluster")
        # In a TestCase, whose transaction is around it all: what it has lost cannot come back.
        nested = connection.in_atomic_block
        while True:
            attempt = Transaction(connection)
            token = under_way.set(attempt)
            try:
                return _once(attempt, using, function, args, kwargs)
            except Exception as exc:
                if nested or (pause := again.pause(attempt, exc)) is None:
                    raise
            finally:
                under_way.reset(token)
            time.sleep(pause)

    return wrapped


def _once(attempt: Transaction, using: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    with transaction.atomic(using=using, durable=True):
        try:
            return function(*args, **kwargs)
        except Exception as exc:  # before Django rolls back, after which the handle knows no more
            attempt.note(exc, attempt.connection.connection)
            raise
