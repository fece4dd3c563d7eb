"""The screen: a table of all nodes, what happened, and who holds connections.  It is drawn anew each second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.message import Message
from textual.widgets import Footer, Input, Static

from ...errors import ConfigError
from ...reports.live import State
from .nodes import Nodes
from .source import Source
from .texts import COLUMNS, DARK, LIGHT, events, head, held, rows, why

__all__ = ["Top"]

EVERY = 1.0
"""Seconds between two looks."""
OVER = 5
"""Looks over which a rate is told."""

WIDTHS = [(0, "-narrow"), (110, "-wide")]
"""From how many cells on the screen is so: where it is narrow, the events stand above the holders, not beside them."""


class Top(App[None]):
    """The program."""

    class Taken(Message):
        """A source has told something, or why not.  A message never waits: the screen may be closing meanwhile."""

        def __init__(self, name: str, found: Sequence[State] | None, error: str) -> None:
            super().__init__()
            self.name = name
            self.found = found
            self.error = error

    TITLE = "clustersql top"
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = WIDTHS
    CSS = """
    Screen { background: $background; }
    #head { height: auto; padding: 0 1 1 1; }
    #nodes { height: auto; max-height: 50%; background: $background; }
    #nodes > .datatable--cursor { background: $primary 30%; color: $foreground; text-style: none; }
    #why { height: auto; max-height: 5; padding: 1; color: $text-muted; }
    #holders { text-wrap: nowrap; text-overflow: ellipsis; }
    .-narrow #head { padding: 0 1; }
    .-narrow #why { padding: 0 1; max-height: 3; }
    #filter { display: none; }
    #filter.shown { display: block; }
    #below { height: 1fr; layout: horizontal; }
    .-narrow #below { layout: vertical; }
    #happened, #holding { height: 1fr; padding: 0 1; border-top: solid $primary; border-title-style: bold; }
    #happened { width: 3fr; }
    #holding { width: 2fr; }
    .-narrow #happened, .-narrow #holding { width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("p", "pause", "pause"),
        Binding("s", "sort", "sort"),
        Binding("r", "reverse", "reverse"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("d", "darkness", "dark/light"),
        Binding("escape", "clear", "clear", show=False),
        # As every program on a terminal; Textual's own only says which key quits.
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]

    def __init__(self, sources: Sequence[Source], every: float = EVERY) -> None:
        super().__init__()
        self._sources = sources
        self._every = every
        self._reading: set[str] = set()
        self._states: dict[tuple[str, str], list[State]] = {}
        self._errors: dict[str, str] = {}
        self._sorted = 0
        self._turned = False
        self._wanted = ""
        self.stopped = False
        """Whether the screen is paused."""
        # They are kept, and not asked for by their names: a late look finds none while the screen is taken down.
        self._head = Static("looking", id="head")
        self._entry = Input(placeholder="clusters, nodes, roles, states and events that contain", id="filter")
        self._table = Nodes(id="nodes", cursor_type="row", cursor_foreground_priority="renderable")
        self._why = Static(id="why")
        self._events = Static(id="events")
        self._holders = Static(id="holders")

    def compose(self) -> ComposeResult:
        """Yield the widgets."""
        yield self._head
        yield self._entry
        yield self._table
        yield self._why
        with Container(id="below"):
            with VerticalScroll(id="happened") as happened:
                happened.border_title = "what happened (UTC)"
                yield self._events
            with VerticalScroll(id="holding") as holding:
                holding.border_title = "who holds a connection"
                yield self._holders
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self._table.focus()
        self._look()
        self.set_interval(self._every, self._look)

    # -- looking -------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Ask every source in a thread of its own, for one that hangs must not stop the screen, and it is not asked
        again meanwhile.
        """
        for source in self._sources:
            if not (self.stopped or source.name in self._reading):
                self._reading.add(source.name)
                self.run_worker(lambda source=source: self._read(source), thread=True)

    def _read(self, source: Source) -> None:
        try:
            found: Sequence[State] | None = source.read()
            error = ""
        except ConfigError as exc:
            found, error = None, str(exc)
        self.post_message(self.Taken(source.name, found, error))

    def on_top_taken(self, taken: Taken) -> None:
        """Keep what a source has told, and draw it."""
        self._reading.discard(taken.name)
        if self.stopped:
            return
        self._errors.pop(taken.name, None)
        if taken.error:
            self._errors[taken.name] = taken.error
        if taken.found is not None:
            self._keep(taken.name, taken.found)
        self.draw()

    def _keep(self, name: str, found: Sequence[State]) -> None:
        there = {each["snapshot"]["cluster"] for each in found}
        for key in [key for key in self._states if key[0] == name and key[1] not in there]:
            del self._states[key]
        for each in found:
            kept = self._states.setdefault((name, each["snapshot"]["cluster"]), [])
            kept.append(each)
            del kept[: -OVER - 1]

    # -- drawing -------------------------------------------------------------------------------------------------------

    @property
    def _colours(self) -> dict[str, str]:
        return DARK if self.current_theme.dark else LIGHT

    def draw(self) -> None:
        """Draw what is known now; nothing, once the screen is being taken down and a late look has come."""
        if not self._table.is_attached:
            return
        found = rows(self._states, self._wanted, self._sorted, self._turned)
        self._table.show(found, len(self._states) > 1, self._sorted, self._turned, self._colours)
        self._head.update(head(self._states, list(self._errors.values()), self.stopped, self._colours))
        self._events.update(events(self._states, self._wanted, self._colours))
        self._holders.update(held(self._states, self._colours))
        self._why.update(why(self._table.marked))

    def on_data_table_row_highlighted(self) -> None:
        """Tell of the node that is marked now."""
        self._why.update(why(self._table.marked))

    # -- keys ----------------------------------------------------------------------------------------------------------

    def action_pause(self) -> None:
        """Stop looking, or go on."""
        self.stopped = not self.stopped
        self.draw()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._sorted = (self._sorted + 1) % len(COLUMNS)
        self.draw()

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._turned = not self._turned
        self.draw()

    def action_darkness(self) -> None:
        """Draw dark on light, or light on dark."""
        self.theme = "textual-light" if self.current_theme.dark else "textual-dark"
        self.draw()

    def action_filter(self) -> None:
        """Ask what the lines must contain."""
        self._entry.add_class("shown")
        self._entry.focus()

    def action_clear(self) -> None:
        """Show all lines again."""
        self._entry.value = ""
        self._leave_filter()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what contains the text."""
        self._wanted = event.value.lower()
        self.draw()

    def on_input_submitted(self) -> None:
        """Go back to the table."""
        self._leave_filter()

    def _leave_filter(self) -> None:
        self._entry.remove_class("shown")
        self._table.focus()
