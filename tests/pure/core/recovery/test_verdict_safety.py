"""Every situation there is, against promises that are stated without looking at how the verdict is found."""

from __future__ import annotations

from itertools import product

from clustersql.core.faults import Facts, Fault
from clustersql.core.recovery.verdict import Phase, Situation, Standing, Verdict, rerunnable, verdict

RERUN = (Verdict.AGAIN, Verdict.ELSEWHERE)
FLAG = (False, True)
OPEN = (Fault.LOST, Fault.AMBIGUOUS)
EVERY = [
    Situation(Facts(fault, lost, not_sent, undone), phase, where, *flags, repeatable=repeatable)
    for fault, lost, not_sent, undone, phase, where, repeatable, *flags in product(
        Fault, FLAG, FLAG, FLAG, Phase, Standing, FLAG, FLAG, FLAG, FLAG, FLAG, FLAG
    )
]


def test_what_may_have_happened_is_never_run_again() -> None:
    for s in EVERY:
        may_have = s.facts.fault in OPEN and not s.facts.not_sent and not s.proven
        commits = s.transaction is Standing.NONE or s.may_commit
        if may_have and commits:
            assert verdict(s) not in RERUN, s
        if s.may_commit and not s.proven and not s.facts.not_sent:
            assert verdict(s) not in RERUN, s


def test_only_a_statement_that_opens_the_work_is_run_again() -> None:
    for s in EVERY:
        if s.phase is not Phase.EXECUTE or s.transaction is Standing.LATER:
            assert verdict(s) not in RERUN, s


def test_nothing_immovable_moves_and_nothing_lost_is_reused() -> None:
    for s in EVERY:
        assert s.movable or verdict(s) is not Verdict.ELSEWHERE, s
        on_it = (Fault.ROLLED_BACK, Fault.STALE_PLAN, Fault.STALE_TYPES)
        assert verdict(s) is not Verdict.AGAIN or (s.facts.fault in on_it and not s.facts.lost), s


def test_rows_that_can_be_read_once_are_not_sent_again() -> None:
    for s in EVERY:
        assert s.repeatable or verdict(s) not in RERUN, s


def test_an_open_commit_is_never_said_not_to_have_happened() -> None:
    for s in EVERY:
        if s.phase is not Phase.COMMIT or s.proven or s.facts.not_sent or s.facts.undone_at_commit:
            continue
        if s.facts.fault in OPEN or (s.facts.fault is Fault.STATEMENT and s.facts.lost):
            assert verdict(s) is Verdict.UNKNOWN, s


def test_it_happened_is_said_only_of_a_commit_of_reads() -> None:
    for s in EVERY:
        if verdict(s) is Verdict.DONE:
            assert s.phase is Phase.COMMIT, s
            assert s.proven, s
            assert not s.may_commit, s


def test_unknown_only_where_nothing_proves_the_outcome() -> None:
    for s in EVERY:
        if verdict(s) is not Verdict.UNKNOWN:
            continue
        assert s.facts.fault is not Fault.ROLLED_BACK, s
        if s.phase is Phase.EXECUTE:
            assert s.facts.fault in OPEN, s
            assert s.transaction is Standing.NONE or s.may_commit, s
            assert not s.facts.not_sent or s.transaction is Standing.LATER, s
        else:
            assert s.phase is Phase.COMMIT, s
            assert not (s.proven and not s.may_commit), s


def test_the_callers_own_error_is_the_callers() -> None:
    for s in EVERY:
        if s.facts.fault in (Fault.STATEMENT, Fault.MISCONFIGURED) and not s.facts.lost:
            assert verdict(s) is Verdict.PASS, s


def test_run_never_reruns_what_may_have_been_committed() -> None:
    for fault, lost, not_sent, undone, at_commit, may_commit in product(Fault, FLAG, FLAG, FLAG, FLAG, FLAG):
        facts = Facts(fault, lost, not_sent, undone)
        if rerunnable(facts, at_commit, may_commit):
            assert not may_commit
            assert not at_commit or not_sent or undone or fault is Fault.ROLLED_BACK
