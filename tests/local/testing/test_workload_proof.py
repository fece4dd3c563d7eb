"""The proof of a workload goes red for every way in which a write can go wrong."""

from __future__ import annotations

from clustersql.testing.workload import Proof, prove

GOOD = {1: (1, 7), 2: (1, 7), 3: (1, 8)}
COUNTERS = {7: 2, 8: 1}


def red(proof: Proof, words: str) -> bool:
    text = "\n".join(proof.lines())
    return not proof.holds and text.startswith("NOT PROVED") and words in text


def test_every_acknowledged_write_once_is_proved() -> None:
    proof = prove({1, 2, 3}, {4}, set(), GOOD, COUNTERS)
    assert proof.holds
    assert "\n".join(proof.lines()).startswith("PROVED: each of the 3 acknowledged writes")


def test_a_missing_row_is_red() -> None:
    assert red(prove({1, 2, 3, 4}, set(), set(), GOOD, COUNTERS), "1 acknowledged but missing: 4")


def test_a_row_that_is_there_twice_is_red() -> None:
    assert red(prove({1, 2, 3}, set(), set(), GOOD | {3: (2, 8)}, {7: 2, 8: 2}), "1 there more than once: 3")


def test_a_write_that_was_reported_failed_and_is_there_is_red() -> None:
    assert red(prove({1, 2}, {3}, set(), GOOD, COUNTERS), "1 reported failed but there: 3")


def test_a_row_that_nobody_wrote_is_red() -> None:
    assert red(prove({1, 2}, set(), set(), GOOD, COUNTERS), "1 there but never written: 3")


def test_a_counter_that_differs_from_its_rows_is_red() -> None:
    """Half of a transaction was applied, or all of it twice with one row lost."""
    assert red(prove({1, 2, 3}, set(), set(), GOOD, {7: 3, 8: 1}), "worker 7: its counter says 3, its writes are 2")
    assert red(prove({1, 2, 3}, set(), set(), GOOD, {7: 2}), "worker 8: its counter says 0, its writes are 1")


def test_an_unknown_outcome_may_have_happened_or_not() -> None:
    proof = prove({1, 2}, set(), {3, 4}, GOOD, COUNTERS)
    assert proof.holds
    assert proof.unknown_there == {3}
    assert proof.unknown_absent == {4}
    assert "OutcomeUnknown: 2; looked up now: 1 had happened," in "\n".join(proof.lines())


def test_nothing_written_is_proved_but_says_so() -> None:
    assert next(prove(set(), set(), set(), {}, {}).lines()).startswith("PROVED: each of the 0")


def test_an_older_write_over_a_newer_one_is_red() -> None:
    """The register holds what was written to it last: a write that came late, or one that was lost, shows."""
    assert prove({1, 2, 3}, set(), set(), GOOD, COUNTERS, {7: 2, 8: 3}).holds
    words = "worker 7: its register says that 1 was its latest write, which is 2"
    assert red(prove({1, 2, 3}, set(), set(), GOOD, COUNTERS, {7: 1, 8: 3}), words)


def test_a_read_that_saw_half_a_write_is_red() -> None:
    assert red(prove({1, 2, 3}, set(), set(), GOOD, COUNTERS, torn=["n is 2"]), "1 reads saw half a write: n is 2")
