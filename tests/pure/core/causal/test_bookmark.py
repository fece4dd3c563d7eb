"""Bookmarks as texts: what is written is read again, what is none is refused, and what two have in common is joined."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clustersql.core.causal.bookmark import LONGEST, Bookmark, Gtids, Kind, merged, parse, text_of
from clustersql.core.view.position import Transactions, holds
from clustersql.errors import ConfigError

numbers = st.integers(1, 2**62)
uuids = st.uuids().map(str)
makers = st.one_of(uuids, st.builds("{}:{}".format, uuids, st.from_regex(r"[a-z_][a-z0-9_]{0,9}", fullmatch=True)))
intervals = st.lists(st.tuples(st.integers(1, 200), st.integers(0, 20)), min_size=1, max_size=5).map(
    lambda pairs: merged([(first, first + more) for first, more in pairs])
)
sets = st.dictionaries(makers, intervals, min_size=1, max_size=4).map(
    lambda made: Transactions(tuple(sorted(made.items())))
)
streams = st.dictionaries(
    st.tuples(st.integers(0, 3), st.integers(0, 9)), st.integers(0, 2**64 - 1), min_size=1, max_size=5
).map(lambda found: Gtids(tuple(sorted((domain, server, number) for (domain, server), number in found.items()))))
bookmarks = st.one_of(
    st.builds(Bookmark, st.just(Kind.LOG), numbers.map(str), st.integers(1, 2**32 - 1), st.integers(0, 2**64 - 1)),
    st.builds(Bookmark, st.just(Kind.GALERA), uuids),
    st.builds(Bookmark, st.just(Kind.STREAM), place=streams),
    st.builds(Bookmark, st.just(Kind.SET), place=sets),
)


@given(bookmarks)
def test_a_text_is_read_as_it_was_written_and_needs_no_quotes(mark: Bookmark) -> None:
    text = str(mark)
    assert re.fullmatch(r"[A-Za-z0-9_~.-]+", text)
    assert len(text) <= LONGEST
    assert parse(text) == mark


def test_a_set_that_is_too_long_stands_for_the_primary() -> None:
    place = Transactions(tuple((str(UUID(int=number)), ((1, 9),)) for number in range(20)))
    text = str(Bookmark(Kind.SET, place=place))
    assert text == "1~m~"
    assert parse(text).only_primary
    assert len(str(Bookmark(Kind.SET, place=Transactions(place.made[:13])))) <= LONGEST
    assert not parse(str(Bookmark(Kind.SET, place=Transactions(place.made[:13])))).only_primary


def test_examples_stay_readable() -> None:
    """A text that is out there in cookies must be read by every later version of this form."""
    assert parse("1~p~6b0c9f5181aa5ba9~2~c93038") == Bookmark(Kind.LOG, "7713715434195409833", 2, 0xC93038)
    assert parse("1~g~000000000000000000000000000000ff") == Bookmark(
        Kind.GALERA, "00000000-0000-0000-0000-0000000000ff"
    )
    assert parse("1~b~0-1-1209~1-2-55") == Bookmark(Kind.STREAM, place=Gtids(((0, 1, 1209), (1, 2, 55))))
    maker = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
    place = Transactions(((maker, ((1, 3), (11, 11))), (f"{maker}:tag", ((5, 6),))))
    assert parse("1~m~3e11fa4771ca11e19e33c80aa9429562.1-3.11~3e11fa4771ca11e19e33c80aa9429562.tag.5-6") == Bookmark(
        Kind.SET, place=place
    )
    assert text_of(None) == ""


BROKEN = [
    "", "~", "1", "1~", "1~p", "1~p~~~", "1~p~1~0~1", "1~p~1~1", "1~p~1~1~1~1", "1~p~1~1~-1", "1~p~1~1~G", "1~p~01~1~1",
    "1~p~1~1~ffffffffffffffffff", "1~p~1~fffffffff~1", "1~p~1~1~1\n", " 1~p~1~1~1", "1~p~1~1~\u0661", "1~q~1", "1~g~", "1~g~00ff", "1~b~0-1",
    "1~b~0-1-1~0-1-2", "1~b~0-1-1,1-2-3", "1~m~3e11fa4771ca11e19e33c80aa9429562", "1~m~3e11fa4771ca11e19e33c80aa9429562.3-1",
    "1~m~3e11fa4771ca11e19e33c80aa9429562.0", "1~m~3e11fa4771ca11e19e33c80aa9429562.1~3e11fa4771ca11e19e33c80aa9429562.2", "1~P~1~1~1", "x~p~1~1~1",
]  # fmt: skip


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_bookmark_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no bookmark"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2~p~1~1~1", "has form 2, and this version of clustersql knows form 1"),
        ("1~m~" + "a" * LONGEST, "at most 512 characters, not 516"),
        (b"1~p~1~1~1", "a bookmark is a text, as `bookmark` gives it, not bytes"),
        (None, "not NoneType"),
    ],
)
def test_what_is_wrong_is_said(text: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(text)


@given(st.text(max_size=600))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        mark = parse(text)
    except ConfigError:
        return
    assert parse(str(mark)) == mark


@given(sets, sets)
def test_joined_sets_hold_both(a: Transactions, b: Transactions) -> None:
    both = Bookmark(Kind.SET, place=a).joined(Bookmark(Kind.SET, place=b))
    assert both is not None
    assert isinstance(both.place, Transactions)
    assert holds(both.place, a)
    assert holds(both.place, b)
    assert len(both.place) <= len(a) + len(b)
    assert parse(str(both)) == both or parse(str(both)).only_primary


@given(streams, streams)
def test_joined_streams_hold_both(a: Gtids, b: Gtids) -> None:
    both = Bookmark(Kind.STREAM, place=a).joined(Bookmark(Kind.STREAM, place=b))
    assert both is not None
    assert isinstance(both.place, Gtids)
    assert {one[:2] for one in both.place.latest} == {one[:2] for one in (*a.latest, *b.latest)}
    assert all((both.place.number(*one[:2]) or 0) >= one[2] for one in (*a.latest, *b.latest))


def test_what_is_of_two_histories_is_not_joined() -> None:
    one = Bookmark(Kind.LOG, "1", 1, 100)
    assert one.joined(Bookmark(Kind.LOG, "1", 1, 300)) == Bookmark(Kind.LOG, "1", 1, 300)
    assert one.joined(Bookmark(Kind.LOG, "1", 2, 300)) is None
    assert one.joined(Bookmark(Kind.LOG, "2", 1, 300)) is None
    assert one.joined(Bookmark(Kind.GALERA, "1")) is None
    only = Bookmark(Kind.SET)
    assert only.joined(Bookmark(Kind.SET, place=Transactions((("a", ((1, 1),)),)))) == only
