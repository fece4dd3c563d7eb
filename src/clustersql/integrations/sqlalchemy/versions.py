"""The version of the servers: SQLAlchemy reads it once, on one node, and writes its SQL for that one."""

from __future__ import annotations

import contextlib
import logging
import re
from typing import Any

log = logging.getLogger("clustersql")


class Versions:
    """Looks at what each new connection tells of its server, and says once that a node has another major version."""

    def __init__(self, dialect: Any) -> None:
        self._dialect = dialect
        self._told = False

    def look(self, raw: Any) -> None:
        """Compare, without a round trip.  A driver that does not tell is not asked."""
        known, found = getattr(self._dialect, "server_version_info", None), major(raw)
        if self._told or not known or found is None or found == known[0]:
            return
        self._told = True
        log.warning(
            "a node has version %d of its server, and SQLAlchemy writes its SQL for version %d, which it read on"
            " another one: statements that only one of them knows fail by the node that serves them",
            found,
            known[0],
        )


def major(raw: Any) -> int | None:
    """Return the major version that the server has told at connect; None: the driver does not say."""
    for tell in (_of_libpq, _of_asyncpg, _of_mysql):
        with contextlib.suppress(Exception):  # whatever a driver has there: it is only a warning
            if (found := tell(raw)) is not None:
                return found
    return None


def _of_libpq(raw: Any) -> int | None:
    number = getattr(getattr(raw, "info", None), "server_version", None)
    return number // 10000 if isinstance(number, int) else None


def _of_asyncpg(raw: Any) -> int | None:
    return int(raw.get_server_version().major)


def _of_mysql(raw: Any) -> int | None:
    match = re.match(r"(?:5\.5\.5-)?(\d+)\.", raw.get_server_info())  # MariaDB before 11 says so to old replicas
    return None if match is None else int(match[1])
