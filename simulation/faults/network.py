"""The network between the client and the servers.

Messages of one connection stay in order (it is TCP); those of different ones overtake each other.  While a link is cut
its messages wait and arrive after it is mended, also those of a connection that the client has given up by then; or
they are gone for good, and the connection breaks after `KEEPALIVE`.  When a connection breaks, a request that is on its
way arrives or not, and the server sees the end later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from .loop import Ticket
from .replication import Servers, new_session
from .servers import Answer, Node

CLIENT = "client"
KEEPALIVE = 1.0
"""Seconds after which a connection is broken whose messages are lost: TCP user timeout and keepalive (much longer in
reality).
"""
REFUSED = "refused"
STARTING = "starting"
FULL = "full"


class Wire:
    """One connection: the client waits on it for one answer at a time."""

    def __init__(self, servers: Servers, node: Node) -> None:
        self.servers = servers
        self.node = node
        self.broken = False
        self.eof = False
        self.chance = servers.chance
        self._waiting: Ticket | None = None
        self._owed: deque[Ticket] = deque()
        self._arrives = 0.0
        self._session = new_session(node, self._cut_by_server)
        self.number = self._session.number

    def ask(self, request: tuple[Any, ...], break_in: Callable[[], object]) -> Answer | None:
        """Send a request and wait for its answer; None: the connection broke.

        ``break_in`` is called in the middle of some waits, and raises: whoever asks next is given the answer to this
        request.
        """
        if not self.send(request, Ticket(self.servers.loop)):
            return None
        if self.chance.random() < self.servers.trouble.broken_into:
            self.servers.loop.sleep(self.chance.random() * 0.01)
            self._waiting = None
            break_in()
        answer: Answer | None = self.owed().wait()
        self.heard()
        return answer

    def send(self, request: tuple[Any, ...], ticket: Ticket) -> bool:
        """Send a request, whose answer fires ``ticket``; False: the connection broke."""
        if self.broken or self.eof:  # the other end is closed: what is sent now only brings a reset
            self.broken = True
            return False
        self._waiting = ticket
        self._send(self.node.handle, self._session, request, partial(self._reply, ticket))
        self._owed.append(ticket)
        return True

    def owed(self) -> Any:
        """Return the ticket of the oldest request that nobody has read the answer to: the next answer is that."""
        self._waiting = self._owed.popleft()
        return self._waiting

    @property
    def transaction(self) -> int:
        """The number of the transaction that the session has written in latest, as a server would tell it."""
        return self._session.transaction

    def heard(self) -> None:
        """Nobody waits any more."""
        self._waiting = None

    def close(self) -> None:
        """Close from the client's side, also under somebody who waits.  What was sent before still arrives."""
        if not self.broken:
            self.broken = True
            self._send(self.node.end, self._session)
            self._wake()

    def reset(self) -> None:
        """Something on the way cuts the connection: the client sees it at once, the server later."""
        if self.broken:
            return
        self.broken = self.eof = True
        chance = self.servers.chance
        if chance.random() < 0.5:
            self._arrives = float("inf")  # a request on its way is lost
        self.servers.loop.at(chance.random() * 2.0, self.node.end, self._session)
        self._wake()

    # -- the ways ------------------------------------------------------------------------------------------------------

    def _send(self, arrived: Callable[..., object], *arguments: Any) -> None:
        """To the server, in order; the node takes it in when it runs."""
        loop = self.servers.loop
        moment = max(self._arrives, loop.now + delay(self.servers))
        self._arrives = moment
        loop.at(moment - loop.now, self._pass, self._arrive, arrived, *arguments)

    def _arrive(self, arrived: Callable[..., object], *arguments: Any) -> None:
        if self._arrives != float("inf"):
            self.node.when_running(arrived, *arguments)

    def _reply(self, ticket: Ticket, answer: Answer) -> None:
        self._session.busy = False
        self.servers.loop.at(delay(self.servers), self._pass, ticket.fire, answer)

    def _pass(self, action: Callable[..., object], *arguments: Any) -> None:
        """Let a message through, now or when the link is mended, or lose it."""
        servers = self.servers
        if servers.chance.random() < servers.trouble.dropped:
            servers.loop.at(KEEPALIVE, self.reset)
        elif servers.linked(CLIENT, self.node.name):
            action(*arguments)
        else:
            servers.loop.at(0.05 + servers.chance.random() * 0.1, self._pass, action, *arguments)

    def _cut_by_server(self) -> None:
        """The server's end is closed: the client sees it when the news gets through."""

        def seen() -> None:
            self.eof = True
            if self._waiting is not None:
                self.broken = True
                self._wake()

        self.servers.loop.at(delay(self.servers), self._pass, seen)

    def _wake(self) -> None:
        if self._waiting is not None:
            self._waiting.fire(None)


def delay(servers: Servers) -> float:
    """Return the seconds that a message takes."""
    chance = servers.chance.random
    return chance() * 0.005 + (0.1 if chance() < 0.02 else 0.0)


def dial(servers: Servers, node: Node) -> Wire | str:
    """Connect; waits.  Returns the connection, or why there is none.  A node that is cut off or frozen answers when it
    is back.
    """
    servers.loop.sleep(delay(servers) * 2)
    while node.frozen or not servers.linked(CLIENT, node.name):
        servers.loop.sleep(0.05 + servers.chance.random() * 0.1)
    if not node.alive:
        return REFUSED
    if node.starting:
        return STARTING
    return FULL if node.full else Wire(servers, node)
