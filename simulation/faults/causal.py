"""Programs with causal views: what they have written is in what they read, on whichever node, or they are told that it
cannot be.
"""

from __future__ import annotations

from typing import Any

from .flavours import INSERT, SELECT
from .history import OK
from .programs import PLACES, Client, Work


class CausalClient(Client):
    """A thread that writes through views, and reads in the same one, or long after by its bookmark."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.kept: list[tuple[str, list[tuple[str, str]]]] = []
        """The bookmarks of what was written, with that."""

    def run(self, operations: int) -> None:
        """Do some things, one after the other."""
        for _ in range(operations):
            self.loop.sleep(self.chance.random() * 0.3)
            self.do(self.chance.choice(PROGRAMS if self.kept else PROGRAMS[:1]))
        self.end()

    def read(self, view: Any, written: list[tuple[str, str]], shown: set[tuple[str, str]]) -> None:
        """Read once, and note what is missing; ``shown`` is what this view has shown before."""
        place = self.chance.choice(PLACES)
        rows = view.options(read_only=True).execute(SELECT, (place,)).fetchall()
        found = {(place, row[0]) for row in rows}
        self.history.unseen += [(self.name, one[1]) for one in written if one[0] == place and one not in found]
        self.history.again += [(self.name, one[1]) for one in shown if one[0] == place and one not in found]
        shown |= found


def write_and_read(client: CausalClient, database: Any, work: Work) -> None:
    """A request that writes, tells its bookmark, and reads, while the world goes on."""
    view = database.causal()
    written = []
    for _ in range(client.chance.randint(1, 2)):
        token = work.token()
        view.execute(INSERT, token)
        work.claim(OK)
        written.append(token)
    if client.chance.random() < 0.7:
        client.kept.append((view.bookmark, written))
    shown: set[tuple[str, str]] = set()
    for _ in range(client.chance.randint(1, 3)):
        client.read(view, written, shown)
        client.think()


def read_later(client: CausalClient, database: Any, work: Work) -> None:
    """A request that comes with the bookmark of an earlier one."""
    bookmark, written = client.chance.choice(client.kept)
    view, shown = database.causal(after=bookmark), set[tuple[str, str]]()
    for _ in range(client.chance.randint(1, 4)):
        client.read(view, written, shown)
        client.think()


PROGRAMS = (write_and_read, read_later, read_later)
