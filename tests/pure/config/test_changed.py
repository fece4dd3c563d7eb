"""Knobs that change at run time: checked as at the beginning, and all or none."""

from __future__ import annotations

from typing import Any

import pytest

from clustersql.config.knobs import KNOBS, changed, settings
from clustersql.config.options import Options
from clustersql.core.view.view import Service


def test_the_others_stay_as_they_are() -> None:
    before = settings(max_size=5, timeout=3)
    after, found = changed(before, {"max_size": 7, "stagger": 1})
    assert found == []
    assert (after.max_size, after.timeout, after.stagger) == (7, 3.0, 1.0)
    assert isinstance(after.stagger, float)
    assert before.max_size == 5


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"max_sise": 7}, "max_sise: no such knob"),
        ({"max_size": 0}, "max_size: must be"),
        ({"min_idle": 6}, "min_idle: must not exceed max_size, which is 5"),
        ({"max_size": 1}, "min_idle: must not exceed max_size, which is 1, not 2"),
        ({"discover": True}, "discover: cannot change while traffic runs"),
        ({"dialect": "mysql"}, "dialect: cannot change while traffic runs"),
        ({"on_connect": print}, "on_connect: cannot change while traffic runs"),
        ({"address_map": {"a": "b"}}, "address_map: cannot change while traffic runs"),
        ({"local_threshold": 0.5}, "local_threshold: only policy"),
    ],
)
def test_a_mistake_is_told_and_that_knob_stays(values: dict[str, Any], said: str) -> None:
    before = settings(max_size=5, min_idle=2)
    after, found = changed(before, values | {"timeout": 1})
    [name] = values
    assert name == "max_size" or getattr(after, name, None) == getattr(before, name, None)
    assert any(text.startswith(said) for text in found), found


def test_every_mistake_is_told() -> None:
    found = changed(settings(), {"max_size": 0, "discover": True, "tiemout": 1})[1]
    assert sorted(text.partition(":")[0] for text in found) == ["discover", "max_size", "tiemout"]


def test_what_it_was_already_is_no_change() -> None:
    before = settings(discover=True, address_map={"a": "b:1"})
    assert changed(before, {"discover": True, "address_map": {"a": "b:1"}, "max_size": 3})[1] == []


def test_which_knobs_can_change() -> None:
    assert {name for name, knob in KNOBS.items() if not knob.live} == {
        "discover",
        "patroni",
        "address_map",
        "on_connect",
        "dialect",
        "commit_guard",
        "commit_guard_table",
        "commit_guard_required",
    }


def test_options_that_nobody_has_given_are_the_cluster_s() -> None:
    knobs = settings(read_only=True, max_lag=5)
    assert Options.under(knobs) == Options(read_only=True, max_lag=5.0)
    assert Options.under(knobs, {"read_only": False, "timeout": 2}) == Options(timeout=2, max_lag=5.0)


@pytest.mark.parametrize(
    ("read_role", "given", "service"),
    [
        ("any", {"read_only": True}, Service.READ),
        ("prefer-replica", {"read_only": True}, Service.PREFER_REPLICA),
        ("replica", {"read_only": True}, Service.REPLICA),
        ("replica", {}, Service.WRITE),
        ("replica", {"read_only": True, "role": "any"}, Service.READ),
        ("replica", {"read_only": True, "role": "primary"}, Service.WRITE),
        ("prefer-replica", {"read_only": True, "node": "n1"}, Service.READ),
        ("any", {"role": "prefer-replica"}, Service.PREFER_REPLICA),
    ],
)
def test_who_serves_reads_by_the_knob_and_by_the_call(read_role: str, given: dict[str, Any], service: Service) -> None:
    assert Options.under(settings(read_role=read_role), given).want(autocommit=True).service is service
