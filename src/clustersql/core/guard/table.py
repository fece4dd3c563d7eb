"""The name of the guard's tables, as a person writes it: ``schema.name``, or ``name`` alone."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT", "KEYS", "LONGEST", "Table"]

DEFAULT = "public.clustersql_commit"
"""Where the tokens are.  On MySQL and MariaDB, which have no schemas in a database, ``public`` stands for the node's
own."""
LONGEST = 63
"""Bytes of a name: PostgreSQL cuts a longer one off (NAMEDATALEN), and then two clusters would share one table."""
KEYS = "clustersql_key"
"""The table of `Database.once`: it stands beside that of the tokens."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table, perhaps with its schema (on MySQL and MariaDB: its database)."""

    schema: str
    """"": the one that the session works in."""
    name: str
    """Without quotes."""

    @classmethod
    def parse(cls, text: str) -> Table:
        """Read ``schema.name`` or ``name``.  Raises ValueError, which says what is wrong.

        >>> Table.parse("audit.tokens")
        Table(schema='audit', name='tokens')
        """
        parts = text.split(".")
        if len(parts) > 2 or not all(part and part == part.strip() for part in parts):
            raise ValueError("must be a table's name, or schema.name")
        if any("\0" in part or len(part.encode()) > LONGEST for part in parts):
            raise ValueError(f"each of its names may have at most {LONGEST} bytes")
        return cls(parts[0] if len(parts) == 2 else "", parts[-1])

    def beside(self, name: str) -> Table:
        """Return the table ``name`` in the same schema."""
        return Table(self.schema, name)

    def quoted(self, quote: str) -> str:
        """Return it for a statement, in the database's quotes.

        >>> Table("public", "a b").quoted('"')
        '"public"."a b"'
        """
        parts = (self.schema, self.name) if self.schema else (self.name,)
        return ".".join(f"{quote}{part.replace(quote, quote * 2)}{quote}" for part in parts)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name
