"""The library, broken on purpose: each breakage takes one rule away, and the simulation must see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch
from weakref import WeakKeyDictionary

from clustersql import OutcomeUnknown
from clustersql.connection import guard, rerun
from clustersql.connection.guard import Token
from clustersql.connection.state import State
from clustersql.core.causal import reading
from clustersql.core.causal.judge import REACHED
from clustersql.core.faults import Fault
from clustersql.core.guard.resolve import Answer, Fence
from clustersql.core.recovery import verdict as rules
from clustersql.core.recovery.verdict import Phase, Situation, Standing, Verdict
from clustersql.core.view.node import Epoch
from clustersql.core.view.view import Want
from clustersql.nodes.guard import CommitGuard


@dataclass(frozen=True)
class Breakage:
    """What is replaced by what, and which sentence of the guarantee that breaks.  ``twin``: where the rule's other name
    is.
    """

    why: str
    target: str
    broken: Callable[..., Any]
    twin: str = ""

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the rule is gone."""
        with patch(self.target, self.broken), patch(self.twin or self.target, self.broken):
            yield


_verdict, _may_rerun, _proved = rules.verdict, rerun.may_rerun, reading._proved
_fence_of, _prepared, _acknowledged = guard.fence_of, guard.prepared, CommitGuard.acknowledged


def _retries_writes(s: Situation) -> Verdict:
    lost = s.phase is Phase.EXECUTE and s.transaction is Standing.NONE and s.facts.lost
    return _verdict(replace(s, proven=True) if lost and not s.may_commit else s)


def _retries_calls(s: Situation) -> Verdict:
    return _verdict(replace(s, proven=True, may_commit=False) if s.may_commit and s.facts.lost else s)


def _goes_on_alone(s: Situation) -> Verdict:
    return _verdict(replace(s, transaction=Standing.FIRST) if s.transaction is Standing.LATER else s)


def _commit_did_not_happen(s: Situation) -> Verdict:
    decision = _verdict(s)
    return Verdict.LOST if s.phase is Phase.COMMIT and decision is Verdict.UNKNOWN else decision


def _commit_happened(s: Situation) -> Verdict:
    decision = _verdict(s)
    return Verdict.DONE if s.phase is Phase.COMMIT and decision is Verdict.UNKNOWN else decision


def _idempotent_commit_happened(s: Situation) -> Verdict:
    return Verdict.DONE if s.phase is Phase.COMMIT and s.facts.undone_at_commit else _verdict(s)


def _unknown_is_the_drivers(s: Situation) -> Verdict:
    decision = _verdict(s)
    return Verdict.PASS if s.phase is Phase.EXECUTE and decision is Verdict.UNKNOWN else decision


def _ambiguous_is_rolled_back(s: Situation) -> Verdict:
    facts = s.facts
    return _verdict(replace(s, facts=replace(facts, fault=Fault.ROLLED_BACK)) if facts.fault is Fault.AMBIGUOUS else s)


def _moves_with_its_state(state: State) -> bool:
    return state.want.movable and state.options.move


def _reruns_after_commit(state: State, error: Exception, at_commit: bool) -> bool:
    return isinstance(error, OutcomeUnknown) or _may_rerun(state, error, at_commit)


def _never_refused(driver: Any, raw: Any) -> bool:
    return False


def _takes_for_its_own(reader: Any, error: BaseException, raw: Any) -> bool:
    return False


def _nothing_swallowed(state: Any, session: Any, error: Exception) -> None:
    return None


def _nothing_outlived(before: int | None) -> None:
    return None


def _reads_again(parameters: Any, many: bool) -> bool:
    return False


def _never_in_doubt(s: Situation) -> bool:
    return False


def _reads_before_its_commit(state: State, token: Token) -> tuple[Want, Fence]:
    want, fence = _fence_of(state, token)
    return want, replace(fence, statements=fence.statements[:-1])


def _asks_for_its_number(state: State, token: Token) -> tuple[Want, Fence]:
    want, fence = _fence_of(state, token)
    number = 0 if state.session is None else state.session.raw.wire.transaction
    status = (f"SELECT pg_xact_status('{number}')",)
    return want, replace(fence, statements=status, answer=lambda rows: Answer(rows[0][0][0] == "committed"))


def _any_history(told: Epoch | None, newest: Epoch | None) -> bool:
    return False


def _deletes_at_once(state: State, session: Any, text: bool) -> Token | None:
    token = _prepared(state, session, text)
    if token is not None and state.topology.guard is not None:
        state.topology.guard._spent.append(token.value)
    return token


def _deletes_what_was_handed_out(self: CommitGuard, token: bytes, exported: bool) -> None:
    _acknowledged(self, token, False)


_furthest: WeakKeyDictionary[Any, dict[str, int]] = WeakKeyDictionary()
"""Of the servers of a run, the furthest position that each node was known to be at."""


