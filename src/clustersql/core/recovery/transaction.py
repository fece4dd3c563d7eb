"""The open transaction as a value: what is known of it, and what each statement makes of it.

Rules
-----
1. It is noted before a statement is sent: what may have been committed counts from then on.
2. A statement outside a transaction is an operation of its own: it is forgotten when it has happened.
3. How many statements it has is the session's to count (`Session.count`): that is the hot path's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..statements.traits import Traits
from .verdict import Standing

__all__ = ["NOTHING_OPEN", "Transaction"]


@dataclass(frozen=True, slots=True)
class Transaction:
    """What is known of the transaction that is open, or of the statement that stands alone."""

    explicit: bool = False
    """BEGIN was seen in autocommit mode."""
    may_commit: bool = False
    """A statement of it may commit by itself, so that nothing of it may be run again."""
    unproven: bool = False
    """Not every statement of it is a proven read."""
    refused: BaseException | None = None
    """The error that has ended it: a function that swallows it must not have the rest committed."""
    undone: bool = False
    """The server has ended it by its own rollback, so that what follows would be another transaction."""
    writes: bool = False
    """A statement of it may write, by its text.  Only known where each statement that may is noted: under the commit
    guard."""

    def noted(self, traits: Traits, standing: Standing) -> Transaction:
        """Return it with a statement that is about to be sent, and stands at ``standing``."""
        may_commit = traits.may_commit
        if standing is Standing.NONE:
            if traits.begins and not (traits.commits or traits.rolls_back):
                # Whatever was executed before has ended by itself: there is nothing that MySQL's BEGIN could commit.
                return Transaction(explicit=True, unproven=True, refused=self.refused)
        else:  # MySQL's BEGIN commits what is open: with nothing open that is nothing
            commits_nothing = traits.begins and not traits.commits and standing is Standing.FIRST
            may_commit = self.may_commit or (may_commit and not commits_nothing)
        # The end of a transaction reads nothing and writes nothing; what AND CHAIN begins is not proven to be
        # read-only.
        ends = (traits.commits or traits.rolls_back) and not traits.begins
        unproven = self.unproven or not (traits.read or ends)
        writes = self.writes or not (traits.read or ends or traits.begins)
        if may_commit is self.may_commit and unproven is self.unproven and writes is self.writes:
            return self
        return Transaction(self.explicit, may_commit, unproven, self.refused, self.undone, writes)

    def happened(self, traits: Traits, standing: Standing) -> Transaction:
        """Return what is open when the statement has succeeded."""
        if traits.commits or traits.rolls_back:
            return Transaction(explicit=True) if traits.begins else NOTHING_OPEN  # AND CHAIN
        if standing is Standing.NONE and self.may_commit:
            return replace(self, may_commit=False)
        return self

    def unmanaged(self) -> Transaction:
        """Return it after a call that passed us by: it may have done anything, and committed."""
        return replace(self, may_commit=True, unproven=True)

    def ended_by(self, error: BaseException, undone: bool = False) -> Transaction:
        """Return what is left when ``error`` has ended it; ``undone``: by the server's own rollback, so that nothing is
        open any more.
        """
        return Transaction(refused=error, undone=True) if undone else replace(self, refused=error)


NOTHING_OPEN = Transaction()
