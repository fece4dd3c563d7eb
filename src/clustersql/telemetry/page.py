"""The page at ``/``: what is shown of the clusters, as HTML that reads without JavaScript.

Each part has an id of its own; a browser with JavaScript gets the parts that have changed, and puts them in place of
the former ones (`clustersql.telemetry.stream`).  Everything that comes from a server or a program is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from itertools import groupby
from typing import Any

from ..reports.live import LONG, WORDS, Line, State, Summary, clock, holders, loudness, place_of
from .history import EVERY, Moment, Shown
from .plots import plot

_FILES = files(__package__) / "static"
CSS = (_FILES / "page.css").read_text("utf-8")
SCRIPT = (_FILES / "page.js").read_text("utf-8")
EVENTS = 50
"""Events that the page shows."""
HOLDERS = 20
"""Holders that it shows, the oldest."""


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


POLICY = (
    f"default-src 'none'; style-src {_hash(CSS)}; script-src {_hash(SCRIPT)}; connect-src 'self'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy: nothing from elsewhere, and no script but the page's own."""


def page(shown: Mapping[str, Shown]) -> str:
    """Return the whole page."""
    body = "".join(f'<div id="{name}">{text}</div>' for name, text in parts(shown).items())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>clustersql</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<style>{CSS}</style></head><body>"
        '<header><h1>clustersql</h1><p id="live" role="status">as it was when this page was loaded</p></header>'
        f'<main>{body}</main><footer>Read-only. The same as JSON: <a href="/state.json">state.json</a>,'
        ' <a href="/debug/vars">debug/vars</a>.</footer>'
        f"<script>{SCRIPT}</script></body></html>"
    )


def parts(shown: Mapping[str, Shown]) -> dict[str, str]:
    """Return the parts of the page by their ids, those of each cluster under one heading."""
    if not shown:
        return {"none": "<section><p>No cluster is registered in this program.</p></section>"}
    made: dict[str, str] = {}
    for i, (name, each) in enumerate(shown.items()):
        latest = each.moments[-1]
        made[f"c{i}-head"] = _head(name, latest.summary)
        made[f"c{i}-nodes"] = _nodes(latest.lines)
        made[f"c{i}-plots"] = _plots(each.moments)
        made[f"c{i}-holders"] = _holders(each.state)
        made[f"c{i}-events"] = _events(each.state)
    return made


def _mark(level: str, text: str) -> str:
    return f'<span class="mark {level}">{escape(text)}</span>'


def _head(name: str, told: Summary) -> str:
    facts = (
        ("checkouts", f"{told.rate:.1f}/s"),
        ("in use", f"{told.in_flight} of {told.most}"),
        ("waiting", str(told.waiting)),
        ("retries left", f"{told.retries_left:.0f}"),
    )
    listed = "".join(f"<div><dt>{key}</dt><dd>{escape(value)}</dd></div>" for key, value in facts)
    return (
        f"<h2>{escape(name)} {_mark(told.level, WORDS[told.level])}</h2>"
        f'<p class="words">{escape(told.words)}</p><dl class="facts">{listed}</dl>'
    )


COLUMNS: tuple[tuple[str, str, Callable[[Line], str]], ...] = (
    ("role", "", lambda line: line.role),
    ("state", "", lambda line: _mark(line.level, line.state)),
    ("since (UTC)", "", lambda line: _clock(line.since)),
    ("share", "number", lambda line: f"{line.share:.0%}"),
    ("per second", "number", lambda line: f"{line.rate:.1f}"),
    ("response", "number", lambda line: "-" if line.response is None else f"{line.response * 1e3:.1f} ms"),
    ("in use", "number", lambda line: str(line.in_flight)),
    ("idle", "number", lambda line: str(line.idle)),
    ("lag", "number", lambda line: "-" if line.lag is None else f"{line.lag:.1f} s"),
    ("epoch", "", lambda line: escape(line.epoch or "-")),
)
"""What is told of a node beside its name: the heading, the class of the cell, and the text as HTML."""


