"""What an error has done to work that is not ours to recover: a framework's, which has to tell its own caller."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, get_args

from ..faults import Facts, Fault
from .verdict import Phase, Situation, Standing, Verdict, verdict

During = Literal["autocommit", "transaction", "commit"]
DURING: tuple[str, ...] = get_args(During)


class Outcome(Enum):
    """What has become of the work."""

    COMMITTED = "committed"
    """It has happened."""
    VOID = "void"
    """It has not happened, and never will: running it again is safe."""
    UNKNOWN = "unknown"
    """It may have happened."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What an error proves of a framework's connection and of its work."""

    lost: bool
    """The connection cannot be used any more, or should not be: its node refuses work."""
    outcome: Outcome
    """What has become of the statement in autocommit mode, else of the whole transaction so far."""

    def __bool__(self) -> bool:
        """Whether the connection is lost: a framework's handler that asks for no more reads well."""
        return self.lost


def outcome(facts: Facts, during: During) -> Outcome:
    """Return what has become of the work; ``during``: what was under way when the error came."""
    at_commit, alone = during == "commit", during == "autocommit"
    if facts.fault is Fault.FOREIGN:  # nobody knows how far the call had come
        return Outcome.UNKNOWN if at_commit or alone else Outcome.VOID
    phase = Phase.COMMIT if at_commit else Phase.EXECUTE
    standing = Standing.NONE if alone else Standing.LATER
    if alone and facts.lost and not facts.not_sent and facts.fault in (Fault.STATEMENT, Fault.MISCONFIGURED):
        return Outcome.UNKNOWN  # the session went down with it, and the code is of something else
    unknown = verdict(Situation(facts, phase, standing, movable=False)) is Verdict.UNKNOWN
    return Outcome.UNKNOWN if unknown else Outcome.VOID
