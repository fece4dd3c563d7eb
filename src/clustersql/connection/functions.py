"""What a caller may give us to be called: a function that has done its work when it returns, or one that is awaited.

Calling an async function, or a generator function, executes nothing of it.  So a mistake of that kind would be
committed as if all was done.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Coroutine, Generator
from functools import partial
from types import CoroutineType, FunctionType
from typing import Any, TypeVar

from ..errors import ConfigError

V = TypeVar("V")


def check_plain(function: object, taker: str, instead: str) -> None:
    """Raise `ConfigError` when ``function``, given to ``taker``, would only make a coroutine or a generator;
    ``instead``: the remedy.
    """
    if type(function) is FunctionType and not function.__code__.co_flags & _EXECUTES_NOTHING:
        return  # by far the most
    _check_callable(function, taker)
    if (kind := kind_of(function)) is not None:
        raise ConfigError(f"{taker} is given {kind}, {_name(function)}: calling it executes nothing of it; {instead}")


def check_async(function: object, taker: str) -> None:
    """Raise `ConfigError` when what ``function`` returns, given to ``taker``, can surely not be awaited."""
    if type(function) is FunctionType and function.__code__.co_flags & inspect.CO_COROUTINE:
        return  # by far the most
    _check_callable(function, taker)
    if (kind := kind_of(function)) is not None and kind != ASYNC:
        raise ConfigError(
            f"{taker} is given {kind}, {_name(function)}, which cannot be awaited; give an async function"
        )


def _check_callable(function: object, taker: str) -> None:
    if not callable(function):
        hint = "; give the function itself, and its arguments after it" if isinstance(function, Coroutine) else ""
        raise ConfigError(f"{taker} takes a function, not {type(function).__name__!r}{hint}")


ASYNC = "an async function"
_EXECUTES_NOTHING = (
    inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_GENERATOR
)


def kind_of(function: object) -> str | None:
    """Return in words what ``function`` is, when calling it executes nothing of it; None: it does, for all that can be
    told beforehand.

    >>> async def later(): ...
    >>> kind_of(partial(later)), kind_of(len)
    ('an async function', None)
    """
    function = _within(function)
    for one in (function, getattr(type(function), "__call__", None)):  # noqa: B004 - not whether it is callable
        if inspect.iscoroutinefunction(one):
            return ASYNC
        if inspect.isasyncgenfunction(one):
            return "an async generator function"
        if inspect.isgeneratorfunction(one):
            return "a generator function"
    return None


def returned(value: V, taker: str, connection: object) -> V:
    """Return what a function has returned.  Raise `ConfigError` when that is its own work, not begun yet: a lambda
    around it, say.

    A generator is a value like any other, unless it was made to work on ``connection``.
    """
    if not (hasattr(type(value), "close") or hasattr(type(value), "aclose")):
        return value  # by far the most; to ask the abstract classes is slow
    if isinstance(value, Coroutine):
        value.close()  # or the interpreter would warn that nobody has awaited it
    elif not isinstance(value, Generator | AsyncGenerator) or not _begins_with(value, connection):
        return value
    raise ConfigError(
        f"{taker}: the function has returned a {type(value).__name__}, of which nothing was executed; nothing is"
        " committed"
    )


def awaitable(value: Awaitable[V], taker: str) -> Awaitable[V]:
    """Return what a function has returned, to be awaited.  Raises `ConfigError` when it cannot be."""
    if type(value) is CoroutineType or inspect.isawaitable(value):
        return value
    raise ConfigError(
        f"{taker}: the function has returned {type(value).__name__!r}, which cannot be awaited; give an async"
        " function; nothing is committed"
    )


def _begins_with(generator: Any, connection: object) -> bool:
    """Whether nothing of ``generator`` was executed yet, and ``connection`` is among its arguments."""
    frame = getattr(generator, "gi_frame", None) or getattr(generator, "ag_frame", None)
    if frame is None or (
        isinstance(generator, Generator) and inspect.getgeneratorstate(generator) != inspect.GEN_CREATED
    ):
        return False
    return any(value is connection for value in frame.f_locals.values())


def _within(function: object) -> object:
    while isinstance(function, partial):
        function = function.func
    return function


def _name(function: object) -> str:
    function = _within(function)
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)
