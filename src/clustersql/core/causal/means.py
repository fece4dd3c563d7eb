"""What one database has for bookmarks: which questions tell a position, and what their answers mean.  A dialect fills
it in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..view.epoch import Switch
from ..view.node import Node
from .bookmark import Bookmark, Kind
from .judge import Answer

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Taken:
    """The position of a server that has committed something."""

    bookmark: Bookmark | None
    """It; None: the server keeps none."""
    identity: str = ""
    """Which server, and which incarnation of it, has told it, as `core.view.node.Report.identity`."""


@dataclass(frozen=True, slots=True)
class Means:
    """The questions, as statements, and how their answers are read."""

    kind: Callable[[Node], Kind]
    """How that node tells where it is."""
    known: Callable[[Node], Answer | None]
    """What the view tells of a node; None: nothing that would be a proof."""
    look: Callable[[Bookmark, bool, float], tuple[str, ...]]
    """Asks a node, the primary or not, where it is; a server that can wait, does so for at most so many seconds."""
    looked: Callable[[Bookmark, bool, Sequence[Rows]], Answer]
    """Reads the answer of a node that is believed to be the primary, or not."""
    take: Callable[[Node], tuple[str, ...]]
    """Asks a primary for its position; no statements: nothing has to be asked."""
    taken: Callable[[Node, Sequence[Rows]], Taken]
    """Reads the answer."""
    missing: str = ""
    """What a server lacks that keeps no positions, and the remedy, in words."""
    polls: bool = False
    """The server cannot wait, so that it is asked again."""
    history: Callable[[int], tuple[str, ...]] = lambda timeline: ()
    """Asks the primary where the timelines up to its own began; a privilege that few have."""
    switches: Callable[[int, Sequence[Rows]], tuple[Switch, ...]] = lambda timeline, answers: ()
    """Reads the answer."""
    lineage: Callable[[str], str] = lambda lineage: lineage
    """Gives the lineage of an epoch as bookmarks have it."""
