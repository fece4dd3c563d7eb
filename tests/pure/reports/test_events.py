"""The ring of events, and its listeners."""

from __future__ import annotations

import logging

import pytest

from clustersql.nodes.events import KEPT, ClusterEvent, Events


def made() -> Events:
    return Events("shop", lambda text: text.replace("secret", "***"))


def test_the_latest_thousand_are_kept_in_their_order() -> None:
    events = made()
    for number in range(KEPT + 5):
        events.note("node", "a", str(number))
    kept = events.latest()
    assert (len(kept), kept[0].text, kept[-1].text) == (KEPT, "5", str(KEPT + 4))


def test_an_event_is_one_line_without_a_password() -> None:
    events = made()
    events.note("dial", "a", "no\n\tentry for secret")
    [event] = events.latest()
    assert (event.kind, event.node, event.text) == ("dial", "a", "no entry for ***")


def test_listeners_are_told_until_they_unsubscribe() -> None:
    events = made()
    told: list[ClusterEvent] = []
    ends = [events.on_event(told.append), events.on_event(told.append)]
    events.note("node", "a", "one")
    ends[0]()
    ends[0]()
    events.note("node", "a", "two")
    ends[1]()
    events.note("node", "a", "three")
    assert [event.text for event in told] == ["one", "one", "two"]
    assert events._listeners is None


def test_a_listener_that_raises_harms_nobody_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    events = made()
    told: list[ClusterEvent] = []

    def broken(event: ClusterEvent) -> None:
        raise RuntimeError("a mistake")

    events.on_event(broken)
    events.on_event(told.append)
    events.note("node", "a", "one")
    events.note("node", "a", "two")
    assert [event.text for event in told] == ["one", "two"]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_listener_may_unsubscribe_while_it_is_told() -> None:
    events = made()
    told: list[str] = []
    end = events.on_event(lambda event: (told.append(event.text), end()))
    events.note("node", "a", "one")
    events.note("node", "a", "two")
    assert told == ["one"]


def test_of_checkouts_that_waited_one_event_a_second_tells_how_many() -> None:
    events = made()
    events.waited("a", 0.05, 10.0)
    events.waited("a", 0.2, 10.0)
    events.waited("b", 0.4, 10.5)
    events.waited("a", 0.3, 11.5)
    assert [(event.node, event.text) for event in events.latest()] == [
        ("a", "a checkout waited 0.2 s"),
        ("", "2 checkouts waited, up to 0.4 s"),
    ]
