"""What the screen says, as texts of Rich.  Pure: from what the clusters tell (`reports.live.state`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from rich.text import Text

from ...reports.live import LONG, WORDS, Line, State, clock, holders, lines, loudness, place_of, summary

__all__ = ["COLUMNS", "DARK", "LIGHT", "Kept", "Row", "cells", "drawn", "events", "head", "held", "rows", "why"]

DARK = {"well": "#7fd6a0", "warn": "#f2c266", "ill": "#ff9d9d", "bar": "#7db4ff"}
LIGHT = {"well": "#1a6b3c", "warn": "#7a4b00", "ill": "#a11221", "bar": "#2060b0"}
"""The colours of what is well, of what is not, of what serves nobody, and of bars; on a dark and a light background."""

SHOWN = 50
"""Events and holders that are shown."""
WIDTH = 8
"""Cells of a bar."""
LONGEST = 48
"""Letters of an error in the table."""

Kept = Mapping[tuple[str, str], Sequence[State]]
"""What was told of late, by program and cluster, the latest last."""
Colours = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table."""

    heading: str
    """What stands above it."""
    order: Callable[[Line], Any]
    """What it is sorted by; numbers by the greatest first."""
    text: Callable[[Line], str]
    """What stands in it."""
    justify: Any = "left"
    """``right`` for numbers."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    key: tuple[str, str, str]
    """Program, cluster and node."""
    line: Line
    """What is told of the node."""

    @property
    def title(self) -> str:
        """The cluster, and where it runs."""
        return _title(*self.key[:2])


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.1f} ms"


def _s(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"


def shortened(text: str) -> str:
    """Return the beginning of an error; the whole stands below the table, for the node that is marked."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def bar(share: float) -> str:
    """Return a bar as long as ``share`` (0 to 1), in eighths of a cell, with the percentage."""
    eighths = round(min(1.0, share) * WIDTH * 8)
    drawn = "█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8] if eighths % 8 else "")
    return f"{drawn:<{WIDTH}} {share:>4.0%}"


COLUMNS = (
    Column("node", lambda line: line.node, lambda line: line.node),
    Column("role", lambda line: line.role, lambda line: line.role),
    Column("state", lambda line: line.state, lambda line: f"● {line.state}"),
    Column("since", lambda line: line.since, lambda line: clock(line.since, datetime.now(UTC))),
    Column("share", lambda line: -line.share, lambda line: bar(line.share)),
    Column("per s", lambda line: -line.rate, lambda line: f"{line.rate:.1f}", "right"),
    Column("response", lambda line: -(line.response or 0.0), lambda line: _ms(line.response), "right"),
    Column("in use", lambda line: -line.in_flight, lambda line: str(line.in_flight), "right"),
    Column("idle", lambda line: -line.idle, lambda line: str(line.idle), "right"),
    Column("lag", lambda line: -(line.lag or 0.0), lambda line: _s(line.lag), "right"),
    Column("epoch", lambda line: line.epoch, lambda line: line.epoch or "-"),
    Column("last error", lambda line: line.last_error, lambda line: shortened(line.last_error) or "-"),
)
STATE, SHARE = 2, 4
"""The places of those that are coloured."""


def plain(text: str) -> str:
    """Return ``text`` without what would steer the terminal: an error is what somebody else's server says."""
    return "".join(each if each.isprintable() else " " for each in text)


def _title(program: str, cluster: str) -> str:
    return plain(f"{cluster} at {program}" if program else cluster)


def rows(kept: Kept, wanted: str, sorted_by: int, turned: bool) -> list[Row]:
    """Return the nodes of all clusters that contain ``wanted`` (in small letters), by a column, or by its reverse."""
    found = [
        Row((program, cluster, line.node), line)
        for (program, cluster), told in kept.items()
        for line in lines(told[-1], _before(told))
        if wanted in f"{cluster} {program} {line.node} {line.role} {line.state}".lower()
    ]
    order = COLUMNS[sorted_by].order
    return sorted(found, key=lambda row: (order(row.line), row.key), reverse=turned)


def _before(told: Sequence[State]) -> State | None:
    return told[0] if len(told) > 1 else None


