"""Small plots as SVG, made of numbers and without a library: a line per node over the last minutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 320.0, 84.0
"""Of the picture, in its own units; the page scales it."""
LEAST = 60
"""So many moments are as wide as the picture, at least: the first seconds must not be stretched over all of it."""
POINTS = 150
"""At most so many points of a line are drawn."""

Values = Sequence[float | None]


def plot(title: str, series: Mapping[str, Values], unit: str, places: Mapping[str, int], begins: str = "") -> str:
    """Return a figure with one line per series; ``places``: which colour each has.  A value that is None is a gap.

    ``unit``: ``ms``, ``s``, ``%`` or "", as it stands behind the greatest value; ``begins``: what stands below its left
    end, in words.
    """
    most = max((value for values in series.values() for value in values if value is not None), default=0.0)
    top = _top(most)
    drawn = "".join(_line(values, top, places.get(name, 0)) for name, values in series.items() if values)
    label = f"{title}: at most {_said(most, unit)}"
    return (
        f'<figure class="plot"><figcaption>{escape(title)}<span>{_said(top, unit)}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">'
        f'<path class="grid" d="M0 1H{WIDTH:g}M0 {HEIGHT / 2:g}H{WIDTH:g}M0 {HEIGHT - 1:g}H{WIDTH:g}"/>'
        f'{drawn}</svg><p class="axis"><span>{escape(begins)}</span><span>now</span></p></figure>'
    )


def _line(values: Values, top: float, place: int) -> str:
    step = max(1, -(-len(values) // POINTS))
    path, pen_down = [], False
    # Whole groups, counted from the start of the ring: else each second would shift every point a little.
    for i in range(0, len(values), step):
        group = [value for value in values[i : i + step] if value is not None]
        if not group:
            pen_down = False
            continue
        x = WIDTH * (1 - (len(values) - 1 - i) / (max(LEAST, len(values)) - 1))
        y = 2 + (HEIGHT - 4) * (1 - min(1.0, max(group) / top))
        path.append(f"{'L' if pen_down else 'M'}{x:.1f} {y:.1f}")
        pen_down = True
    if not path:
        return ""
    alone = "h.1" if len(path) == 1 else ""  # a path of one point draws nothing
    return f'<path class="line s{place % 8}" d="{"".join(path)}{alone}"/>'


def _top(most: float) -> float:
    """Return the next round number."""
    if most <= 0:
        return 1.0
    scale = 1.0
    while scale * 10 <= most:
        scale *= 10
    while scale > most:
        scale /= 10
    return next(scale * each for each in (1, 2, 5, 10) if scale * each >= most)


def _said(value: float, unit: str) -> str:
    if unit == "ms":
        return f"{value * 1e3:.3g} ms"
    if unit == "%":
        return f"{value:.0%}"
    return f"{value:.3g}{f' {unit}' if unit else ''}"
