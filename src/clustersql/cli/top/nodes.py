"""The table of the nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text
from textual.coordinate import Coordinate
from textual.widgets import DataTable

from .texts import COLUMNS, Row, cells

__all__ = ["Nodes"]


class Nodes(DataTable[Text]):
    """Shows a row for each node, and keeps the mark on the same node when their order changes."""

    shown: Sequence[Row] = ()
    """The rows that it shows."""
    many: bool | None = None
    """Whether the cluster stands in it; None: it has no columns yet."""

    @property
    def marked(self) -> Row | None:
        """The row that the cursor is on."""
        return self.shown[self.cursor_row] if 0 <= self.cursor_row < len(self.shown) else None

    def show(self, rows: Sequence[Row], many: bool, sorted_by: int, turned: bool, colours: Mapping[str, str]) -> None:
        """Show ``rows``.  ``many``: there are several clusters; ``sorted_by``: the column that they are sorted by."""
        marked, before = self.marked, [row.key for row in self.shown]
        if many != self.many:
            self._begin(many)
            before = []
        self._head(sorted_by, turned)
        keys = [row.key for row in rows]
        self.shown = rows
        drawn = [cells(row, colours, many) for row in rows]
        if keys == before:
            self._change(drawn)
            return
        self.clear()
        for texts in drawn:
            self.add_row(*texts)
        if marked is not None and marked.key in keys:
            self.move_cursor(row=keys.index(marked.key))

    def _begin(self, many: bool) -> None:
        self.many = many
        self.clear(columns=True)
        if many:
            self.add_column("cluster")
        for column in COLUMNS:
            self.add_column(column.heading)

    def _head(self, sorted_by: int, turned: bool) -> None:
        for column, shown in zip(COLUMNS, self.ordered_columns[-len(COLUMNS) :], strict=True):
            arrow = (" ▲" if turned else " ▼") if column is COLUMNS[sorted_by] else ""
            shown.label = Text(column.heading + arrow, justify=column.justify)

    def _change(self, drawn: Sequence[Sequence[Text]]) -> None:
        """Change the cells in place: a table that is filled anew is scrolled to its beginning."""
        for i, texts in enumerate(drawn):
            for j, text in enumerate(texts):
                self.update_cell_at(Coordinate(i, j), text, update_width=True)
