"""What the commit guard says to a database: one value per dialect that has a guard."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..core.guard.resolve import Fence
from ..core.guard.table import Table

__all__ = ["Guarding"]


@dataclass(frozen=True, slots=True)
class Guarding:
    """The statements about tokens.  Names of tables are quoted already, tokens are bytes."""

    create: Callable[[str, str], tuple[str, ...]]
    """Makes the tables: of the tokens, and of the keys of `Database.once`."""
    grant: Callable[[str, str, str], tuple[str, ...]]
    """Lets a user, the third one, work with both tables."""
    insert: Callable[[str, bytes], str]
    """Writes a token, as the transaction's last statement."""
    fold: Callable[[str, str], str]
    """Makes one text of `insert` and COMMIT, for a server of that version; empty: there is none, the token has a round
    trip of its own."""
    fence: Callable[[str, bytes], Fence]
    """Asks what became of it."""
    delete: Callable[[str, Sequence[bytes]], tuple[str, ...]]
    """Deletes tokens that were acknowledged, in a transaction of its own."""
    sweep: Callable[[str, float], tuple[str, ...]]
    """Deletes what is older than so many seconds, likewise."""
    lapse: Callable[[str], tuple[str, ...]]
    """Deletes the keys of `once` that are kept no longer, likewise."""
    claim: Callable[[str, str, bytes, float], tuple[str, ...]]
    """Writes a key of `once`, with the token of its transaction and the seconds for which it is kept, unless it is
    there; the last statement gives one row: whether it is ours now, and when it was written."""
    table: Callable[[Table, str | None], Table]
    """Gives the table that is meant, for a node with that database."""
    present: Callable[[Table], tuple[str, ...]]
    """Asks whether the table is there, and whether this user may work with it: the last statement gives one row of the
    two.  May be refused instead."""
    persistent: Callable[[Table], str]
    """Asks for one row: whether the table outlives a crash, and what else there is to warn of ("": nothing)."""
    refused: frozenset[str | int] = field(default_factory=frozenset)
    """Codes with which the token's INSERT is refused: no table, no privilege, a read-only transaction, a table of
    another form."""
    taken: frozenset[str | int] = field(default_factory=frozenset)
    """Codes that say that the token is there already: somebody has settled the id, and so made it void."""
    unproven: frozenset[str | int] = field(default_factory=frozenset)
    """Codes of an error that, as the answer to a folded COMMIT, proves nothing: something follows COMMIT in the
    text."""
    unguards: re.Pattern[str] = re.compile(r"(?!)")
    """Finds, in a statement, what changes the session's user or makes its transactions read-only."""
