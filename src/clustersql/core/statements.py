"""What a statement's text tells about its effects, without parsing it: leading words and the functions it names.

(The body is being written; the contract is below.)
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """A dialect's lists; all words in lower case."""

    reading: frozenset[str]
    stateless: frozenset[str]
    implicit_commit: frozenset[str]
    pure_functions: frozenset[str]
    functions_with_effect: frozenset[str]
    phrases_with_effect: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Traits:
    """What is known of one statement; in doubt each field has the value that promises least."""

    plain: bool
    """Leaves no session state, is no transaction control and commits nothing by itself: nothing to note about it."""
    read: bool
    """In a read-only session it has no effect at all: nothing in it is on the dialect's list."""
    leaves_state: bool
    """May leave session state, so the connection must not move and is reset on its return."""
    may_commit: bool
    """May commit by itself (DDL on MySQL, CALL, DO, several statements), so nothing may be rerun."""
    begins: bool
    """Opens a transaction: BEGIN, START TRANSACTION."""
    commits: bool
    """COMMIT or END of the whole transaction."""
    rolls_back: bool
    """ROLLBACK of the whole transaction, not to a savepoint."""


def traits(sql: object, rules: Rules) -> Traits:
    """Return what ``sql`` is known to do; anything but a str is unknown and gets the traits that promise least."""
    raise NotImplementedError
