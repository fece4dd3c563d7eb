"""What the adapters of PEP 249 drivers have in common; each driver's file holds only what differs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from .reader import BaseDriver, Codes, converted, no_dsn, server_arguments
from .unseen import unseen

__all__ = ["Adapter", "Codes", "LocalAutocommit", "converted", "no_dsn", "server_arguments"]


class Adapter(BaseDriver):
    """A driver seen through `contract.Driver`: the parts that are the same for most."""

    leaving: str = "commit"
    buffering: Mapping[str, Any] = MappingProxyType({})

    def ping(self, raw: Any) -> Any:
        """Ask for a sign of life."""
        return raw.ping()

    def reads_later(self, cursor: Any) -> bool:
        """In doubt it does; only asked of drivers with such cursors (`Abilities.fetch_reads`)."""
        return True

    def close(self, raw: Any) -> None:
        """Close quietly."""
        with contextlib.suppress(Exception):
            raw.close()

    def set_autocommit(self, raw: Any, on: bool) -> None:
        """Set the autocommit mode."""
        raise self.module.NotSupportedError(f"{self.name} has no autocommit mode")

    def set_read_only(self, raw: Any, on: bool) -> None:
        """Only asked of drivers that can work in shared sessions (`Abilities.shared`)."""
        raise NotImplementedError

    def cursor(self, raw: Any) -> Any:
        """Return a cursor that gives tuples, whatever the user chose for his own."""
        return raw.cursor()

    def ask(self, raw: Any, statements: Sequence[str]) -> list[list[tuple[Any, ...]]]:
        """Run ``statements`` and return the rows of each (empty where it returns none).  Leaves no transaction open."""
        with unseen(), self.outside_transaction(raw):
            cursor = self.cursor(raw)
            try:
                return [self._rows(cursor, statement) for statement in statements]
            finally:
                cursor.close()

    def within(self, raw: Any, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement of ours as a part of the open transaction, and return its rows."""
        cursor = self.cursor(raw)
        try:
            return self._rows(cursor, statement)
        finally:
            cursor.close()

    def commit_folded(self, raw: Any, text: str) -> None:
        """Run a text that ends with COMMIT."""
        with unseen():
            self.within(raw, text)

    def read_on(self, raw: Any, cursor: Any) -> None:
        """Go from result to result by PEP 249's ``nextset``, where the driver has it."""
        following = getattr(cursor, "nextset", None)
        if following is not None:
            with contextlib.suppress(self.module.NotSupportedError):
                while following():
                    pass

    def reset(self, raw: Any) -> bool:
        """Give the session its first state back by the dialect's statements; False: there are none."""
        if self.dialect.reset:
            self.ask(raw, self.dialect.reset)
        return bool(self.dialect.reset)

    @staticmethod
    def _rows(cursor: Any, statement: str) -> list[tuple[Any, ...]]:
        cursor.execute(statement)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    @contextlib.contextmanager
    def outside_transaction(self, raw: Any) -> Iterator[None]:
        """Run the body so that it leaves no transaction, unless the connection is in autocommit mode.

        By a ROLLBACK, which a node that refuses work still takes (Galera answers COMMIT with 1047 then, and the probe
        would not be heard).  A driver without an autocommit mode needs COMMIT: a ROLLBACK would undo PostgreSQL's ``SET
        SESSION CHARACTERISTICS``, and a read-only session would accept writes.
        """
        try:
            yield
            if not self.abilities.autocommit:
                raw.commit()
        finally:
            if self.abilities.autocommit and not self.autocommit(raw):
                with contextlib.suppress(self.module.Error):
                    raw.rollback()


class LocalAutocommit(Adapter):
    """For drivers whose ``autocommit`` is an attribute that costs nothing to change: they just do not send BEGIN."""

    def autocommit(self, raw: Any) -> bool | None:
        """Return the autocommit mode."""
        return bool(raw.autocommit)

    def set_autocommit(self, raw: Any, on: bool) -> None:
        """Set the autocommit mode, without a round trip."""
        if bool(raw.autocommit) is not on:
            raw.autocommit = on

    @contextlib.contextmanager
    def outside_transaction(self, raw: Any) -> Iterator[None]:
        """Run the body in autocommit mode: one round trip for each statement, and nothing to roll back."""
        before = bool(raw.autocommit)
        self.set_autocommit(raw, True)
        try:
            yield
        finally:
            with contextlib.suppress(self.module.Error):
                self.set_autocommit(raw, before)
