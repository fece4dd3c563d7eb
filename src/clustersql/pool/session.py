"""An answer that is awaited, but is no statement's: a COMMIT, a mode that is set, a session that is made clean."""

from __future__ import annotations

import time

from ..core.booking.shelf import Session


class awaited:  # noqa: N801 - used as a statement: ``with awaited(session):``
    """Within the block an answer is awaited that is no statement's: the monitor sees it, and it is no sample of the
    node's latency.
    """

    __slots__ = ("_before", "_session")

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> None:
        session = self._session
        self._before = session.started, session.ended
        session.started = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._session.started, self._session.ended = self._before
