"""What `observe` tells of a framework's work: the crossing of what an error proves and of what was under way."""

from __future__ import annotations

import pytest

from clustersql.core.faults import Facts, Fault
from clustersql.core.recovery.observed import During, Observed, Outcome, outcome

LOST = Facts(Fault.LOST, lost=True)
UNSENT = Facts(Fault.LOST, lost=True, not_sent=True)


@pytest.mark.parametrize(
    ("facts", "autocommit", "transaction", "commit"),
    [
        (LOST, "unknown", "void", "unknown"),
        (UNSENT, "void", "void", "void"),
        (Facts(Fault.LOST, lost=True, unheard=True), "void", "void", "void"),
        (Facts(Fault.AMBIGUOUS), "unknown", "void", "unknown"),
        (Facts(Fault.STATEMENT), "void", "void", "void"),
        (Facts(Fault.STATEMENT, lost=True), "unknown", "void", "unknown"),
        (Facts(Fault.ROLLED_BACK), "void", "void", "void"),
        (Facts(Fault.READ_ONLY), "void", "void", "unknown"),
        (Facts(Fault.READ_ONLY, undone_at_commit=True), "void", "void", "void"),
        (Facts(Fault.FOREIGN), "unknown", "void", "unknown"),
    ],
)
def test_outcomes(facts: Facts, autocommit: str, transaction: str, commit: str) -> None:
    """Before its COMMIT a transaction has not happened; a COMMIT that was sent has, unless the error proves
    otherwise.
    """
    found = {during: outcome(facts, during).value for during in ("autocommit", "transaction", "commit")}
    assert found == {"autocommit": autocommit, "transaction": transaction, "commit": commit}


def test_every_fault_has_an_outcome() -> None:
    during: list[During] = ["autocommit", "transaction", "commit"]
    assert {outcome(Facts(fault), one) for fault in Fault for one in during} <= {Outcome.VOID, Outcome.UNKNOWN}


def test_it_is_true_for_a_lost_connection() -> None:
    assert Observed(True, Outcome.VOID)
    assert not Observed(False, Outcome.UNKNOWN)
