"""What a causal view remembers: what was taken, who has served since, and where its last read was.  Thread-safe; waits
for nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from .. import fork
from ..core.causal.after import Served
from ..core.causal.bookmark import Bookmark, parse
from ..core.causal.route import Stay
from ..errors import ConfigError


class Memory:
    """The memory of one view.  A position is taken only when somebody asks, so writing costs nothing."""

    __slots__ = ("__weakref__", "_due", "_lock", "_open", "doubtful", "given", "mark", "stay", "strict")

    def __init__(self, given: Bookmark | None = None, strict: bool = True, doubtful: bool = False) -> None:
        self.given = given
        """What was named when the view was made; None: nothing."""
        self.mark: Bookmark | None = None
        """What was taken so far of its own; None: nothing."""
        self.strict = strict
        """Whether it is an error when what was named is lost; else the primary is read in its place."""
        self.doubtful = doubtful
        """Nobody knows what must have been seen, until the primary has been read."""
        self.stay: Stay | None = None
        """The replica that served the last read; None: none did, or the primary."""
        self._lock = threading.Lock()
        # Whoever has served work that has ended since the last taking.
        self._due: frozenset[Served] = frozenset()
        # Sessions that are still somebody's, who may commit at any moment: each with the time of its checkout, by which
        # it is known.
        self._open: tuple[tuple[Any, float, Served], ...] = ()
        fork.track(self)

    def served(self, session: Any, node: str, identity: str) -> None:
        """``session`` was given to somebody who may write."""
        with self._lock:
            self._sort_out()
            self.doubtful = False
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

    def forgive(self) -> bool:
        """Let go of what was named, where that is no error.  Returns whether there was anything to let go."""
        if self.strict or self.given is None:
            return False
        self.given, self.doubtful = None, True
        return True

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


def remembering(after: object, strict: bool) -> tuple[Memory, bool]:
    """Return the memory of a new view, and whether ``after`` was no bookmark, where that is no error.  Raises
    `ConfigError`.
    """
    if after == "":
        return Memory(strict=strict), False
    try:
        return Memory(parse(after), strict), False
    except ConfigError as exc:
        if strict:
            raise ConfigError(f"after: {exc}") from None
        return Memory(strict=strict, doubtful=True), True
