"""What a causal view remembers: what was taken, who has served since, and where its last read was.  Thread-safe; waits for nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from .. import fork
from ..core.causal.after import Served
from ..core.causal.bookmark import Bookmark
from ..core.causal.route import Stay


class Memory:
    """The memory of one view.  A position is taken only when somebody asks, so writing costs nothing."""

    __slots__ = ("__weakref__", "_due", "_lock", "_open", "mark", "stay")

    def __init__(self, mark: Bookmark | None = None) -> None:
        self.mark = mark
        """What was taken so far; None: nothing."""
        self.stay: Stay | None = None
        """The replica that served the last read; None: none did, or the primary."""
        self._lock = threading.Lock()
        # Whoever has served work that has ended since the last taking.
        self._due: frozenset[Served] = frozenset()
        # Sessions that are still somebody's, who may commit at any moment: each with the time of its checkout, by which it is known.
        self._open: tuple[tuple[Any, float, Served], ...] = ()
        fork.track(self)

    def served(self, session: Any, node: str, identity: str) -> None:
        """``session`` was given to somebody who may write."""
        with self._lock:
            self._sort_out()
            self._open += ((session, session.lent_at, Served(node, identity)),)

    def due(self) -> Sequence[Served]:
        """Return whom to ask for a position that is not taken yet; those whose work goes on will be asked again."""
        with self._lock:
            self._sort_out()
            return sorted(
                {*self._due, *(served for _, _, served in self._open)}, key=lambda one: (one.node, one.identity)
            )

    def ended(self) -> frozenset[Served]:
        """Return those of them whose work has ended, so that a position that is taken from now on has all of it."""
        with self._lock:
            self._sort_out()
            return self._due

    def taken(self, asked: frozenset[Served], mark: Bookmark | None) -> None:
        """``mark`` has all that ``asked``, whose work had `ended` before they were asked, have served."""
        with self._lock:
            self._due -= asked
            both = mark if self.mark is None or mark is None else self.mark.joined(mark)
            self.mark = both or mark or self.mark

    def read(self, stay: Stay | None) -> None:
        """A replica has served a read; None: the primary has."""
        self.stay = stay

    def _sort_out(self) -> None:
        """Whose session is nobody's any more, or another one's, has ended."""
        still = tuple(one for one in self._open if one[0].holder is not None and one[0].lent_at == one[1])
        self._due |= {served for session, at, served in self._open if (session, at, served) not in still}
        self._open = still

    def after_fork(self) -> tuple[()]:
        """In a forked child: a lock of its own; the work of the parent goes on in the parent."""
        self._lock = threading.Lock()
        self._open = ()
        return ()
