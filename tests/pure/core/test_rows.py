"""Which parameters can be read once only, and from what an iterator reads: what `run` goes by."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain, count, groupby, islice
from typing import Any

import pytest

from clustersql.connection.rows import REMEMBERED, Spent, read_once

NUMBERS = [1, 2, 3]
OUTER = iter(range(100))
FILE = io.StringIO("a,b\n" * 100)


class Itself:
    """An iterable whose ``__iter__`` returns itself."""

    def __iter__(self) -> Itself:
        return self

    def __next__(self) -> tuple[int]:
        return (1,)


class Progress:
    """A wrapper that gives an iterator of its own over what it keeps, and tells a length, as tqdm does."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[Any]:
        yield from self.rows


def named() -> Iterator[Any]:
    """A generator that reads a global iterator."""
    for number in OUTER:
        yield (number,)


def over(rows: Any) -> Iterator[Any]:
    """A generator over its argument."""
    yield from rows


@pytest.mark.parametrize(
    "rows",
    [(n for n in NUMBERS), map(str, NUMBERS), zip(NUMBERS, NUMBERS, strict=True), io.StringIO(), {}.items(), {1}, deque(), Progress(NUMBERS)],
    ids=lambda rows: type(rows).__name__,
)  # fmt: skip
def test_rows_of_executemany_last_in_a_list_or_a_tuple_only(rows: Any) -> None:
    assert read_once(rows, many=True)
    assert not read_once([(1,), [2], {"n": 3}, "4"], many=True)
    assert not read_once(((1,), (2,)), many=True)


def test_a_row_that_is_an_iterator_is_used_up_too() -> None:
    assert read_once([(1,), (n for n in NUMBERS)], many=True)
    assert read_once([group for _, group in groupby(NUMBERS)], many=True)


def test_parameters_of_execute() -> None:
    for lasting in ([1], (1, "2"), {"n": 1}, "text", b"bytes", 7, None, range(3), {}.values(), object()):
        assert not read_once(lasting, many=False), lasting
    for once in (iter([1]), (n for n in NUMBERS), map(str, NUMBERS), [iter([1])]):
        assert read_once(once, many=False), once


MADE_ANEW: list[Callable[[], Any]] = [
    lambda: ((n,) for n in NUMBERS),
    lambda: over(NUMBERS),
    lambda: map(str, range(3)),
    lambda: zip(count(), NUMBERS, strict=False),
    lambda: ((next(NUMBERED), n) for n in NUMBERS),
    lambda: csv.reader(io.StringIO("a\nb")),
    lambda: chain(NUMBERS, over(NUMBERS)),
    lambda: Progress(NUMBERS),
    Itself,
    lambda: {1: 2}.items(),
]
NUMBERED = count()
ONE = Itself()
BAR = Progress(OUTER)
FROM_OUTSIDE: list[Callable[[], Any]] = [
    lambda: OUTER,
    lambda: ONE,
    lambda: BAR,
    lambda: Progress(OUTER),
    lambda: ((n,) for n in OUTER),
    named,
    lambda: over(over(OUTER)),
    lambda: map(str, OUTER),
    lambda: zip(NUMBERS, OUTER, strict=False),
    lambda: islice(OUTER, 2),
    lambda: chain.from_iterable([OUTER]),
    lambda: csv.reader(FILE),
]


@pytest.mark.parametrize("make", MADE_ANEW)
def test_an_iterator_that_each_attempt_makes_is_read_by_each(make: Callable[[], Any]) -> None:
    spent, first = Spent(), make()
    assert spent.lasts(first, 1)
    list(islice(first, 2))
    assert spent.lasts(make(), 2)


@pytest.mark.parametrize("make", FROM_OUTSIDE)
def test_what_a_former_attempt_has_read_of_is_not_gone_on_with(make: Callable[[], Any]) -> None:
    spent, first = Spent(), make()
    assert spent.lasts(first, 1)
    list(islice(first, 2))
    assert spent.lasts(make(), 1), "in pieces, within one attempt"
    assert not spent.lasts(make(), 2)


def test_a_variable_of_an_outer_function() -> None:
    kept = iter(NUMBERS)

    def rows() -> Iterator[int]:
        yield from kept

    spent = Spent()
    assert spent.lasts(rows(), 1)
    assert not spent.lasts(rows(), 2)


def test_what_was_too_much_to_remember_is_not_trusted() -> None:
    spent = Spent()
    for _ in range(REMEMBERED + 1):
        assert spent.lasts(Itself(), 1)
    assert not spent.lasts(Itself(), 2)


class Once(list[Any]):
    """A list that gives its rows by one iterator of its own."""

    def __iter__(self) -> Iterator[Any]:
        return self.__dict__.setdefault("left", super().__iter__())  # type: ignore[no-any-return]


class Columns(tuple[Any, ...]):
    """A tuple by another name, as a named one is."""


def test_a_list_with_an_iterator_of_its_own_is_none() -> None:
    """Its iterator is made when it is read, so that the first attempt cannot see it: the second one does."""
    rows, spent = Once([(1,), (2,)]), Spent()
    assert read_once(rows, many=True)
    assert not read_once(Columns([(1,), (2,)]), many=True)
    assert spent.lasts(rows, 1)
    list(rows)
    assert not spent.lasts(rows, 2)
