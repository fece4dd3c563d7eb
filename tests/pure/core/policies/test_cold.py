"""Nodes of which too little is known are tried before their estimates have faded; those that are known to be slower are
not.
"""

from __future__ import annotations

import pytest

from clustersql.core.policies.cold import ENOUGH, IDLE, SLOWER, UNLIKE, try_the_cold
from clustersql.core.policies.load import PENALTY, Load
from clustersql.core.policies.named import LeastLatency

NOW = 1000.0
STATEMENT, CONNECT = 0.0006, 0.0065


def known(name: str = "a", seconds: float = STATEMENT, answers: int = ENOUGH, at: float = NOW) -> Load:
    load = Load(name)
    load.connected(CONNECT, at - 1.0)
    for _ in range(answers):
        load.sample(seconds, at)
    return load


def unasked(connect: float = CONNECT) -> Load:
    load = Load("b")
    load.connected(connect, NOW - 1.0)
    return load


def is_next(load: Load, best: Load, now: float = NOW) -> bool:
    """Whether ``load`` is chosen before ``best``, or as good."""
    try_the_cold([best, load], now)
    return load.score(now) <= best.score(now) * 1.001


def test_a_node_that_was_never_asked_is_the_next_one() -> None:
    """The time of its connect is no estimate of a statement: with that alone it would wait until it has faded."""
    best, cold = known(), unasked()
    assert LeastLatency().pick([best, cold], NOW, lambda: 0.5) is best
    assert is_next(cold, best)


def test_one_whose_connect_took_much_longer_is_not() -> None:
    assert is_next(unasked(CONNECT * UNLIKE * 0.9), known())
    assert not is_next(unasked(CONNECT * UNLIKE * 1.1), known())


def test_one_that_has_failed_is_not() -> None:
    cold = unasked()
    cold.penalize(NOW)
    try_the_cold([known(), cold], NOW)
    assert cold.expected(NOW) == PENALTY


def test_the_first_answer_counts_alone() -> None:
    best, cold = known(), unasked()
    try_the_cold([best, cold], NOW)
    cold.sample(0.005, NOW)
    assert cold.expected(NOW) == pytest.approx(0.005)


@pytest.mark.parametrize(
    ("answers", "times", "tried"),
    [(1, UNLIKE * 0.9, True), (1, UNLIKE * 1.1, False), (ENOUGH, SLOWER * 0.9, True), (ENOUGH, SLOWER * 1.1, False)],
)
def test_the_fewer_answers_the_less_they_prove(answers: int, times: float, tried: bool) -> None:
    other = known("b", STATEMENT * times, answers, at=NOW - IDLE)
    assert is_next(other, known()) is tried


def test_a_node_that_answers_is_left_as_it_is() -> None:
    other = known("b", STATEMENT * 1.5, at=NOW - IDLE / 2)
    before = other.expected(NOW)
    try_the_cold([known(), other], NOW)
    assert other.expected(NOW) == before


def test_what_was_known_is_not_forgotten() -> None:
    """The answer weighs as if the estimate had faded by itself; a slower node is as slow as before after it."""
    other = known("b", STATEMENT * 1.8, at=NOW - IDLE)
    try_the_cold([known(), other], NOW)
    other.sample(STATEMENT * 1.8, NOW)
    assert other.expected(NOW) == pytest.approx(STATEMENT * 1.8, rel=0.01)


def test_nothing_is_known_of_any_node() -> None:
    loads = [unasked(), Load("c")]
    try_the_cold(loads, NOW)
    assert [load.ewma for load in loads] == [CONNECT, 0.0]


def test_a_question_on_an_open_connection_is_no_connect() -> None:
    load = Load("a")
    load.connected(0.0001, NOW, dialled=False)
    assert (load.connect, load.ewma) == (0.0, 0.0001)