def _nodes(told: Sequence[Line]) -> str:
    headings = "".join(f'<th scope="col" class="{kind}">{name}</th>' for name, kind, _ in COLUMNS)
    rows = "".join(_row(line, i) for i, line in enumerate(told))
    return (
        f'<h3>Nodes</h3><table class="nodes"><thead><tr><th scope="col">node</th>{headings}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _row(line: Line, place: int) -> str:
    cells = "".join(f'<td class="{kind}" data-label="{name}">{text(line)}</td>' for name, kind, text in COLUMNS)
    # Of a node that is well an old error is no news, and what is said twice is said once.
    error = "" if line.level == "well" or (line.why and line.why in line.last_error) else line.last_error
    told = (("why", line.why), ("last error", error))
    notes = "<br>".join(f"{what}: {escape(text)}" for what, text in told if text)
    more = f'<tr class="more {line.level}"><td colspan="{len(COLUMNS) + 1}">{notes}</td></tr>' if notes else ""
    name = f'<th scope="row"><i class="dot s{place % 8}"></i>{escape(line.node)}</th>'
    return f'<tr class="{line.level}">{name}{cells}</tr>{more}'


def _plots(moments: Sequence[Moment]) -> str:
    names = [line.node for line in moments[-1].lines]
    places = {name: i for i, name in enumerate(names)}

    def series(value: Callable[[Line], float | None]) -> dict[str, list[float | None]]:
        by_node = [{line.node: value(line) for line in moment.lines} for moment in moments]
        return {name: [each.get(name) for each in by_node] for name in names}

    minutes = max(1, round(len(moments) * EVERY / 60))
    begins = f"{minutes} min ago"
    drawn = (
        plot("response", series(lambda line: line.response), "ms", places, begins),
        plot("share", series(lambda line: line.share), "%", places, begins),
        plot("lag", series(lambda line: line.lag), "s", places, begins),
        plot("waiting", {"waiting": [float(moment.summary.waiting) for moment in moments]}, "", {}, begins),
    )
    heading = "The last minute" if minutes == 1 else f"The last {minutes} minutes"
    return f'<h3>{heading}</h3><div class="plots">{"".join(drawn)}</div>'


def _holders(told: State) -> str:
    found = holders(told)
    if not found:
        return "<h3>Who holds a connection</h3><p>Nobody.</p>"
    more = f"<p>And {len(found) - HOLDERS} more.</p>" if len(found) > HOLDERS else ""
    return f'<h3>Who holds a connection</h3><ul class="lines">{"".join(map(_holder, found[:HOLDERS]))}</ul>{more}'


def _holder(one: Mapping[str, Any]) -> str:
    held = _mark("warn" if one["seconds"] >= LONG else "well", f"{one['seconds']:.0f} s")
    who = one["thread"] or one["task"]
    by = f" by {escape(who)}" if who else ""
    statement = f"<code>{escape(one['statement'])}</code>" if one["statement"] else ""
    place = f'<code title="{escape(one["site"])}">{escape(place_of(one["site"]))}</code>'
    return f"<li>{held} {escape(one['doing'])} on {escape(one['node'])}{by}<br>{place} {statement}</li>"


def _events(told: State) -> str:
    # What is said again and again, as a node that stays down, takes one line.
    groups = [list(each) for _, each in groupby(reversed(told["events"]), lambda e: (e["kind"], e["node"], e["text"]))]
    latest = groups[:EVENTS]
    listed = f'<ul class="lines">{"".join(_listed(latest))}</ul>' if latest else "<p>Nothing yet.</p>"
    return f"<h3>What happened</h3>{listed}"


def _listed(groups: Iterable[Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    for group in groups:
        each, again = group[0], f" ({len(group)} times)" if len(group) > 1 else ""
        when = datetime.fromtimestamp(each["at"], UTC)
        level = loudness(each["kind"], each["text"]) or "plain"
        node = f"<b>{escape(each['node'])}</b> " if each["node"] else ""
        time, mark = f'<time datetime="{when.isoformat()}">{when:%H:%M:%S}</time>', _mark(level, each["kind"])
        yield f"<li>{time} {mark} {node}{escape(each['text'])}{again}</li>"


def _clock(moment: str) -> str:
    text = clock(moment, datetime.now(UTC))
    return f'<time datetime="{escape(moment)}">{text}</time>' if moment else text
