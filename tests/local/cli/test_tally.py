"""What the demo counts."""

from __future__ import annotations

from time import monotonic

from clustersql import OutcomeUnknown
from clustersql.cli.demo.tally import Tally


def test_recovery_counts_only_what_began_after_the_node_was_gone() -> None:
    tally = Tally(workers=2)
    fault = tally.fault("n1 killed")
    before = monotonic()
    tally.done(fault)
    tally.good(0, "read", "n2", before)
    assert not fault.back
    tally.good(0, "read", "n2", monotonic())
    assert not tally.all_back(fault, 0.01)
    tally.good(1, "write", "n2", monotonic(), 5)
    assert tally.all_back(fault, 10)
    assert fault.recovery("read") is not None
    assert tally.acknowledged == {5}


def test_an_unknown_outcome_is_neither_acknowledged_nor_failed() -> None:
    tally = Tally(workers=1)
    tally.bad(OutcomeUnknown("x"), "write", 1)
    tally.bad(ValueError("why\nmore"), "write", 2)
    tally.bad(ValueError("a read"), "read")
    assert (tally.unknown, tally.failed, tally.acknowledged) == ({1}, {2}, set())
    assert tally.errors == {"OutcomeUnknown": 1, "ValueError": 2}
    assert tally.examples["ValueError"].endswith(" s, write: why")


def test_a_phase_keeps_its_slowest_operation() -> None:
    tally = Tally(workers=1)
    tally.phase("second")
    now = monotonic()
    for began in (now - 1, now - 5, now - 2):
        tally.good(0, "read", "n1", began)
    slowest = tally.phases[-1].slowest
    assert slowest is not None
    assert slowest.seconds >= 5
    assert (tally.phases[0].operations, tally.phases[-1].operations) == (0, 3)
