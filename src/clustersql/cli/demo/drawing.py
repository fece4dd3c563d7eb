"""The picture of a run as SVG: what each node was, who served what share, and how the operations of each second ended.

Pure.  It needs no script and no font of its own, and is dark where its reader prefers that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from .timeline import ERROR, Timeline

__all__ = ["svg"]

WIDTH, LEFT, RIGHT = 1000.0, 64.0, 16.0
"""Of the picture, and of what stands beside the plots."""
LANE, GAP = 18.0, 6.0
"""Height of a node's lane, and between two."""
TOP, MARKS, PLOT = 62.0, 34.0, 96.0
"""Heights of the heading, of the words above the lanes, and of a plot."""

STYLE = """
text{font:12px system-ui,"DejaVu Sans",sans-serif;fill:#1d2126}
.title{font-size:17px;font-weight:600}.faint{fill:#5b636e}
.paper{fill:#fbfaf8}.grid{stroke:#dcdad5}.mark{stroke:#5b636e;stroke-dasharray:3 3}
.primary{fill:#2060b0}.replica{fill:#9bbfe8}.suspect{fill:#e0a030}.down{fill:#c9485b}.unknown{fill:#b8b6b0}
.s0{fill:#2060b0}.s1{fill:#d98436}.s2{fill:#2f9a72}.s3{fill:#8a3fa0}.s4{fill:#a32a4f}
.s5{fill:#4d6b00}.s6{fill:#00707f}.s7{fill:#6d5a42}.s8{fill:#777}
.read{fill:#7fb58f}.write{fill:#2f7d50}.error{fill:#c9485b}
@media(prefers-color-scheme:dark){text{fill:#e6e8eb}.faint{fill:#a2abb6}.paper{fill:#14171b}.grid{stroke:#343b44}.mark{stroke:#a2abb6}
.primary{fill:#5b9bf0}.replica{fill:#2c4a72}}
"""


def svg(run: Timeline, title: str, words: str) -> str:
    """Return the picture of ``run``.  ``words``: what stands below the title."""
    lanes = TOP + MARKS
    shares = lanes + len(run.nodes) * (LANE + GAP) + 30
    ends = shares + PLOT + 34
    height = ends + PLOT + 34
    parts = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:g}" role="img" '
        f'aria-label="{escape(title)}"><style>{STYLE}</style><rect class="paper" width="100%" height="100%"/>',
        _text(16, 28, title, "title"),
        _text(16, 47, words, "faint"),
        *_lanes(run, lanes),
        *_shares(run, shares),
        *_outcomes(run, ends),
        *_marks(run, lanes, ends + PLOT),
        *_axis(run, ends + PLOT),
        "</svg>\n",
    )
    return "".join(parts)


def _x(run: Timeline, at: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, max(0.0, at / run.seconds))


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.6, width):.1f}" height="{height:.1f}" class="{kind}"/>'


def _lanes(run: Timeline, top: float) -> Iterator[str]:
    for i, node in enumerate(run.nodes):
        y = top + i * (LANE + GAP)
        yield _text(LEFT - 10, y + 13, node, "", "end")
        for span in run.spans:
            if span.node == node:
                begins = _x(run, span.begins)
                yield _rect(begins, y, _x(run, span.ends) - begins, LANE, span.state)
    words = ("primary", "replica", "suspect", "down")
    yield from _legend([(word, word) for word in words], top + len(run.nodes) * (LANE + GAP) + 8)


def _legend(entries: Sequence[tuple[str, str]], y: float) -> Iterator[str]:
    """Entries (class, word) from the right."""
    x = WIDTH - RIGHT
    for kind, word in reversed(entries):
        yield _text(x, y, word, "faint", "end")
        x -= 8 * len(word) + 16
        yield _rect(x, y - 9, 10, 10, kind)
        x -= 14


def _heading(text: str, y: float) -> str:
    return _text(LEFT, y - 8, text, "faint")


def _whole(run: Timeline) -> range:
    """The seconds that are whole: the last one would look like a loss."""
    return range(int(run.seconds))


def _shares(run: Timeline, top: float) -> Iterator[str]:
    yield _heading("share of the operations, per node", top)
    yield from _legend([(f"s{min(i, 8)}", node) for i, node in enumerate(run.nodes)], top - 8)
    for second in _whole(run):
        served = [sum(run.counts.get((second, node, kind), 0) for kind in ("read", "write")) for node in run.nodes]
        y, total = top + PLOT, sum(served)
        for i, count in enumerate(served):
            if count:
                height = PLOT * count / total
                y -= height
                yield _rect(_x(run, second), y, _x(run, second + 1) - _x(run, second) - 1, height, f"s{min(i, 8)}")


def _outcomes(run: Timeline, top: float) -> Iterator[str]:
    kinds = ("read", "write", ERROR)
    per_second = [
        {kind: sum(n for (at, _, each), n in run.counts.items() if at == second and each == kind) for kind in kinds}
        for second in _whole(run)
    ]
    most = max((sum(each.values()) for each in per_second), default=0) or 1
    yield _heading(f"operations per second (up to {most}), by how they ended", top)
    yield from _legend([("read", "reads"), ("write", "writes"), ("error", "errors")], top - 8)
    for second, each in enumerate(per_second):
        y = top + PLOT
        for kind in kinds:
            height = PLOT * each[kind] / most
            y -= height
            if height:
                yield _rect(_x(run, second), y, _x(run, second + 1) - _x(run, second) - 1, height, kind)


def _marks(run: Timeline, top: float, bottom: float) -> Iterator[str]:
    for i, (at, text) in enumerate(run.marks):
        x, y = _x(run, at), top - 8 - 13 * (i % 2)
        yield f'<path class="mark" d="M{x:.1f} {y + 3:.1f}V{bottom:.1f}"/>'
        yield _text(x + 3 if x < WIDTH - 200 else x - 3, y, text, "", "start" if x < WIDTH - 200 else "end")


def _axis(run: Timeline, y: float) -> Iterator[str]:
    yield f'<path class="grid" d="M{LEFT:g} {y:.1f}H{WIDTH - RIGHT:g}"/>'
    step = next((each for each in (1, 2, 5, 10, 30, 60, 300, 3600) if run.seconds / each <= 12), 7200)
    for at in range(0, int(run.seconds) + 1, step):
        yield _text(_x(run, at), y + 18, f"{at} s", "faint", "middle")
