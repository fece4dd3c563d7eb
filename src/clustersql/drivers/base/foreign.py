"""Whose exception it is: the driver's own, the end of its connection, or one that only passed through the driver.

A signal handler, a codec, a row factory, a generator of parameters: each runs in the middle of the driver's call, and
what it raises says nothing about the node.  By its class it may look like a lost connection: a handler's TimeoutError
is an OSError.  So an OSError counts as the connection's end only where the driver's own call of the socket raised it,
which its traceback tells; and an error of the driver's that it made of somebody else's exception (PyMySQL makes "Lost
connection" of every OSError) counts as that exception.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from types import TracebackType

Kinds = type[BaseException] | tuple[type[BaseException], ...]

ENDS: tuple[type[BaseException], ...] = (OSError, EOFError)
"""What a socket raises when the connection ends (`asyncio.IncompleteReadError` is an EOFError)."""
FILES = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError)
"""OSErrors that no open socket raises: they come from a file."""
TRANSPORTS = frozenset(
    "socket ssl selectors asyncio uvloop gevent eventlet concurrent threading contextlib functools clustersql".split()
)
"""Modules that drivers read and write by, and that call them: they raise on behalf of whoever called them."""


def packages_of(module: str) -> frozenset[str]:
    """Return the packages that a driver's code is in, by the name of its module.

    >>> sorted(packages_of("mysql.connector"))
    ['mysql']
    """
    root = module.partition(".")[0]
    return frozenset((root, f"{root}_binary", f"{root}_c", f"_{root}"))


def is_foreign(error: BaseException, own: Kinds, packages: Collection[str]) -> bool:
    """Tell whether ``error``, which a call of the driver raised, is neither an error of the classes ``own`` nor the
    connection's end.
    """
    if isinstance(error, own):
        return _wraps_foreign(error, own, packages)
    return not (isinstance(error, ENDS) and not isinstance(error, FILES) and raised_by(error, packages))


def wrapped(error: BaseException, packages: Collection[str]) -> Iterator[BaseException]:
    """The exceptions that the driver caught and made ``error`` of; not those that its caller was handling already."""
    seen = {id(error)}
    inner = error.__cause__ or error.__context__
    while inner is not None and id(inner) not in seen and _caught_by(inner, packages):
        yield inner
        seen.add(id(inner))
        inner = inner.__cause__ or inner.__context__


def _wraps_foreign(error: BaseException, own: Kinds, packages: Collection[str]) -> bool:
    """Whether it was made of an exception that arose neither in the driver's code nor in a call of the socket's."""
    return any(
        not isinstance(inner, Exception) or not (isinstance(inner, own) or raised_by(inner, packages))
        for inner in wrapped(error, packages)
    )


def raised_by(error: BaseException, packages: Collection[str]) -> bool:
    """Whether the innermost frame that is no transport's is the driver's.  A driver in C has no frame, and then there
    is none at all.
    """
    innermost = None
    for root in _roots(error.__traceback__):
        if root not in TRANSPORTS:
            innermost = root
    return innermost is None or innermost in packages


def _caught_by(error: BaseException, packages: Collection[str]) -> bool:
    """Whether the frame that caught it is the driver's: a traceback begins there."""
    return next(_roots(error.__traceback__), None) in packages


def _roots(trace: TracebackType | None) -> Iterator[str]:
    while trace is not None:
        yield str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        trace = trace.tb_next
