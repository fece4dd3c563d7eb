"""Bars with quartiles as SVG, by hand: a plotting library would be the largest dependency of the project."""

from __future__ import annotations

from html import escape

from .measure import Group, Row

WIDTH, LABEL, LINE = 900, 430, 20
OURS, THEIRS = "#2b6cb0", "#a0aec0"


def bars(groups: list[Group]) -> str:
    """Return one picture of all tables, each with a scale of its own; ours are the blue ones."""
    parts, y = [], 10
    for group in groups:
        parts.append(_text(10, y + 14, f"{group.title} [{group.unit}]", weight="bold"))
        y += LINE + 4
        longest = max((r.high for r in group.rows if r.high != float("inf")), default=1.0) or 1.0
        for row in group.rows:
            parts += _bar(row, y, (WIDTH - LABEL - 90) / longest)
            y += LINE
        y += 14
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}">'
    back = f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>'
    return "\n".join([head, back, *parts, "</svg>"]) + "\n"


def _bar(row: Row, y: int, scale: float) -> list[str]:
    if row.median == float("inf"):
        return [_text(10, y + 14, row.name), _text(LABEL + 6, y + 14, "never")]
    colour = OURS if "clustersql" in row.name else THEIRS
    low, middle, high = (LABEL + value * scale for value in (row.low, row.median, row.high))
    return [
        _text(10, y + 14, row.name),
        f'<rect x="{LABEL}" y="{y + 3}" width="{max(1.0, middle - LABEL):.1f}" height="{LINE - 6}" fill="{colour}"/>',
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y + LINE / 2}" y2="{y + LINE / 2}" stroke="#1a202c"/>',
        _text(max(middle, high) + 6, y + 14, f"{row.median:.4g}"),
    ]


def _text(x: float, y: float, text: str, weight: str = "normal") -> str:
    style = f'font-family="sans-serif" font-size="12" font-weight="{weight}" fill="#1a202c"'
    return f'<text x="{x:.1f}" y="{y}" {style}>{escape(text)}</text>'
