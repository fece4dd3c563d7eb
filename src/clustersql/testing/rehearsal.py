"""How a program's own tests reach the branches that only a lost COMMIT leads to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from ..connection.rehearsal import KINDS, planned
from ..errors import ClusterError, ConfigError

__all__ = ["fail"]


@contextmanager
def fail(operation: Literal["commit"], kind: type[ClusterError]) -> Iterator[None]:
    """Within the block the next COMMIT of any connection, in either API, ends with ``kind``, and what it would have
    committed is rolled back.

        with clustersql.testing.fail("commit", clustersql.OutcomeUnknown):
            place_order(db, order)

    ``kind``: `OutcomeUnknown` or `TransactionLost`.  Raises `ConfigError` for another one, and AssertionError where the
    block has ended without a COMMIT: then the program's test would have tested nothing.
    """
    if kind not in KINDS.get(operation, ()):
        allowed = "; ".join(f"{name}: {', '.join(one.__name__ for one in kinds)}" for name, kinds in KINDS.items())
        raise ConfigError(
            f"fail(): {operation!r} cannot end with {getattr(kind, '__name__', kind)!r}; what can: {allowed}"
        )
    planned.append(kind)
    try:
        yield
        if kind in planned:
            raise AssertionError("clustersql.testing.fail: nothing was committed in this block")
    finally:
        if kind in planned:
            planned.remove(kind)
