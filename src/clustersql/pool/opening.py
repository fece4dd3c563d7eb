"""How a caller comes to a connection that nobody has yet: the queue, and the dials that are begun for it.  Nothing here
waits.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any

from .. import fork
from ..config.options import ROLES
from ..core.booking.book import dial_plan
from ..core.booking.durations import MeasuredSession
from ..core.booking.opening import GaveUp, fill
from ..core.booking.shelf import Actions, Session, Shelf, Waiter
from ..core.steps import Dial, Look, Picture, Step, Steps
from ..core.view.probe import Probe
from ..core.view.transitions import is_overtaken
from ..core.view.use import Use
from ..core.view.view import Want
from ..errors import PoolClosed
from ..nodes.dial import CalledOff, D, is_callers, server_of, tell_failure
from .lending import Lending
from .unavailable import none_to_be_had, unfit


class Opening(Lending[D]):
    """The opening of connections: each dial is begun here, and its end taken in."""

    # -- what the two APIs do in their own ways ------------------------------------------------------------------------

    def _attempt(self, shelf: Shelf, waiter: Waiter | None, arguments: Mapping[str, Any] | None, use: Use | None) -> D:
        raise NotImplementedError

    def _drive_fill(self, steps: Steps[int], waiter: Waiter) -> None:
        raise NotImplementedError

    def _ensure_monitor(self) -> None:
        raise NotImplementedError

    # -- a caller in the queue -----------------------------------------------------------------------------------------

    def _stagger(self) -> float:
        return 0.0 if self._book.policy.at_once else self.topology.settings.stagger

    def _enter_queue(self, waiter: Waiter) -> None:
        """Put a caller in the queue; from now on it may be served at any moment, and ends by `_outcome` or
        `_interrupted`.
        """
        self.waits += 1
        self.take_in_orphans()
        waiter.since = time.monotonic()
        with self._lock:
            if not waiter.outside and self.knobs.min_idle:  # else nobody would ever take it out again
                self._asked.add(waiter.want.use)
            self._book.enqueue(waiter)

    def _step(self, step: Step, waiter: Waiter, arguments: Mapping[str, Any] | None) -> object:
        """Perform a step of `open_` that never waits."""
        match step:
            case Look():
                return self._look(waiter)
            case Dial(node):
                return self.begin_dial(node, waiter, arguments)
        raise AssertionError(step)

    def _look(self, waiter: Waiter) -> Picture:
        now = time.monotonic()
        with self._lock:
            if self._book.closed:
                raise self.error(PoolClosed, f"the pool of cluster {self.topology.name!r} is closed")
            names = dial_plan(self._book, waiter, now)
            view = self._book.view
        if not names and not view.serving(waiter.want):
            self._wake()  # the one prober that asks for all waiters
        return Picture(now, names, view.hopeless(waiter.want, waiter.refused))

    def _join(self, waiter: Waiter) -> None:
        """A plain waiter begins to wait: what nobody has taken in yet may be what it waits for."""
        self.waits += 1
        if self.orphans or self.gone:
            self.take_in_orphans()

    def _served(self, waiter: Waiter, session: Session) -> Session:
        """Return what was put into the hands of ``waiter``, and note how long it has waited."""
        if session.lent_at < waiter.since:  # other news came first, and then it was handed over without a stamp
            session.lent_at = time.monotonic()
        waited = session.lent_at - waiter.since
        session.chosen = self._book.view, waited
        self.topology.events.waited(session.node, waited, session.lent_at)
        if session.shelf.durations is not None:
            session.shelf.durations.wait.add(waited)
        return session

    def _general(self, waiter: Waiter) -> Session | None:
        """Something else has happened than a connection that came back, or the time is over: let ``waiter`` look at
        everything.

        Returns the connection that came in the same moment.
        """
        with self._lock:
            waiter.general()
        return waiter.given

    def _interrupted(self, waiter: Waiter) -> None:
        """The caller waits no more.  What it was served in the same moment nobody else knows of."""
        late = self._withdraw(waiter, None)
        if late is not None:
            self.give_back(late, True, waiter.holder)

    def _outcome(self, waiter: Waiter, outcome: Any | GaveUp, began: float) -> Session:
        """Return the connection that `open_` ended with, or raise why there is none.  ``began`` in
        monotonic seconds.
        """
        session: Session | None = None if isinstance(outcome, GaveUp) else outcome
        late = self._withdraw(waiter, session)
        now, events = time.monotonic(), self.topology.events
        if (found := session or late) is not None:
            found.lent_at = now
            found.chosen = self._book.view, now - began
            events.waited(found.node, now - began, now)
            if found.shelf.durations is not None:
                found.shelf.durations.wait.add(now - began)
            return found
        error = none_to_be_had(self.topology, self._book, self.reading.operational_error, outcome, waiter, now - began)
        events.note("timeout", waiter.want.node or "", str(error))
        raise error

    def _withdraw(self, waiter: Waiter, held: Session | None) -> Session | None:
        """Leave the queue.  A connection that was served in the same moment is returned."""
        with self._lock:
            given, actions = self._book.withdraw(waiter)
        self._act(actions)
        given = given or waiter.given  # the event that says so was broken off
        if given is None or given is held:
            return None
        return given

    # -- dials ---------------------------------------------------------------------------------------------------------

    def begin_dial(
        self,
        name: str,
        waiter: Waiter | None = None,
        arguments: Mapping[str, Any] | None = None,
        use: Use | None = None,
    ) -> bool | None:
        """Begin to dial ``name``, in the background; ``use`` is the waiter's, where there is one.  Returns what `Dial`
        is answered by.
        """
        actions, attempt = Actions(), None
        try:
            with self._lock:
                begun, _ = self._book.begin_dial(name, waiter, actions)
            self._act(actions)
            shelf = actions.dial
            if shelf is not None and not (actions.spare is not None and self._use_spare(shelf, waiter, actions)):
                use = waiter.want.use if waiter is not None else use
                attempt = self._attempt(shelf, waiter, arguments if use is None else use.arguments, use)
                with self._lock:
                    self._attempts.add(attempt)
                self._ensure_monitor()  # a forked child has none yet, and nobody else abandons a dial that is late
                attempt.start()
        except BaseException:  # the handler of a signal raised: the room that was reserved is free again
            self._act(actions)
            if attempt is not None:
                attempt.cancel()
            elif actions.dial is not None:
                self._dial_called_off(actions.dial, waiter)
            raise
        return begun

    def _dial_called_off(self, shelf: Shelf, waiter: Waiter | None) -> None:
        with self._lock:
            actions = self._book.dial_failed(shelf, CalledOff(), time.monotonic(), waiter)
        self._act(actions)

    def _use_spare(self, shelf: Shelf, waiter: Waiter | None, asked: Actions) -> bool:
        """Let the connection that is kept for probes end a dial before it begins; False: there is none."""
        actions, session = Actions(), None
        try:
            with fork.calls:  # a child that is forked between the two would find it neither here nor there
                spare = self._prober.spare(shelf.name)
                if spare is None:
                    return False
                session = self._session(spare.raw, shelf, spare.opened)
                session.identity = "" if session.shared else spare.identity
                # Of the moment of the decision: what was heard since is news about this one too.
                session.generation = asked.spare if asked.spare is not None else session.generation
                session.idle_since = now = time.monotonic()
                session.looked_at = False
                misfit = unfit(self.topology.view, shelf.name, waiter)
                with self._lock:
                    actions = self._book.dialled(session, spare.seconds, now, waiter, misfit)
            self._act(actions)
        finally:
            if session is not None and session in shelf.open:
                asked.dial = None  # the room is taken, whatever breaks in
        return True

    def _dial_ended(
        self, attempt: D, shelf: Shelf, waiter: Waiter | None, own: bool = False, use: Use | None = None
    ) -> None:
        """A dial has ended; ``own``: it had arguments of its caller's.  ``use``: what it was made with."""
        topology, name = self.topology, attempt.name
        if attempt.error is not None:
            if attempt.raised is not None and waiter is not None:
                waiter.refused |= {name}
                waiter.raised[name] = attempt.raised.who, attempt.error
            if attempt.raised is None and own and is_callers(self.reading, attempt.error):
                if waiter is not None:
                    waiter.refused |= {name}
            elif attempt.raised or isinstance(attempt.error, Exception):  # a cancellation is no news about the node
                # Before the waiter is told: its next look must not see the node up.
                tell_failure(topology, self.reading, attempt, attempt.error, own=False)
            with self._lock:
                self._attempts.discard(attempt)
                actions = self._book.dial_failed(shelf, attempt.error, time.monotonic(), waiter)
        else:
            actions = self._answered(attempt, attempt.result, shelf, waiter, use)
        self._act(actions)
        if (
            self.topology.settings.min_idle and attempt.raised is None
        ):  # or a hook that raises would be called without a pause
            self._wake()  # to go on filling

    def _answered(self, attempt: D, answer: Probe, asked: Shelf, waiter: Waiter | None, use: Use | None) -> Actions:
        """A dial of the node of ``asked`` has reached a server: its own, or another one behind the same address."""
        topology = self.topology
        view = topology.tell(answer.news(attempt.name, self.reading.peer(answer.raw)))
        name = topology.reached(attempt.name, answer.report)
        topology.connected(name)
        if self._book.view is not view:
            self._adopt(view)  # a server that nobody has met before has its shelf only then
        shelf = self._book.shelves.get(name, asked)
        session = self._session(answer.raw, shelf)
        session.use, session.server = use, server_of(answer.report)
        if use is not None:
            use.is_proven = True
        session.identity = "" if session.shared else answer.report.identity
        if answer.ends is not None:
            session.expires = min(session.expires, answer.ends)
        node = topology.view.by_name.get(name)
        if node is not None and is_overtaken(node, answer.report):
            session.generation = -1  # the node has refused others since: its smart shutdown would wait for this one
        misfit = unfit(topology.view, shelf.name, waiter)
        if shelf.durations is not None:
            shelf.durations.create.add(attempt.seconds)
        with self._lock:
            self._attempts.discard(attempt)
            return self._book.dialled(session, attempt.seconds, time.monotonic(), waiter, misfit, asked)

    def _session(self, raw: Any, shelf: Shelf, opened: float | None = None) -> Session:
        now = time.monotonic() if opened is None else opened
        node = self.topology.view.by_name.get(shelf.name)
        jitter = 0.9 + 0.1 * random.random()  # or all would be replaced in the same second
        lifetime = self.topology.settings.max_lifetime * jitter
        session = Session(raw, shelf, node.generation if node else -1, now, now + lifetime)
        session.jitter = jitter
        session.shared = self.topology.is_shared(shelf.name)
        session.autocommit = self.reading.autocommit(raw)
        session.read_only = False
        if shelf.durations is not None:
            session.__class__ = MeasuredSession
        return session

    def fill_up(self) -> None:
        """Dial until ``min_idle`` connections of each use are idle that callers have asked for; before the first of
        them, of none in particular.
        """
        settings = self.topology.settings
        if settings.min_idle:
            service = ROLES[settings.read_role if settings.read_only else "primary"]
            with self._lock:
                # Arguments that no server has taken yet are dialled with for their caller alone, who is told.
                self._asked = {use for use in self._asked if use is None or use.is_claimed}
                uses = [use for use in self._asked if use is None or use.is_proven] if self._asked else [None]
            for use in uses:
                self._fill_up(Want(service, settings.read_only, use=use), settings.min_idle)

    def _fill_up(self, want: Want, min_idle: int) -> None:
        with self._lock:
            shelves = self._book.shelves
            ready = self._book.chosen(want)  # an idle connection to another node is ready for nobody
            idle = sum(session.use is want.use for shelf in ready for session in shelf.idle) + sum(
                shelf.dials for shelf in shelves.values()
            )
            room = (
                self._book.max_size - self._book.total if ready else 0
            )  # the prober is asking; its answer comes by here again
        self._drive_fill(fill(idle, min_idle, room), Waiter(want))

    def _fill_step(self, step: Step, waiter: Waiter) -> object:
        """Perform a step of `fill`, whose dials are nobody's in particular."""
        return self.begin_dial(step.node, use=waiter.want.use) if isinstance(step, Dial) else self._look(waiter)
