"""What the keywords of a call lead to is worked out once."""

from __future__ import annotations

from typing import Any

import pytest

from clustersql.config.options import PER_CALL, Options
from clustersql.config.percall import MOST, PerCall
from clustersql.core.view.view import Service
from clustersql.errors import ConfigError

NOTHING: dict[str, Any] = dict.fromkeys(PER_CALL)


class Calls(PerCall):
    """Counts the checks."""

    def __init__(self) -> None:
        self.checked = 0
        super().__init__(Options(), self.check)

    def check(self, options: Options) -> None:
        self.checked += 1
        if options.node == "gone":
            raise ConfigError("no such node")

    def of(self, **given: Any) -> tuple[Options, Any]:
        return self.options(*{**NOTHING, **given}.values())


def test_the_same_keywords_are_checked_once() -> None:
    calls = Calls()
    first = calls.of(read_only=True)
    assert first[0].read_only
    assert first[1].service is Service.READ
    assert calls.of(read_only=True) is first
    assert calls.of(read_only=True, max_lag=5.0) is not first
    assert calls.checked == 2


@pytest.mark.parametrize(
    ("good", "bad"), [({"read_only": True}, {"read_only": 1}), ({"timeout": 1}, {"timeout": True})]
)
def test_what_is_equal_and_wrong_is_still_an_error(good: dict[str, Any], bad: dict[str, Any]) -> None:
    calls = Calls()
    calls.of(**good)
    with pytest.raises(ConfigError, match=next(iter(bad))):
        calls.of(**bad)


@pytest.mark.parametrize("bad", [{"role": []}, {"max_lag": {}}, {"timeout": [1]}])
def test_what_cannot_be_kept_is_the_usual_error(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Calls().of(**bad)


def test_a_node_is_looked_for_at_each_call() -> None:
    calls = Calls()
    calls.of(read_only=True)
    assert calls.of(read_only=True, node="a")[0].node == "a"
    calls.of(read_only=True, node="a")
    assert calls.checked == 3
    with pytest.raises(ConfigError, match="no such node"):
        calls.of(node="gone")


def test_a_timeout_that_is_another_each_time_fills_no_memory() -> None:
    calls = Calls()
    for number in range(3 * MOST):
        calls.of(timeout=1.0 + number)
    assert len(calls._kept) <= MOST
