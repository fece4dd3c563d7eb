"""What was set in a session since its checkout, so that a new session can be given the same, and proves it.

Rules
-----
1. A setting is noted when its statement has succeeded; sent again it does no harm.
2. Where a rollback undoes settings (PostgreSQL), those of an open transaction are ``pending`` until it ends.
3. What a rollback to a savepoint has undone is not worked out: with anything pending that is doubt, and doubt pins the
   connection.
4. A move is complete only when every setting was read back from the new session: `Ledger.wrong`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .settings import Setting, agrees

__all__ = ["EMPTY", "Ledger"]

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Ledger:
    """The settings of a session, the oldest first; of two with one name the later."""

    kept: tuple[Setting, ...] = ()
    """Those of transactions that are committed."""
    pending: tuple[Setting, ...] = ()
    """Those of the open transaction."""
    failed: bool = False
    """A statement of the open transaction has failed."""

    def noted(self, setting: Setting, pending: bool) -> Ledger:
        """Return the ledger with ``setting``, until its transaction ends where it is ``pending``."""
        if pending:
            return replace(self, pending=_with(self.pending, setting))
        return replace(self, kept=_with(self.kept, setting))

    def broken(self) -> Ledger:
        """Return the ledger after a statement has failed: on PostgreSQL the server answers COMMIT with a rollback
        then.
        """
        return replace(self, failed=True) if self.pending else self

    def ended(self, committed: bool) -> Ledger:
        """Return the ledger at the end of a transaction."""
        if not self.pending:
            return self
        kept = self.kept
        if committed and not self.failed:
            for setting in self.pending:
                kept = _with(kept, setting)
        return Ledger(kept) if kept else EMPTY

    @property
    def script(self) -> tuple[str, ...]:
        """The statements that restore it: each setting with its question at once, then every question once more.

        One setting may change another (``SET NAMES`` and ``character_set_client``), and a proxy that pools connections
        may give each statement to another session: the second answer shows it.
        """
        pairs = [text for one in self.kept for text in (one.statement, one.question)]
        return (*pairs, *(one.question for one in self.kept))

    def wrong(self, answers: Sequence[Rows]) -> str:
        """Return which setting the answers to `script` do not prove, in words; empty: all are proven."""
        first, second = answers[1 : 2 * len(self.kept) : 2], answers[2 * len(self.kept) :]
        for one, before, after in zip(self.kept, first, second, strict=True):
            told = _told(after)
            if told != _told(before):
                return f"{one.name} did not keep its value"
            if one.value is not None and (told is None or not _is(one, told)):
                return f"{one.name} has another value there"
        return ""


EMPTY = Ledger()


def _is(setting: Setting, told: str) -> bool:
    value = setting.value or ""
    return told == value if setting.exact else agrees(value, told)


def _with(settings: tuple[Setting, ...], setting: Setting) -> tuple[Setting, ...]:
    return (*(one for one in settings if one.name != setting.name), setting)


def _told(rows: Rows) -> str | None:
    """The answer to a question; some drivers give SHOW's columns as bytes.  None: there is none."""
    value = rows[0][-1] if rows and rows[0] else None
    return (
        value.decode("utf-8", "replace")
        if isinstance(value, bytes | bytearray)
        else None
        if value is None
        else str(value)
    )
