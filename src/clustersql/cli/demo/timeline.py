"""What a run of the demo was like over time: the picture of ``--svg`` is drawn from it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

__all__ = ["ERROR", "Recorder", "Span", "Timeline", "became"]

EVERY = 0.05
"""Seconds between two looks at the nodes."""
ERROR = "error"
"""The kind of an operation that ended in an error."""


@dataclass(frozen=True, slots=True)
class Span:
    """A node was so for a while."""

    node: str
    """Its name."""
    state: str
    """``primary``, ``replica``, ``suspect``, ``down`` or ``unknown``."""
    begins: float
    """When, in seconds since the beginning."""
    ends: float
    """Until when."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """One run.  Times are in seconds since the workload began."""

    seconds: float
    """How long it took."""
    spans: tuple[Span, ...]
    """What clustersql believed of each node, the nodes in their order."""
    counts: Mapping[tuple[int, str, str], int]
    """How many operations ended in each second, on which node, of which kind: ``read``, ``write`` or `ERROR`."""
    marks: tuple[tuple[float, str], ...]
    """What was done to the nodes, and when."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes in their order."""
        return tuple(dict.fromkeys(span.node for span in self.spans))


def became(node: Mapping[str, Any]) -> str:
    """Return what a node is, in a word, from its figures (`Cluster.metrics`)."""
    state, role = str(node.get("State", "unknown")), str(node.get("Role", "unknown"))
    return role if state == "up" else state


@dataclass(slots=True)
class Recorder:
    """Looks at the nodes while the workload runs, in a thread of its own; ``with`` starts and ends it."""

    figures: Callable[[], Mapping[str, Any]]
    """What `Cluster.metrics` tells."""
    began: float
    """When the workload began, by the monotonic clock."""
    seconds: float = 0.0
    """How long it took, once it has ended."""
    _spans: dict[str, list[Span]] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Recorder:
        self._thread = threading.Thread(target=self._run, name="demo-recorder", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        self._stop.set()
        self._thread.join()
        self.seconds = monotonic() - self.began

    def look(self, now: float) -> None:
        """Take what the nodes are ``now``, in seconds since the beginning."""
        for name, node in self.figures()["Nodes"].items():
            spans, state = self._spans.setdefault(name, []), became(node)
            if spans and spans[-1].state == state:
                spans[-1] = Span(name, state, spans[-1].begins, now)
                continue
            if spans:
                spans[-1] = Span(name, spans[-1].state, spans[-1].begins, now)
            spans.append(Span(name, state, now, now))

    def timeline(self, counts: Mapping[tuple[int, str, str], int], marks: Sequence[tuple[float, str]]) -> Timeline:
        """Return the run; ``marks``: what was done to the nodes, and when, by the monotonic clock."""
        spans = tuple(span for each in self._spans.values() for span in each)
        return Timeline(self.seconds, spans, dict(counts), tuple((at - self.began, text) for at, text in marks))

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            self.look(monotonic() - self.began)
