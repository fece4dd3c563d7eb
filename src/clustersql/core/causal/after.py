"""What a read must have seen, and who remembers that: what `core.view.view.Want` carries of causal reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .bookmark import Bookmark
from .route import Stay


@dataclass(frozen=True, slots=True)
class Served:
    """A node has served work that may have written, or that has read what no bookmark tells of yet."""

    node: str
    """Its name."""
    identity: str = ""
    """The incarnation of its server, as it was known before the work was committed; "": it was not."""


class Remembers(Protocol):
    """The memory of a view: `pool.memory.Memory`."""

    @property
    def given(self) -> Bookmark | None:
        """What was named when the view was made."""

    @property
    def mark(self) -> Bookmark | None:
        """What was taken so far of its own."""

    @property
    def doubtful(self) -> bool:
        """Whether nobody knows what must have been seen, so that the primary has to be read."""

    @property
    def stay(self) -> Stay | None:
        """The replica that served the last read."""

    def due(self) -> Sequence[Served]:
        """Return whom to ask for a position that is not taken yet."""

    def ended(self) -> frozenset[Served]:
        """Return those of them whose work has ended."""

    def taken(self, asked: frozenset[Served], mark: Bookmark | None) -> None:
        """``mark`` has all that ``asked`` have served, whose work had ended before they were asked."""

    def served(self, session: Any, node: str, identity: str) -> None:
        """``session``, on that node, was given to somebody who may write."""

    def forgive(self) -> bool:
        """Let go of what was named, where that is no error.  Returns whether there was anything to let go."""

    def read(self, stay: Stay | None) -> None:
        """A replica has served a read; None: the primary has."""


@dataclass(frozen=True, slots=True, eq=False)
class Causal:
    """What a read must have seen."""

    after: Bookmark | None = None
    """What the caller has named."""
    memory: Remembers | None = None
    """What the view has seen itself."""
