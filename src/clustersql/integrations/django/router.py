"""Reads to a replica where that is safe: `DATABASE_ROUTERS = ["clustersql.integrations.django.ReadRouter"]`."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from .pinning import is_pinned


def replicas() -> dict[str, str]:
    """Return the replicas' aliases with those that they are replicas of."""
    return {alias: str(entry["REPLICA_OF"]) for alias, entry in connections.settings.items() if entry.get("REPLICA_OF")}


def alias_of(instance: Any) -> str | None:
    """Return the alias that a model's instance was read from, or written to; None: neither."""
    alias: str | None = getattr(getattr(instance, "_state", None), "db", None)
    return alias


class ReadRouter:
    """Sends reads to the alias with ``REPLICA_OF``, and everything else to the one that it names.

    Reads go to the primary inside ``atomic``, after a write in the same request or task, while `PinningMiddleware` says
    so, and under test, where a replica would not see what a ``TestCase`` has not committed.
    """

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        """Return the alias for a read; None: it is no database of ours with a replica."""
        known = replicas()
        given = alias_of(hints.get("instance")) or DEFAULT_DB_ALIAS
        source = known.get(given, given)
        found = [alias for alias, of in known.items() if of == source]
        if not found:
            return None
        replica = given if given in found else found[0]
        return source if self._must_read(source, replica) else replica

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        """Return the alias for a write: also of what was read from a replica."""
        given = alias_of(hints.get("instance"))
        return replicas().get(given) if given else None

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool | None:
        """Allow what is of one database, whichever node it was read from."""
        known = replicas()
        sources = {known.get(alias, alias) for alias in map(alias_of, (one, other)) if alias}
        return True if len(sources) == 1 and sources & set(known.values()) else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """Let no migration run on a replica."""
        return False if db in replicas() else None

    def _must_read(self, source: str, replica: str) -> bool:
        """Whether a read is the primary's."""
        primary = connections[source]
        mirrored = getattr(connections[replica].creation, "is_mirror", False)
        return primary.in_atomic_block or primary.written or is_pinned() or mirrored