def cells(row: Row, colours: Colours, many: bool) -> list[Text]:
    """Return the texts of a row; ``many``: the cluster stands before them."""
    made = [Text(plain(each.text(row.line)), justify=each.justify) for each in COLUMNS]
    made[STATE].stylize(colours[row.line.level])
    made[SHARE].stylize(colours["bar"], 0, WIDTH)
    return [Text(row.title), *made] if many else made


def why(row: Row | None) -> Text:
    """Return what is known of the node that is marked: why it is as it is, and its last error."""
    if row is None:
        return Text()
    line = row.line
    said = [line.why] if line.why else []
    if line.last_error and line.last_error not in said and not (line.why and line.why in line.last_error):
        said.append(f"last error: {line.last_error}")
    return Text.assemble((plain(line.node), "bold"), "  ", plain("; ".join(said)) or "no error was met there")


def head(kept: Kept, errors: Sequence[str], paused: bool, colours: Colours) -> Text:
    """Return the lines above the table: how each cluster is, and which program cannot be reached."""
    text = Text()
    if paused:
        text.append("PAUSED: press p to go on\n", style=f"bold {colours['warn']}")
    for (program, cluster), told in kept.items():
        now = summary(told[-1], _before(told))
        text.append(_title(program, cluster), style="bold")
        text.append(f"  ● {WORDS[now.level]}", style=f"bold {colours[now.level]}").append(f"  {plain(now.words)}\n")
        figures = (
            f"{now.rate:.1f} checkouts/s",
            f"{now.in_flight} of {now.most} in use",
            f"{now.waiting} waiting",
            f"{now.retries_left:.0f} retries left",
            f"{told[-1]['snapshot']['at'][11:19]} UTC",
        )
        text.append(f"{'  '.join(figures)}\n", style="dim")
    for error in errors:
        text.append(f"{plain(error)}\n", style=colours["ill"])
    text.rstrip()
    return text


def events(kept: Kept, wanted: str, colours: Colours) -> Text:
    """Return what happened, the latest first; what is said again and again takes one line."""
    many = len(kept) > 1
    found = sorted(_events(kept), key=lambda each: -each[0])
    chosen = [each for each in found if wanted in " ".join(each[1:]).lower()]
    groups = [list(each) for _, each in groupby(chosen, lambda each: each[1:])]
    text = Text()
    for group in groups[:SHOWN]:
        at, cluster, kind, node, said = group[0]
        text.append(f"{datetime.fromtimestamp(at, UTC):%H:%M:%S} ", style="dim")
        text.append(f"{cluster} " if many else "")
        text.append(f"{kind} ", style=colours.get(loudness(kind, said), ""))
        text.append(f"{node} " if node else "", style="bold")
        text.append(f"{said}{f' ({len(group)} times)' if len(group) > 1 else ''}\n")
    return text if groups else Text("nothing yet", style="dim")


def _events(kept: Kept) -> Iterator[tuple[float, str, str, str, str]]:
    for (program, cluster), told in kept.items():
        for each in told[-1]["events"]:
            yield each["at"], _title(program, cluster), *(plain(each[key]) for key in ("kind", "node", "text"))


def held(kept: Kept, colours: Colours) -> Text:
    """Return who holds a connection, the oldest first."""
    found = sorted((each for told in kept.values() for each in holders(told[-1])), key=lambda one: -one["seconds"])
    text = Text(no_wrap=True, overflow="ellipsis")
    for each in found[:SHOWN]:
        by = each["thread"] or each["task"]
        text.append(f"{each['seconds']:>4.0f} s ", style=colours["warn"] if each["seconds"] >= LONG else "")
        text.append(plain(f"{each['doing']} on {each['node']}{f' by {by}' if by else ''}") + "\n")
        text.append(plain(f"       {place_of(each['site'])} {each['statement']}") + "\n", style="dim")
    if len(found) > SHOWN:
        text.append(f"and {len(found) - SHOWN} more")
    return text if found else Text("nobody", style="dim")


def drawn(told: State) -> None:
    """Draw one state, for nothing.  What another program tells may be of another version: then this raises ValueError,
    TypeError, KeyError or AttributeError, and the screen never sees it.
    """
    kept = {("", told["snapshot"]["cluster"]): [told, told]}
    for row in rows(kept, "", 0, False):
        cells(row, DARK, many=True)
        why(row)
    head(kept, (), False, DARK)
    events(kept, "", DARK)
    held(kept, DARK)
