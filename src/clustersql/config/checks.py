"""What a value must be, and how a mistake is told.

1. A mistake names what was found, what is allowed and, for a name, the nearest valid one.
2. A secret is never shown; of it only the type is named.
3. All mistakes of one piece of input are reported together.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError

__all__ = ["Check", "count", "is_int", "is_number", "nearest", "one_of", "report", "string"]


@dataclass(frozen=True, slots=True)
class Check:
    """What a value must be."""

    type: str
    """The name of its Python type."""
    allowed: str
    """Finishes the sentence "must be ..."."""
    accepts: Callable[[Any], bool]
    """Tells whether a value is right."""
    names: tuple[str, ...] = ()
    """The valid names, where the value is one of a few."""
    secret: bool = False
    """The value is never shown."""
    why: Callable[[Any], str] = lambda value: ""
    """Tells more of a wrong value, or ""."""

    def complaint(self, value: object) -> str | None:
        """Return what is wrong with ``value``, or None."""
        if self.accepts(value):
            return None
        near = _near(value, self.names) if isinstance(value, str) else None
        if why := self.why(value):
            return f"must be {self.allowed}: {why}"
        return f"must be {self.allowed}, not {_found(value, self.secret)}" + (f"; did you mean {near}?" if near else "")


def is_int(value: object) -> bool:
    """Whether ``value`` is a whole number; a bool is not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether ``value`` is a number; a bool is not."""
    return isinstance(value, float) or is_int(value)


def count(least: int) -> Check:
    """Return the check for a whole number of at least ``least``."""
    return Check("int", f"a whole number, at least {least}", lambda value: is_int(value) and value >= least)


def one_of(names: tuple[str, ...], *, also: str = "", accepts: Callable[[Any], bool] = lambda _: False) -> Check:
    """Return the check for one of ``names``, or else what ``accepts`` takes and ``also`` describes."""
    allowed = "one of " + ", ".join(names) + also
    return Check("str", allowed, lambda value: (isinstance(value, str) and value in names) or accepts(value), names)


def string(allowed: str, accepts: Callable[[str], bool] = bool, *, secret: bool = False) -> Check:
    """Return the check for a text that ``accepts`` takes and ``allowed`` describes."""
    return Check("str", allowed, lambda value: isinstance(value, str) and accepts(value), secret=secret)


def nearest(word: str, names: Iterable[str]) -> str:
    """Return the remedy for a misspelt ``word``: the nearest of ``names``, or all of them when none is near."""
    names = tuple(names)
    near = _near(word, names)
    return f"did you mean {near}?" if near else "known: " + ", ".join(names)


def report(where: str, found: list[str]) -> ConfigError:
    """Return one error that lists every mistake ``found`` in ``where``."""
    if len(found) == 1:
        return ConfigError(found[0])
    return ConfigError("\n  - ".join([f"{len(found)} mistakes in {where}:", *found]))


def _near(word: str, names: tuple[str, ...]) -> str | None:
    import difflib  # here, because it is needed only when something is wrong

    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), lower, n=1)
    return lower[near[0]] if near else None


def _found(value: object, secret: bool) -> str:
    if value == "":
        return "an empty text"
    return (
        f"the {'str' if isinstance(value, str) else type(value).__name__} that is there"
        if secret
        else reprlib.repr(value)
    )
