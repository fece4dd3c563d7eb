"""Rows that can be read once only: which parameters these are, and what the attempts of one ``run`` have read of them.

A list or a tuple is read again where a statement is sent again.  Whatever else gives rows (a generator, a file, a
cursor, a view of a dictionary that changes) gives the rest of them then, or others, or none: so nothing is sent again
that took its rows from there.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from itertools import count, cycle, repeat
from types import CellType, GeneratorType
from typing import Any

LASTING = (list, tuple)
"""What gives the same rows again."""

LOOKED_AT = 64
"""Objects behind an iterator that are looked at; what reads a file by way of a generator and a reader has three."""
FEW = 16
"""Items of a container that are looked at: ``zip`` and ``chain`` keep what they read in one; a longer one holds
rows."""
REMEMBERED = 10_000
"""Iterators that are remembered for one ``run``; with more its function reads none in a further attempt."""

_ENDLESS = (count, cycle, repeat)
"""They number rows, and do not hold them."""


def read_once(parameters: Any, many: bool) -> bool:
    """Tell whether the parameters of ``execute``, or with ``many`` of ``executemany``, may be used up by one try."""
    if _lasts(parameters):  # mysqlclient and pg8000 take an iterator for a row too
        return any(hasattr(type(row), "__next__") for row in parameters)
    kind = type(parameters)
    return many or (hasattr(kind, "__iter__") and not hasattr(kind, "__len__"))


def used_up(options: Mapping[str, Any]) -> list[Any]:
    """Return the driver's own options of a statement that one try may use up: a file or an iterator (the ``stream`` of
    pg8000's COPY).
    """
    return [value for value in options.values() if _is_file(value) or read_once(value, many=False)]


def _is_file(value: Any) -> bool:
    return any(hasattr(value, name) for name in ("read", "readinto", "write"))


def _lasts(rows: Any) -> bool:
    """A list, a tuple, or one of their kinds that gives its rows in the same way: one with an ``__iter__`` of its own
    may give them once.
    """
    return isinstance(rows, LASTING) and type(rows).__iter__ in (list.__iter__, tuple.__iter__)


class Spent:
    """The iterators that the attempts of one ``run`` have read rows of, so that none goes on where a former attempt has
    stopped.
    """

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Any, int]] = {}

    def lasts(self, rows: Any, attempt: int) -> bool:
        """Note that ``attempt`` reads ``rows``.  False: a former attempt has read of the same, or that is not known."""
        if attempt > 1 and len(self._seen) > REMEMBERED:
            return False
        # They are kept alive, or another one might get the number of one that is gone.
        first = [self._seen.setdefault(id(source), (source, attempt))[1] for source in sources(rows)]
        began = self._seen.setdefault(id(rows), (rows, attempt))[1]
        # What made its iterator only when it was read had none to show to the former attempt.
        return all(each == attempt for each in first) and (not first or began == attempt)


def sources(rows: Any) -> list[Any]:
    """Return the iterators that ``rows`` reads from as far as that can be seen: itself, those that it holds, and those
    that its code names.
    """
    found: dict[int, Any] = {}
    left = [rows]
    while left and len(found) < LOOKED_AT:
        each = left.pop()
        if id(each) not in found:
            found[id(each)] = each
            left += [one for one in _held(each) if _may_read(one)]
    return [one for one in found.values() if _is_read(one) and not isinstance(one, _ENDLESS)]


def _is_read(one: Any) -> bool:
    return hasattr(type(one), "__next__") or _is_file(one)


def _held(each: Any) -> list[Any]:
    named: list[Any] = []
    if isinstance(each, GeneratorType) and each.gi_frame is not None:
        known = each.gi_frame.f_globals
        named = [known[name] for name in each.gi_code.co_names if name in known]
    return [*gc.get_referents(each), *named]


def _may_read(one: Any) -> bool:
    """An iterator, a short container of some, a variable of an outer function, or an object that gives one and keeps
    what it reads (tqdm).
    """
    kind = type(one)
    if kind in (tuple, list, dict):
        return len(one) <= FEW
    return hasattr(kind, "__next__") or kind is CellType or (hasattr(kind, "__iter__") and hasattr(one, "__dict__"))