def _known_of_any_start(search: Any, look: Any, view: Any) -> Iterator[Any]:
    node, told = look.node, _furthest.setdefault(look.session.raw.wire.servers, {})
    told[node.name] = max(told.get(node.name, 0), node.position or 0)
    if search.mark is not None and reading._known(search, view, replace(node, position=told[node.name])):
        return REACHED
    return (yield from _proved(search, look, view))


def _survives_all(timeline: int, place: int, to: int, switches: Any) -> bool:
    return True


_VERDICT = "clustersql.core.recovery.recover.verdict"

BREAKAGES = {
    "retry-writes": Breakage("an autocommit write is retried after a loss: nothing twice", _VERDICT, _retries_writes),
    "retry-calls": Breakage(
        "a procedure that may commit is retried after a loss: nothing twice", _VERDICT, _retries_calls
    ),
    "go-on-alone": Breakage("the rest of a transaction goes on elsewhere: all or nothing", _VERDICT, _goes_on_alone),
    "idempotent-fails": Breakage(
        "an idempotent write that cannot be tried again passes the driver's error on: failed is never observed",
        "clustersql.core.recovery.recover.in_doubt",
        _never_in_doubt,
    ),
    "commit-lost": Breakage(
        "a lost COMMIT is TransactionLost: failed is never observed", _VERDICT, _commit_did_not_happen
    ),
    "commit-done": Breakage("a lost COMMIT has happened: committed is never missing", _VERDICT, _commit_happened),
    "refused-commit-done": Breakage(
        "a COMMIT that was refused has happened: committed is never missing", _VERDICT, _idempotent_commit_happened
    ),
    "unknown-passes": Breakage(
        "a lost write is the driver's error: failed is never observed", _VERDICT, _unknown_is_the_drivers
    ),
    "ambiguous": Breakage(
        "40003 and 1180 mean rolled back: failed is never observed", _VERDICT, _ambiguous_is_rolled_back
    ),
    "move-with-state": Breakage(
        "a session with state moves: its state is there until the end",
        "clustersql.connection.state.State.movable",
        property(_moves_with_its_state),
    ),
    "rerun-commit": Breakage(
        "run() reruns whatever was lost, COMMIT too: nothing twice",
        "clustersql.sync.run.may_rerun",
        _reruns_after_commit,
    ),
    "foreign-is-own": Breakage(
        "what is not the driver's is taken for its own: failed is never observed, and nobody reads another's answer",
        "clustersql.drivers.base.reader.BaseDriver.is_foreign",
        _takes_for_its_own,
    ),
    "cancellation-swallowed": Breakage(
        "an error that a driver raises in place of a cancellation is its own: what was cancelled ends as cancelled",
        "clustersql.aio.serving.swallowed",
        _nothing_swallowed,
    ),
    "cancellation-outlived": Breakage(
        "a COMMIT that returns in a task that was cancelled has ended well: what was cancelled ends as cancelled",
        "clustersql.aio.ending.outlived",
        _nothing_outlived,
    ),
    "rows-again": Breakage(
        "rows that can be read once only are sent again: committed is never missing",
        "clustersql.connection.state.read_once",
        _reads_again,
    ),
    "silent-rollback": Breakage(
        "COMMIT of a failed transaction is sent: committed is never missing",
        "simulation.faults.driver.Simulated.failed_transaction",
        _never_refused,
    ),
    "fence-reads-early": Breakage(
        "a fence's answer counts before its own COMMIT: committed is never missing, and void is for ever",
        "clustersql.connection.asking.fence_of",
        _reads_before_its_commit,
    ),
    "fence-on-old-epoch": Breakage(
        "an old primary may answer a fence: void is for ever",
        "clustersql.core.guard.resolve._is_older",
        _any_history,
    ),
    "delete-unacknowledged": Breakage(
        "a token is deleted before its COMMIT was acknowledged: void is for ever",
        "clustersql.sync.guard.prepared",
        _deletes_at_once,
        "clustersql.aio.guard.prepared",
    ),
    "delete-exported": Breakage(
        "a token is deleted though its id was handed out: what was settled as void has not happened",
        "clustersql.nodes.guard.CommitGuard.acknowledged",
        _deletes_what_was_handed_out,
    ),
    "resolve-by-xid": Breakage(
        "a COMMIT is asked for by its transaction's number: committed is never missing",
        "clustersql.connection.asking.fence_of",
        _asks_for_its_number,
    ),
    "position-survives-restart": Breakage(
        "a position counts for a server that was started anew since: what was written is read",
        "clustersql.core.causal.reading._proved",
        _known_of_any_start,
    ),
    "timeline-ignored": Breakage(
        "a position counts on every timeline: what was written is read",
        "clustersql.core.causal.judge.survives",
        _survives_all,
    ),
}
