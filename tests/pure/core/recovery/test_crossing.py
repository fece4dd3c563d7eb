"""Everything that can meet: error, phase, promise, role and generation, against the table of the README as it reads,
not as it is computed.

The errors are all rows of all dialects' tables, on a connection that lives on, that is gone, and that had sent nothing.
Each is taken from the exception through an adapter to what the caller gets and what the cluster believes afterwards.
Rows that prove the same are one case.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import pytest

from clustersql.core.faults import Facts, Fault
from clustersql.core.recovery.recover import Lost, blamed, recover
from clustersql.core.recovery.verdict import Phase, Situation, Standing
from clustersql.core.steps import Acquire, Discard, Execute, Rollback, Step, Tell
from clustersql.core.view.node import Epoch, Node, Reach, Readiness, Role
from clustersql.core.view.observe import observe
from clustersql.core.view.view import Service, View, Want
from clustersql.dialects import Dialect, by_name
from clustersql.drivers.base.reader import BaseDriver, Codes


class Raised(Exception):
    """What a driver raises."""


class Adapter(BaseDriver):
    """Reads codes, text and the state of a connection as the adapters do; ``raw`` is that state."""

    error = Raised

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def codes(self, exc: BaseException) -> Codes:
        sqlstate, errno, text = exc.args
        return sqlstate, errno, text

    def refused_unsent(self, exc: BaseException, codes: Codes) -> bool:
        return exc.args[1] is None and exc.args[2] == "refused before it was sent"

    def is_closed(self, raw: Any) -> bool:
        return raw == "closed"


def errors(dialect: Dialect) -> Iterator[tuple[str | None, int | None, str]]:
    """Every row of a dialect's tables as (SQLSTATE, number, text); a class of states by one that has no row
    of its own.
    """
    for errno, fault in dialect.errnos.items():
        for text in [""] if isinstance(fault, Fault) else ["", *(needle for needle, _ in fault)]:
            yield None, errno, text
    for state in dialect.sqlstates:
        yield state if len(state) == 5 else f"{state}ZZZ", None, ""
    for needle, _ in dialect.messages:
        yield None, None, needle
    yield None, None, "refused before it was sent"
    yield None, None, "nobody has ever seen this"


def all_facts() -> dict[Facts, str]:
    """What all errors prove, each with one that proves it."""
    found: dict[Facts, str] = {}
    for name in ("mysql", "postgresql", "sqlite", "generic"):
        adapter = Adapter(by_name(name))
        for error, state in product(errors(adapter.dialect), ("open", "closed")):
            facts = adapter.facts(Raised(*error), state)
            found.setdefault(
                Facts(facts.fault, facts.lost, facts.not_sent, facts.undone_at_commit), f"{name} {error}, {state}"
            )
        found.setdefault(adapter.facts(LookupError("a codec's"), "open"), "not the driver's")
    found.setdefault(Facts(Fault.STALE_TYPES), "asyncpg's own, which has no code")
    return found


PHASES = ("autocommit", "first", "later", "commit")
WORDS = ("write", "idempotent", "read")


class Case(NamedTuple):
    """One meeting.  ``error`` is an example of one that proves ``facts``; ``age`` is the session's generation less the
    node's.
    """

    facts: Facts
    error: str
    phase: str
    word: str
    role: Role
    age: int

    @property
    def situation(self) -> Situation:
        where = {"autocommit": Standing.NONE, "first": Standing.FIRST}.get(self.phase, Standing.LATER)
        commit = self.phase == "commit"
        return Situation(
            self.facts,
            Phase.COMMIT if commit else Phase.EXECUTE,
            where,
            proven=self.word == "read" or (self.word == "idempotent" and not commit),
            declared=self.word == "idempotent" and not commit,
            read_only=self.word == "read",
            on_replica=self.role is Role.REPLICA,
        )


CASES = [
    Case(facts, error, *rest) for (facts, error), *rest in product(all_facts().items(), PHASES, WORDS, Role, (-1, 0, 1))
]


def expected(case: Case) -> str:
    """Return how it ends by the table: "again", "error" (the driver's), "lost" (TransactionLost), "unknown",
    or "done".
    """
    facts, phase, word = case.facts, case.phase, case.word
    match facts.fault:
        case Fault.FOREIGN:
            return "error"
        case (
            Fault.STATEMENT | Fault.MISCONFIGURED
        ):  # the caller's own; but a session that went down with COMMIT has told nothing of it
            return "unknown" if phase == "commit" and facts.lost and word != "read" else "error"
        case Fault.READ_ONLY if word == "read":
            return "error"  # the caller's mistake, or a read-only COMMIT that a server refuses: nothing was written
        case Fault.LOST | Fault.AMBIGUOUS if not facts.not_sent:
            row = {"autocommit": "again" if word != "write" else "unknown", "first": "again", "later": "lost"}
            return row.get(phase) or ("done" if word == "read" else "unknown")
        case Fault.LOST | Fault.AMBIGUOUS:
            row = {"autocommit": "again", "first": "again", "later": "lost"}
            return row.get(phase) or ("done" if word == "read" else "lost")
        case Fault.ROLLED_BACK:
            return "again" if phase in ("autocommit", "first") else "error"
        case Fault.STALE_TYPES if phase == "autocommit" and word == "write":
            return "error"  # it has happened, only its answer could not be read
        case Fault.STALE_PLAN | Fault.STALE_TYPES if not facts.lost and phase != "commit":
            return "again" if phase in ("autocommit", "first") else "error"
        case _:  # refused: read-only, not ready, short of something
            row = {"autocommit": "again", "first": "again", "later": "lost"}
            open_ended = "lost" if facts.not_sent else "unknown"
            return row.get(phase) or ("done" if word == "read" else "error" if facts.undone_at_commit else open_ended)


def view_of(role: Role) -> View:
    """Node a in question, a replica, a node that is not known yet, and an old primary that is back from the dead."""
    others = (
        Node("replica", 1, Reach.UP, Role.REPLICA),
        Node("new", 2),
        Node("old", 3, Reach.UP, Role.PRIMARY, epoch=Epoch("x", 1), outdated=True),
    )
    return View((Node("a", 0, Reach.UP, role, generation=5, epoch=Epoch("x", 2)), *others), epoch=Epoch("x", 2))


def driven(case: Case, view: View) -> tuple[str, list[Step], View]:
    """Recover from the error, on healthy sessions; return how it ends, the steps, and what is believed then."""
    steps: list[Step] = []
    procedure = recover(
        Raised(case.error), case.situation, "a", view.by_name["a"].generation + case.age, 1, lambda: True
    )
    answer: Any = None
    while True:
        try:
            step = procedure.send(answer)
        except StopIteration as stop:
            end = stop.value
            break
        steps.append(step)
        match step:
            case Tell(seen):
                answer, view = None, observe(view, seen, 10.0)
            case Rollback():
                answer = True
            case Acquire(avoid):
                assert avoid == "a"
                answer = ("b", 0)
            case Execute():
                answer = "rows"
            case _:
                answer = None
    if isinstance(end, Lost):
        return {"PASS": "error", "LOST": "lost", "UNKNOWN": "unknown"}[end.verdict.name], steps, view
    return "done" if end is None else "again", steps, view


@pytest.fixture(scope="module")
def outcomes() -> list[tuple[Case, str, list[Step], View, View]]:
    found = []
    for case in CASES:
        before = view_of(case.role)
        found.append((case, *driven(case, before), before))
    return found


Outcomes = list[tuple[Case, str, list[Step], View, View]]


def test_every_kind_of_error_meets_everything() -> None:
    assert {facts.fault for facts in all_facts()} == set(Fault)
    assert any(facts.not_sent for facts in all_facts())
    assert any(facts.undone_at_commit for facts in all_facts())
    assert {case.phase for case in CASES} == set(PHASES)
    assert len(CASES) > 2000


def test_each_ends_as_the_table_says(outcomes: Outcomes) -> None:
    wrong = [(case, end, expected(case)) for case, end, *_ in outcomes if end != expected(case)]
    assert wrong == []


def test_what_was_sent_without_proof_is_executed_again_only_on_the_callers_word(outcomes: Outcomes) -> None:
    for case, end, steps, *_ in outcomes:
        open_ended = case.facts.fault in (Fault.LOST, Fault.AMBIGUOUS) and not case.facts.not_sent
        if case.word == "write" and open_ended and case.phase in ("autocommit", "commit"):
            assert end == "unknown", case
        if case.phase in ("later", "commit"):
            assert Execute() not in steps, case


def test_a_lost_session_is_never_used_again(outcomes: Outcomes) -> None:
    for case, _, steps, *_ in outcomes:
        on_it = (Fault.ROLLED_BACK, Fault.STALE_PLAN, Fault.STALE_TYPES)
        if Execute() in steps and (case.facts.lost or case.facts.fault not in on_it):
            assert steps.index(Discard()) < steps.index(Acquire("a")) < steps.index(Execute()), case


def test_news_of_another_generation_changes_nothing(outcomes: Outcomes) -> None:
    for case, _, _, after, before in outcomes:
        if case.age:
            assert after is before, case


def test_the_callers_own_error_is_no_news(outcomes: Outcomes) -> None:
    for case, _, _, after, before in outcomes:
        own = (
            case.facts.fault in (Fault.STATEMENT, Fault.ROLLED_BACK, Fault.STALE_PLAN, Fault.STALE_TYPES)
            and not case.facts.lost
        )
        if own or (case.facts.fault is Fault.READ_ONLY and case.word == "read" and not case.facts.lost):
            assert after is before, case


def test_a_failed_session_makes_its_node_suspect_and_never_dead(outcomes: Outcomes) -> None:
    for case, _, _, after, before in outcomes:
        node = after.by_name["a"]
        assert node.reach is not Reach.DOWN, case
        if case.facts.lost and not case.facts.not_sent and case.facts.fault is Fault.LOST and not case.age:
            assert node.reach is Reach.SUSPECT, case
            assert node.generation == before.by_name["a"].generation + 1, case


def test_a_refusal_takes_the_work_off_the_node(outcomes: Outcomes) -> None:
    for case, _, _, after, _ in outcomes:
        if case.age or case.facts.lost:
            continue
        if case.facts.fault is Fault.READ_ONLY and case.word != "read":
            assert "a" not in after.eligible(Want()), case
        if case.facts.fault is Fault.NOT_READY:
            assert all("a" not in after.serving(Want(service)) for service in Service), case
        if case.facts.fault is Fault.OVERLOADED:
            assert after.by_name["a"].usable, case  # pushed back, not called dead


def test_no_write_ever_goes_to_a_replica_an_unknown_or_an_old_primary(outcomes: Outcomes) -> None:
    """In panic neither: with no node left, there is none."""
    for case, _, _, after, _ in outcomes:
        for node in after.eligible(Want()):
            assert after.by_name[node].role is Role.PRIMARY, case
            assert not after.by_name[node].outdated, case
        assert "replica" not in after.dialable(Want()), case
        assert all("old" not in after.eligible(Want(service)) for service in Service), case
        tired = View(
            tuple(Node(n.name, n.order, Reach.UP, n.role, Readiness.DONOR, outdated=n.outdated) for n in after),
            epoch=after.epoch,
        )
        for node in tired.panicking(Want()):
            assert tired.by_name[node].role is Role.PRIMARY, case
            assert node != "old", case


def test_an_idle_connection_tells_of_its_node_as_a_busy_one_does(outcomes: Outcomes) -> None:
    """Nobody waits for it, so there is only the news."""
    for case, _, steps, *_ in outcomes:
        if case.phase == "autocommit":
            told = [step.seen for step in steps if isinstance(step, Tell)]
            idle = Situation(case.facts, read_only=case.word == "read")
            news = blamed(idle, "a", 5 + case.age, case.error)
            assert told == ([news] if news else []), case
